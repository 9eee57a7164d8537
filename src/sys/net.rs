//! Sockets: socket(2), accept4(2), recv(2), send(2), sendfile(2), shutdown(2).

use super::{cvt, cvt_len};
use std::fs::File;
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// The most that the kernel takes for `TCP_KEEPIDLE` and `TCP_KEEPINTVL`.
const KEEP_ALIVE_SECONDS_MAX: libc::c_int = 32_767;

/// What the kernel takes of an answer beyond what it can send now: less than this waits for the peer's window. Else a MiB is taken for whoever
/// asks and resets, which is most of what a storm of resets costs; and who reads slowly would hold megabytes. A refill costs a wait, and a fast
/// reader is given one in 32 KiB.
const UNSENT_BYTES_MAX: libc::c_int = 64 * 1024;

/// A non-blocking, listening TCP socket bound to `address` (port 0: the kernel chooses).
///
/// Set on it: `SO_REUSEADDR`, so that a restart need not wait for old connections; `TCP_NODELAY` and `TCP_NOTSENT_LOWAT`
/// (`UNSENT_BYTES_MAX`), which accepted sockets inherit; and for IPv6 `IPV6_V6ONLY`, so that `[::]` and `0.0.0.0` are two addresses.
pub fn listen(address: SocketAddr, backlog: u32) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers; on success the descriptor is new and nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(cvt(libc::socket(family, kind, 0))?) };
    set_option(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    set_option(&socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
    set_option(&socket, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, UNSENT_BYTES_MAX)?;
    if address.is_ipv6() {
        set_option(&socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
    }
    match address {
        SocketAddr::V4(v4) => bind(&socket, &address_v4(v4))?,
        SocketAddr::V6(v6) => bind(
            &socket,
            &libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo().to_be(),
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            },
        )?,
    }
    let backlog = libc::c_int::try_from(backlog).unwrap_or(libc::c_int::MAX);
    // SAFETY: no pointers.
    cvt(unsafe { libc::listen(socket.as_raw_fd(), backlog) })?;
    Ok(socket)
}

/// Begins to connect to `to`, from `from` where that is given, its port chosen late, so that each address has all ports towards each
/// peer (`IP_BIND_ADDRESS_NO_PORT`). Non-blocking: writable says that it is done, and an error comes with the first send or receive.
pub fn connect(from: Option<Ipv4Addr>, to: SocketAddrV4) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers; on success the descriptor is new and nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(cvt(libc::socket(libc::AF_INET, kind, 0))?) };
    set_option(&socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
    if let Some(from) = from {
        set_option(&socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)?;
        bind(&socket, &address_v4(SocketAddrV4::new(from, 0)))?;
    }
    let (address, length) = (address_v4(to), size_of::<libc::sockaddr_in>() as libc::socklen_t);
    // SAFETY: `address` is readable for `length` bytes and outlives the call; the kernel only reads it.
    match cvt(unsafe { libc::connect(socket.as_raw_fd(), std::ptr::from_ref(&address).cast(), length) }) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        Ok(_) | Err(_) => Ok(socket),
    }
}

fn address_v4(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
        sin_zero: [0; 8],
    }
}

/// bind(2) to a `sockaddr_in` or `sockaddr_in6`.
fn bind<Address>(socket: &OwnedFd, address: &Address) -> io::Result<()> {
    let length = size_of::<Address>() as libc::socklen_t;
    // SAFETY: `address` is readable for `length` bytes and outlives the call; the kernel only reads it.
    cvt(unsafe { libc::bind(socket.as_raw_fd(), std::ptr::from_ref(address).cast(), length) }).map(drop)
}

/// setsockopt(2) for options that are an `int`.
fn set_option(socket: &impl AsRawFd, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    set_value(socket, level, name, &value)
}

