//! How many connections each address has, where that is bounded.
//!
//! Invariant: a slot is counted from when it is entered until it leaves, and an address without connections takes no memory.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Who counts as one: an IPv4 address, or the /64 of an IPv6 one, since a network of that size is what one customer is given (RFC 6177)
/// and any of its 2⁶⁴ addresses costs nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Origin {
    V4(Ipv4Addr),
    V6([u16; 4]),
}

impl Origin {
    fn of(peer: SocketAddr) -> Origin {
        match peer.ip().to_canonical() {
            IpAddr::V4(v4) => Origin::V4(v4),
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                Origin::V6([a, b, c, d])
            }
        }
    }
}

/// Who has how many connections.
#[derive(Default)]
pub(super) struct Origins {
    open: HashMap<Origin, usize>,
    of_slots: HashMap<u32, Origin>,
}

impl Origins {
    /// The connections that `peer` has, with all that count as one with it.
    pub(super) fn count(&self, peer: SocketAddr) -> usize {
        self.open.get(&Origin::of(peer)).copied().unwrap_or(0)
    }

    /// `slot` has a connection of `peer`.
    pub(super) fn enter(&mut self, slot: u32, peer: SocketAddr) {
        let origin = Origin::of(peer);
        *self.open.entry(origin).or_default() += 1;
        let before = self.of_slots.insert(slot, origin);
        debug_assert!(before.is_none(), "a slot has one tenant");
    }

    /// The connection of `slot` is over, if it was counted.
    pub(super) fn leave(&mut self, slot: u32) {
        if self.of_slots.is_empty() {
            return; // Mostly nobody is counted, and a hash is not for nothing.
        }
        let Some(origin) = self.of_slots.remove(&slot) else { return };
        let open = self.open.get_mut(&origin).expect("who entered is counted");
        *open -= 1;
        if *open == 0 {
            self.open.remove(&origin);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_counted_and_forgotten_and_a_network_of_version_6_is_one() {
        let peer = |text: &str| -> SocketAddr { text.parse().unwrap() };
        let mut origins = Origins::default();
        let peers = ["1.2.3.4:1", "1.2.3.4:2", "[::ffff:1.2.3.4]:3", "[2001:db8:0:1::1]:1", "[2001:db8:0:1:ffff::9]:1"];
        (0..).zip(peers).for_each(|(slot, text)| origins.enter(slot, peer(text)));
        for (text, want) in [
            ("1.2.3.4:9", 3),
            ("1.2.3.5:1", 0),
            ("[2001:db8:0:1:5::]:1", 2),
            ("[2001:db8:0:2::1]:1", 0),
            ("[::1]:1", 0),
        ] {
            assert_eq!(origins.count(peer(text)), want, "{text}");
        }
        (0..9).for_each(|slot| origins.leave(slot));
        assert!(origins.open.is_empty() && origins.of_slots.is_empty());
    }
}
