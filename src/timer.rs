//! Deadlines of numbered places: connections, sleeps. Never reads a clock.
//!
//! Invariant: each slot has at most one deadline. Deadlines of the same kind and duration form a list in the order they were set, which
//! is the order they pass: setting, re-setting and clearing one costs the same however many there are, and the front of an idle list is
//! who has been idle longest. Only deadlines at a given instant need a heap.
//!
//! ```text
//!   Idle(60 s)   front ⇄ slot 7 ⇄ slot 3 ⇄ slot 12 back ◀─ set
//!   After(10 s)  front ⇄ slot 5 back ◀─ set
//!   At(…)        heap: (instant, slot), outdated entries passed over
//! ```

use crate::protocol::Deadline;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// Lists past this many go to the heap: a protocol that computes its durations must not make looking for a list expensive.
const LISTS_MAX: usize = 16;

/// No slot, no neighbour.
const NIL: u32 = u32::MAX;

/// At most one deadline for each slot.
pub struct Timers {
    /// Instants are kept as nanoseconds since then.
    base: Instant,
    /// What time it is.
    now_ns: u64,
    nodes: Vec<Node>,
    /// Of each node, beside it: together they would take a third more.
    places: Vec<Place>,
    lists: Vec<List>,
    heap: BinaryHeap<Reverse<(u64, u32)>>,
    /// How many entries of `heap` are not outdated.
    in_heap: usize,
}

#[derive(Clone, Copy)]
struct Node {
    at_ns: u64,
    prev: u32,
    next: u32,
}

/// Where a slot's deadline is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    None,
    List(u8),
    Heap,
}

struct List {
    idle: bool,
    after: Duration,
    front: u32,
    back: u32,
}

impl Timers {
    /// No deadlines. None can be before `base`.
    pub fn new(base: Instant) -> Timers {
        let (nodes, places, lists) = (Vec::new(), Vec::new(), Vec::new());
        Timers { base, now_ns: 0, nodes, places, lists, heap: BinaryHeap::new(), in_heap: 0 }
    }

    /// Says what time it is, until it is said again.
    pub fn set_now(&mut self, now: Instant) {
        self.now_ns = self.nanos(now);
    }

    /// Replaces the deadline of `slot`, counted from now.
    pub fn set(&mut self, slot: u32, deadline: Deadline) {
        self.clear(slot);
        match deadline {
            Deadline::Never => {}
            Deadline::Idle(after) => self.set_after(slot, true, after),
            Deadline::After(after) => self.set_after(slot, false, after),
            Deadline::At(at) => self.push_heap(slot, self.nanos(at)),
        }
    }

    /// The deadline of `slot`, as it was set; past [`LISTS_MAX`] durations, as the instant that it came to.
    pub fn get(&self, slot: u32) -> Deadline {
        match self.place(slot) {
            Place::None => Deadline::Never,
            Place::Heap => Deadline::At(self.base + Duration::from_nanos(self.nodes[slot as usize].at_ns)),
            Place::List(list) => match self.lists[usize::from(list)] {
                List { idle: true, after, .. } => Deadline::Idle(after),
                List { idle: false, after, .. } => Deadline::After(after),
            },
        }
    }

    /// Forgets the deadline of `slot`, if it has one.
    pub fn clear(&mut self, slot: u32) {
        let place = self.place(slot);
        if place == Place::None {
            return;
        }
        self.places[slot as usize] = Place::None;
        let Node { prev, next, .. } = self.nodes[slot as usize];
        match place {
            Place::None => {}
            Place::Heap => self.in_heap -= 1,
            Place::List(list) => {
                match prev {
                    NIL => self.lists[usize::from(list)].front = next,
                    prev => self.nodes[prev as usize].next = next,
                }
                match next {
                    NIL => self.lists[usize::from(list)].back = prev,
                    next => self.nodes[next as usize].prev = prev,
                }
            }
        }
    }

    /// How far away the nearest deadline is: zero where it has passed, `None` where there is none.
    pub fn next(&mut self) -> Option<Duration> {
        self.nearest().map(|(at_ns, _)| Duration::from_nanos(at_ns.saturating_sub(self.now_ns)))
    }

    fn nearest(&mut self) -> Option<(u64, u32)> {
        while self.heap.peek().is_some_and(|Reverse((at_ns, slot))| self.is_outdated(*at_ns, *slot)) {
            self.heap.pop();
        }
        let of_heap = self.heap.peek().map(|Reverse(entry)| *entry);
        let fronts = self.lists.iter().map(|list| list.front).filter(|front| *front != NIL);
        let of_lists = fronts.map(|front| (self.nodes[front as usize].at_ns, front)).min();
        of_heap.into_iter().chain(of_lists).min()
    }