/// setsockopt(2). `Value` is the option's own type; what it points to is the caller's to keep for the call.
fn set_value<Value>(socket: &impl AsRawFd, level: libc::c_int, name: libc::c_int, value: &Value) -> io::Result<()> {
    let length = size_of::<Value>() as libc::socklen_t;
    // SAFETY: `value` is readable for `length` bytes and outlives the call; the kernel only reads it.
    cvt(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, std::ptr::from_ref(value).cast(), length) })
        .map(drop)
}

/// Has the kernel ask a peer that is silent whether it is there, each time `silence` has passed (`SO_KEEPALIVE`, tcp(7)), and end the
/// connection with ETIMEDOUT where none of what was asked or sent was acknowledged for as long again (`TCP_USER_TIMEOUT`). Connections have
/// it of the listener that accepts them. In whole seconds, at least one.
pub fn keep_alive(socket: BorrowedFd<'_>, silence: Duration) -> io::Result<()> {
    let seconds = libc::c_int::try_from(silence.as_secs()).unwrap_or(KEEP_ALIVE_SECONDS_MAX);
    let seconds = seconds.clamp(1, KEEP_ALIVE_SECONDS_MAX);
    set_option(&socket, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1)?;
    set_option(&socket, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, seconds)?;
    set_option(&socket, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, seconds)?;
    set_option(&socket, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, 2 * seconds * 1000)
}

/// Makes both kernel buffers of a socket about `bytes` small (`SO_SNDBUF`, `SO_RCVBUF`; the kernel has a floor and doubles what it is
/// told), so that a test sees answers block midway.
pub fn set_buffers(socket: BorrowedFd<'_>, bytes: u32) -> io::Result<()> {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    set_option(&socket, libc::SOL_SOCKET, libc::SO_SNDBUF, bytes)?;
    set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF, bytes)
}

/// Makes the next close(2) of the socket a reset (`SO_LINGER` of 0 s): what waits in the kernel is thrown away.
pub fn abort_on_close(socket: BorrowedFd<'_>) -> io::Result<()> {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    set_value(&socket, libc::SOL_SOCKET, libc::SO_LINGER, &linger)
}

/// Drops every packet that would begin a connection with `listener`, by a filter (`SO_ATTACH_FILTER`, socket(7)): who tries is not reset, but
/// tries again. What ends a handshake that was begun before passes.
pub fn bar_entry(listener: BorrowedFd<'_>) -> io::Result<()> {
    // RFC 9293 §3.1: the flags of a TCP header, and the one that begins.
    const FLAGS_AT: u32 = 13;
    const SYN: u32 = 0x02;
    let instruction = |code: u32, jump_if: u8, k: u32| libc::sock_filter { code: code as u16, jt: jump_if, jf: 0, k };
    let mut filter = [
        instruction(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, FLAGS_AT),
        instruction(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, 1, SYN),
        instruction(libc::BPF_RET | libc::BPF_K, 0, u32::MAX), // The packet passes whole.
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0),
    ];
    // The kernel copies the instructions that it counts, which outlive the call.
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    set_value(&listener, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

/// accept4(2), non-blocking and close-on-exec: the connection and its peer's address.
pub fn accept(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, SocketAddr)> {
    let mut storage = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: `storage` is writable for `length` bytes and holds any address; both outlive the call; the new descriptor is ours alone.
    let socket = unsafe {
        OwnedFd::from_raw_fd(cvt(libc::accept4(listener.as_raw_fd(), storage.as_mut_ptr().cast(), &mut length, flags))?)
    };
    // SAFETY: zeroed at first, so initialised throughout whatever the kernel wrote; all-zero is a valid sockaddr_storage.
    let storage = unsafe { storage.assume_init() };
    Ok((socket, address(&storage)))
}

/// Whether `error` of accept(2) is one of the connection that was to be accepted, or of the network that it came by: the next may be sound.
/// (EOPNOTSUPP would be the listener's, were it no stream socket: nothing here listens with another.)
pub fn is_of_new_connection(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
                | libc::ENETDOWN
                | libc::ENETUNREACH
                | libc::ENONET
                | libc::ENOPROTOOPT
                | libc::EOPNOTSUPP
                | libc::EPERM
                | libc::EPROTO
                | libc::ETIMEDOUT
        )
    )
}

