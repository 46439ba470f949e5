//! Stands between a store and its database, and can lose the reply to a commit: the database has committed, the store never hears so.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    thread,
};

const PASS: u8 = 0;
/// The next commit's reply is to be lost.
const ARMED: u8 = 1;
/// The commit went through; what the server says next is lost.
const LOSING: u8 = 2;

pub(crate) struct Proxy {
    port: u16,
    state: Arc<AtomicU8>,
}

impl Proxy {
    pub(crate) fn start(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let state = Arc::new(AtomicU8::new(PASS));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = UnixStream::connect(&socket) else { continue };
                let (Ok(client_too), Ok(server_too)) = (client.try_clone(), server.try_clone()) else { continue };
                let (up, down) = (Arc::clone(&shared), Arc::clone(&shared));
                thread::spawn(move || forth(client, server, &up));
                thread::spawn(move || back(server_too, client_too, &down));
            }
        });
        Self { port, state }
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgresql://crossdock@127.0.0.1:{}/{database}", self.port)
    }

    pub(crate) fn lose_next_reply(&self) {
        self.state.store(ARMED, Ordering::SeqCst);
    }

    pub(crate) fn has_lost(&self) -> bool {
        self.state.load(Ordering::SeqCst) == PASS
    }
}

fn forth(mut client: TcpStream, mut server: UnixStream, state: &AtomicU8) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length) = client.read(&mut buffer)
        && length > 0
    {
        let bytes = &buffer[..length];
        if bytes.windows(7).any(|window| window == b"COMMIT\0") {
            let _ = state.compare_exchange(ARMED, LOSING, Ordering::SeqCst, Ordering::SeqCst);
        }
        if server.write_all(bytes).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
}

fn back(mut server: UnixStream, mut client: TcpStream, state: &AtomicU8) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length) = server.read(&mut buffer)
        && length > 0
    {
        let bytes = &buffer[..length];
        let committed = bytes.windows(7).any(|window| window == b"COMMIT\0");
        if committed && state.compare_exchange(LOSING, PASS, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            break;
        }
        if client.write_all(bytes).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
}