    /// The slot that has been idle longest.
    pub fn longest_idle(&self) -> Option<u32> {
        let since = |list: &List| {
            let after_ns = u64::try_from(list.after.as_nanos()).unwrap_or(u64::MAX);
            self.nodes[list.front as usize].at_ns.saturating_sub(after_ns)
        };
        let idle = self.lists.iter().filter(|list| list.idle && list.front != NIL);
        idle.min_by_key(|list| since(list)).map(|list| list.front)
    }

    /// Takes the slot with the nearest deadline, if that has passed: they pass in their order.
    pub fn expire(&mut self) -> Option<u32> {
        let (at_ns, slot) = self.nearest()?;
        if at_ns > self.now_ns {
            return None;
        }
        self.clear(slot);
        Some(slot)
    }

    fn set_after(&mut self, slot: u32, idle: bool, after: Duration) {
        let at_ns = self.now_ns.saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX));
        let Some(list) = self.list(idle, after) else { return self.push_heap(slot, at_ns) };
        let back = std::mem::replace(&mut self.lists[list].back, slot);
        match back {
            NIL => self.lists[list].front = slot,
            back => self.nodes[back as usize].next = slot,
        }
        self.put(slot, Node { at_ns, prev: back, next: NIL }, Place::List(list as u8));
    }

    /// The list for deadlines of this kind, made when it is new, `None` when there are too many.
    fn list(&mut self, idle: bool, after: Duration) -> Option<usize> {
        if let Some(at) = self.lists.iter().position(|list| list.idle == idle && list.after == after) {
            return Some(at);
        }
        let list = List { idle, after, front: NIL, back: NIL };
        // A list that is empty now may as well serve another duration.
        if let Some(at) = self.lists.iter().position(|list| list.front == NIL) {
            self.lists[at] = list;
            return Some(at);
        }
        (self.lists.len() < LISTS_MAX).then(|| {
            self.lists.push(list);
            self.lists.len() - 1
        })
    }

    fn push_heap(&mut self, slot: u32, at_ns: u64) {
        self.put(slot, Node { at_ns, prev: NIL, next: NIL }, Place::Heap);
        self.in_heap += 1;
        self.heap.push(Reverse((at_ns, slot)));
        // Re-setting leaves an outdated entry behind each time: they are swept before they outnumber the others.
        if self.heap.len() > 2 * self.in_heap + 64 {
            let mut entries = std::mem::take(&mut self.heap).into_vec();
            entries.retain(|Reverse((at_ns, slot))| !self.is_outdated(*at_ns, *slot));
            entries.sort_unstable();
            entries.dedup();
            self.heap = entries.into();
        }
    }

    fn is_outdated(&self, at_ns: u64, slot: u32) -> bool {
        self.place(slot) != Place::Heap || self.nodes[slot as usize].at_ns != at_ns
    }

    fn place(&self, slot: u32) -> Place {
        self.places.get(slot as usize).copied().unwrap_or(Place::None)
    }

    fn put(&mut self, slot: u32, node: Node, place: Place) {
        let at = slot as usize;
        if at >= self.nodes.len() {
            self.nodes.resize(at + 1, Node { at_ns: 0, prev: NIL, next: NIL });
            self.places.resize(at + 1, Place::None);
        }
        self.nodes[at] = node;
        self.places[at] = place;
    }

    fn nanos(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.base).as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn set(timers: &mut Timers, slot: u32, deadline: Deadline, now: Instant) {
        timers.set_now(now);
        timers.set(slot, deadline);
    }

    fn expire(timers: &mut Timers, now: Instant) -> Option<u32> {
        timers.set_now(now);
        timers.expire()
    }

    fn all_expired(timers: &mut Timers, now: Instant) -> Vec<u32> {
        let mut slots: Vec<_> = std::iter::from_fn(|| expire(timers, now)).collect();
        slots.sort_unstable();
        slots
    }

    #[test]
    fn a_deadline_passes_once_and_not_before_its_time() {
        let base = Instant::now();
        let cases: &[(&str, Deadline)] =
            &[("idle", Deadline::Idle(2 * S)), ("after", Deadline::After(2 * S)), ("at", Deadline::At(base + 2 * S))];
        for (case, deadline) in cases {
            let mut timers = Timers::new(base);
            set(&mut timers, 5, *deadline, base);
            assert_eq!(timers.get(5), *deadline, "{case}");
            assert_eq!(timers.next(), Some(2 * S), "{case}");
            assert_eq!(expire(&mut timers, base + 2 * S - Duration::from_nanos(1)), None, "{case}");
            assert_eq!(expire(&mut timers, base + 2 * S), Some(5), "{case}");
            assert_eq!(expire(&mut timers, base + 9 * S), None, "{case}");
            assert_eq!(timers.next(), None, "{case}");
        }
    }

    #[test]
    fn deadlines_of_every_kind_pass_in_their_order() {
        let base = Instant::now();
        let mut timers = Timers::new(base);
        let deadlines = [
            Deadline::After(5 * S),
            Deadline::At(base + 2 * S),
            Deadline::Idle(S),
            Deadline::At(base + 4 * S),
            Deadline::After(3 * S),
        ];
        for (slot, deadline) in deadlines.into_iter().enumerate() {
            set(&mut timers, slot as u32, deadline, base);
        }
        let passed: Vec<_> = std::iter::from_fn(|| expire(&mut timers, base + 9 * S)).collect();
        assert_eq!(passed, [2, 1, 4, 3, 0]);
    }

    #[test]
    fn setting_again_replaces_and_clearing_forgets() {
        let base = Instant::now();
        let kinds = [Deadline::Idle(S), Deadline::After(S), Deadline::At(base + S)];
        for first in kinds {
            for second in [Deadline::Idle(5 * S), Deadline::After(5 * S), Deadline::At(base + 5 * S)] {
                let mut timers = Timers::new(base);
                set(&mut timers, 0, first, base);
                set(&mut timers, 0, second, base);
                assert_eq!(timers.next(), Some(5 * S), "{first:?}, {second:?}");
                assert_eq!(expire(&mut timers, base + 2 * S), None, "{first:?}, {second:?}");
                set(&mut timers, 0, Deadline::Never, base);
                assert_eq!((timers.next(), expire(&mut timers, base + 9 * S)), (None, None), "{first:?}, {second:?}");
            }
        }
    }

    #[test]
    fn neighbours_in_a_list_stay_when_one_leaves() {
        let base = Instant::now();
        for leaves in 0..4 {
            let mut timers = Timers::new(base);
            for slot in 0..4 {
                set(&mut timers, slot, Deadline::Idle(S), base);
            }
            timers.clear(leaves);
            let stay: Vec<u32> = (0..4).filter(|slot| *slot != leaves).collect();
            assert_eq!(all_expired(&mut timers, base + S), stay);
        }
    }

    #[test]
    fn who_is_idle_longest_is_known() {
        let base = Instant::now();
        let mut timers = Timers::new(base + S);
        assert_eq!(timers.longest_idle(), None);
        set(&mut timers, 0, Deadline::After(S), base + S);
        set(&mut timers, 1, Deadline::Idle(9 * S), base + 3 * S);
        set(&mut timers, 2, Deadline::Idle(5 * S), base + 2 * S);
        set(&mut timers, 3, Deadline::Idle(5 * S), base + 4 * S);
        for want in [Some(2), Some(1), Some(3), None] {
            assert_eq!(timers.longest_idle(), want, "who waits for something is not idle");
            want.into_iter().for_each(|slot| timers.clear(slot));
        }
    }

    #[test]
    fn more_durations_than_lists_still_pass_in_time() {
        let base = Instant::now();
        let mut timers = Timers::new(base);
        for slot in 0..100 {
            set(&mut timers, slot, Deadline::After(S * (slot + 1)), base);
        }
        for slot in 0..100 {
            assert_eq!(timers.next(), Some(S));
            assert_eq!(all_expired(&mut timers, base + S * (slot + 1)), [slot]);
        }
    }

    #[test]
    fn re_setting_does_not_grow_the_heap() {
        let base = Instant::now();
        let mut timers = Timers::new(base);
        for n in 0..10_000 {
            set(&mut timers, 3, Deadline::At(base + S * n), base);
            set(&mut timers, 4, Deadline::At(base + S), base);
        }
        assert!(timers.heap.len() <= 2 * 2 + 64, "{}", timers.heap.len());
        assert_eq!(all_expired(&mut timers, base + S * 20_000), [3, 4]);
    }

    #[test]
    fn a_time_before_the_base_is_the_base() {
        let base = Instant::now() + S;
        let mut timers = Timers::new(base);
        set(&mut timers, 0, Deadline::At(base - S), base - S);
        assert_eq!(expire(&mut timers, base), Some(0));
    }
}