/// An address of the kernel's as std's. What is neither IPv4 nor IPv6 (a Unix socket) has no address: `0.0.0.0:0`.
fn address(storage: &libc::sockaddr_storage) -> SocketAddr {
    match libc::c_int::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: sockaddr_storage is at least as large and as aligned as any address, and its family says that this is an IPv4 one.
            let v4 = unsafe { &*std::ptr::from_ref(storage).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
            SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into()
        }
        libc::AF_INET6 => {
            // SAFETY: as above; its family says that this is an IPv6 one.
            let v6 = unsafe { &*std::ptr::from_ref(storage).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            SocketAddrV6::new(ip, u16::from_be(v6.sin6_port), u32::from_be(v6.sin6_flowinfo), v6.sin6_scope_id).into()
        }
        _ => SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0).into(),
    }
}

/// recv(2): up to `into.len()` bytes; 0 is the end of the stream.
pub fn receive(socket: BorrowedFd<'_>, into: &mut [u8]) -> io::Result<usize> {
    // SAFETY: `into` is exclusively ours for the call and writable for its length; the kernel writes at most that.
    cvt_len(unsafe { libc::recv(socket.as_raw_fd(), into.as_mut_ptr().cast(), into.len(), 0) })
}

/// recv(2) that throws away up to `bytes_max` bytes without copying them (`MSG_TRUNC`, tcp(7)): 0 is the end of the stream.
pub fn discard(socket: BorrowedFd<'_>, bytes_max: usize) -> io::Result<usize> {
    // SAFETY: with MSG_TRUNC on a TCP socket the kernel writes nothing, so that no buffer is needed (tcp(7)).
    cvt_len(unsafe { libc::recv(socket.as_raw_fd(), std::ptr::null_mut(), bytes_max, libc::MSG_TRUNC) })
}

/// send(2) without SIGPIPE. `more` says that more bytes, or the end of the stream, follow at once: they share the segment (`MSG_MORE`).
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], more: bool) -> io::Result<usize> {
    let flags = libc::MSG_NOSIGNAL | if more { libc::MSG_MORE } else { 0 };
    // SAFETY: `bytes` is readable for its length; the kernel copies it and keeps no pointer.
    cvt_len(unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) })
}

/// sendfile(2): up to `length` bytes of `file` from `offset`; 0 is the end of the file. The file's own position stays as it is.
pub fn send_file(socket: BorrowedFd<'_>, file: &File, offset: u64, length: usize) -> io::Result<usize> {
    let mut offset = libc::off64_t::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: `offset` is ours and outlives the call; the kernel reads and writes that one number.
    cvt_len(unsafe { libc::sendfile64(socket.as_raw_fd(), file.as_raw_fd(), &mut offset, length) })
}

/// How much of what was sent the peer has not acknowledged: ioctl(2) with `SIOCOUTQ` (tcp(7); libc knows it as `TIOCOUTQ`).
pub fn unacknowledged(socket: BorrowedFd<'_>) -> io::Result<u64> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: `bytes` is ours and outlives the call; the kernel writes that one int.
    cvt(unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &mut bytes) })?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}

/// shutdown(2) of the sending direction: the peer reads everything sent, then the end of the stream.
pub fn shutdown_write(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no pointers.
    cvt(unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_WR) }).map(drop)
}

/// shutdown(2) of a listening socket's receiving direction: on Linux it listens no more, whoever else has a descriptor of it, and who waits
/// to be accepted is reset.
pub fn stop_listening(listener: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no pointers.
    cvt(unsafe { libc::shutdown(listener.as_raw_fd(), libc::SHUT_RD) }).map(drop)
}
