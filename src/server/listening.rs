//! Listening at what an address resolves to.

use super::{Error, Result};
use crate::sys;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

/// Connections that wait to be accepted; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: u32 = 4096;

/// Ports that are tried to suggest a free one.
const PORTS_TRIED: u16 = 64;

/// Listens at every address that `text` resolves to, on the same port. Of several, those that this machine does not have are passed over.
pub(super) fn listen(text: &str) -> Result<Vec<TcpListener>> {
    let address_error = |source| Error::Address { text: text.into(), source };
    let resolved = text.to_socket_addrs().map_err(address_error)?;
    let mut listeners: Vec<TcpListener> = Vec::new();
    let mut unavailable = None;
    for mut address in resolved {
        if let Some(first) = listeners.first() {
            address.set_port(first.local_addr()?.port());
        }
        match sys::listen(address, BACKLOG) {
            Ok(socket) => listeners.push(socket.into()),
            Err(source) if source.kind() == ErrorKind::AddrNotAvailable => unavailable = Some((address, source)),
            Err(source) => return Err(Error::Bind { address, source, free_port: free_port(address) }),
        }
    }
    match (listeners.is_empty(), unavailable) {
        (false, _) => Ok(listeners),
        (true, Some((address, source))) => Err(Error::Bind { address, source, free_port: None }),
        (true, None) => Err(address_error(ErrorKind::NotFound.into())),
    }
}

/// The next port at which listening would work.
fn free_port(address: SocketAddr) -> Option<u16> {
    let ports = (1..=PORTS_TRIED).filter_map(|step| address.port().checked_add(step));
    ports.into_iter().find(|port| sys::listen(SocketAddr::new(address.ip(), *port), 1).is_ok())
}

/// Whether only this machine's own programs reach an address.
pub(super) fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}
