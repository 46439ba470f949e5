//! Sockets: what `serve` takes, what it closes, and how it stops.

use crate::world::World;
use crossdock_canonical::Duration;
use crossdock_server::serve;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

struct Server {
    address: std::net::SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Server {
    async fn start(world: &World) -> Self {
        Self::draining(world, Duration(0)).await
    }

    async fn draining(world: &World, drain: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (stop, stopped) = oneshot::channel::<()>();
        let router = world.router.clone();
        let serving = tokio::spawn(serve(listener, router, async move { _ = stopped.await }, drain));
        Self { address, stop: Some(stop), serving }
    }

    /// Sends bytes on a connection of their own; everything that comes back until the other end closes.
    async fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("a connection");
        // The other end may close while it is still being told.
        _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }
}

#[tokio::test]
async fn a_request_is_served_and_the_server_stops_when_told() {
    let mut server = Server::start(&World::new()).await;
    let answer = server.exchange(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok\n"), "{answer}");
    let idle = TcpStream::connect(server.address).await.expect("a connection");
    server.stop.take().expect("running").send(()).expect("listening");
    assert!(server.serving.await.expect("no panic").is_ok());
    drop(idle);
    assert!(TcpStream::connect(server.address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn whoever_keeps_a_connection_to_a_server_that_leaves_has_one_more_answer_and_is_told_to_open_another() {
    let mut server = Server::draining(&World::new(), Duration::seconds(5)).await;
    let ask = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut kept = TcpStream::connect(server.address).await.expect("a connection");
    let mut first = [0; 4_096];
    kept.write_all(ask).await.expect("sent");
    let count = kept.read(&mut first).await.expect("answered");
    let first = String::from_utf8_lossy(&first[..count]).into_owned();
    assert!(first.starts_with("HTTP/1.1 200") && !first.contains("connection: close"), "{first}");
    server.stop.take().expect("running").send(()).expect("listening");
    // Others may still come, and each answer of theirs is the last one too.
    let other = server.exchange(ask).await;
    let mut second = Vec::new();
    kept.write_all(ask).await.expect("sent");
    kept.read_to_end(&mut second).await.expect("answered and closed");
    for answer in [other, String::from_utf8_lossy(&second).into_owned()] {
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"), "{answer}");
    }
    assert!(server.serving.await.expect("no panic").is_ok());
}

#[tokio::test]
async fn requests_that_proxies_read_differently_are_refused_and_the_connection_closed() {
    let world = World::new();
    let server = Server::start(&world).await;
    let post = "POST /inbound/v1/erp HTTP/1.1\r\nhost: x\r\nx-signature: right\r\n";
    let smuggled = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    for head in [
        "content-length: 4\r\ncontent-length: 5\r\n\r\nabcd",
        "content-length: 4, 5\r\n\r\nabcd",
        "content-length: +4\r\n\r\nabcd",
        "content-length: -1\r\n\r\nabcd",
        "content-length: 0x4\r\n\r\nabcd",
        "transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\nzz\r\nabcd\r\n0\r\n\r\n",
        "x-fold: a\r\n b\r\ncontent-length: 0\r\n\r\n",
        "content-length : 4\r\n\r\nabcd",
        "x y: 1\r\n\r\n",
        "x: a\0b\r\n\r\n",
    ] {
        let answer = server.exchange(format!("{post}{head}{smuggled}").as_bytes()).await;
        let answers = answer.matches("HTTP/1.1 ").count();
        assert!(answers <= 1 && !answer.contains(" 200 ") && !answer.contains(" 202 "), "{head:?}: {answer}");
    }
    assert!(world.hub.webhooks.lock().expect("free").is_empty());
    // Both lengths: the chunks count, and what follows is not read as a request.
    let both = format!("{post}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}");
    let answer = server.exchange(both.as_bytes()).await;
    assert!(answer.matches("HTTP/1.1 ").count() == 1 && answer.contains("connection: close"), "{answer}");
    assert!(world.hub.webhooks.lock().expect("free").iter().all(|(_, request)| request.body.is_empty()));
}

#[tokio::test]
async fn heads_beyond_the_caps_are_refused() {
    let server = Server::start(&World::new()).await;
    let many: String = (0..101).map(|n| format!("x-{n}: 1\r\n")).collect();
    let answer = server.exchange(format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{many}\r\n").as_bytes()).await;
    assert!(!answer.contains(" 200 "), "{answer}");
    for size in [33_000, 100_000, 5_000_000] {
        let large = format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "a".repeat(size));
        let answer = server.exchange(large.as_bytes()).await;
        assert!(!answer.contains(" 200 "), "{size}: {answer}");
        let target = format!("GET /healthz?{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(size));
        let answer = server.exchange(target.as_bytes()).await;
        assert!(!answer.contains(" 200 "), "{size}: {answer}");
    }
}
