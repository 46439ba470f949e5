//! An address on which a hub listens again and again, also after it was killed.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

/// A free port of a loopback address of this process's own. On 127.0.0.1 any outgoing connection may take the port while the hub is down.
pub(crate) fn own() -> Result<SocketAddr, String> {
    let [.., high, low] = std::process::id().to_be_bytes();
    on(Ipv4Addr::new(127, 1, high, low.max(1)))
}

/// A free port of an address of this machine.
pub(crate) fn on(address: Ipv4Addr) -> Result<SocketAddr, String> {
    let found = TcpListener::bind((address, 0)).and_then(|listener: TcpListener| listener.local_addr());
    found.map_err(|error: io::Error| format!("no free port: {error}"))
}
