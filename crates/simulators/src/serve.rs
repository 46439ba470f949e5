//! The shell: a [`World`] behind sockets, one listener a system, and the notifications it owes the hub.
//!
//! All thinking happens in the world under a lock that is held for microseconds; this file only moves bytes and waits. Besides
//! the vendor's own routes each listener answers `/_sim/ledger`, `/_sim/faults` and, on the storefront, `/_sim/orders`.

#![expect(clippy::disallowed_methods, reason = "this is the shell of the simulators: it waits for delays and due notifications")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use crate::faults::Faults;
use crate::http::{Call, Outgoing, Request, Response};
use crate::json::{Json, object};
use crate::world::{SYSTEMS, World};

/// The largest request body read; a larger one is answered 413.
const BODY_BYTES_MAX: usize = 6_000_000;
/// How many notifications of one system wait for its sender.
const QUEUE_MAX: usize = 256;
const NOTIFY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the pump sleeps at most; a call wakes it earlier.
const IDLE: Duration = Duration::from_secs(60);

/// The time in ms since 1970, from whoever owns the clock.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// What the shell needs beside the world.
pub struct Options {
    /// Where all of them listen.
    pub address: Ipv4Addr,
    /// A port by system; those not named get a free one.
    pub ports: BTreeMap<String, u16>,
    /// The hub's base URL (`http://host:port`); without it notifications wait.
    pub hub: Option<String>,
    pub clock: Clock,
}

impl Options {
    /// On 127.0.0.1, at free ports, with nobody to notify.
    pub fn new(clock: Clock) -> Self {
        Self { address: Ipv4Addr::LOCALHOST, ports: BTreeMap::new(), hub: None, clock }
    }
}

/// Running listeners; dropping it stops them.
pub struct Running {
    world: Arc<Mutex<World>>,
    addresses: BTreeMap<&'static str, SocketAddr>,
    hub: watch::Sender<Option<String>>,
    wake: Arc<Notify>,
    _tasks: JoinSet<()>,
}

impl Running {
    pub fn addresses(&self) -> &BTreeMap<&'static str, SocketAddr> {
        &self.addresses
    }

    /// The base URL of a system.
    pub fn url(&self, system: &str) -> Option<String> {
        self.addresses.get(system).map(|address| format!("http://{address}"))
    }

    /// Tells where notifications go from now on.
    pub fn set_hub(&self, url: Option<String>) {
        self.hub.send_replace(url);
        self.wake.notify_one();
    }

    /// The world, for whoever places orders or reads ledgers in the same process.
    pub fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    /// Looks for due notifications now: to be called after acting on the world outside a request.
    pub fn wake(&self) {
        self.wake.notify_one();
    }
}

#[derive(Clone)]
struct Shell {
    world: Arc<Mutex<World>>,
    clock: Clock,
    wake: Arc<Notify>,
}

/// Opens the listeners and starts sending notifications.
pub async fn start(world: World, options: Options) -> io::Result<Running> {
    let shell = Shell { world: Arc::new(Mutex::new(world)), clock: options.clock, wake: Arc::new(Notify::new()) };
    let (hub, hub_seen) = watch::channel(options.hub);
    let mut tasks = JoinSet::new();
    let mut addresses = BTreeMap::new();
    for system in SYSTEMS {
        let port = options.ports.get(system).copied().unwrap_or(0);
        let listener = TcpListener::bind((options.address, port)).await?;
        addresses.insert(system, listener.local_addr()?);
        tasks.spawn(accept(listener, system, shell.clone()));
    }
    let mut senders = BTreeMap::new();
    for system in SYSTEMS {
        let (sender, queue) = mpsc::channel(QUEUE_MAX);
        senders.insert(system, sender);
        tasks.spawn(send(queue, hub_seen.clone(), shell.clone()));
    }
    tasks.spawn(pump(senders, hub_seen, shell.clone()));
    Ok(Running { world: shell.world, addresses, hub, wake: shell.wake, _tasks: tasks })
}

fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    // A panic while the world was changed is a bug already reported; the other systems may go on.
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, system: &'static str, shell: Shell) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely; the next accept may succeed.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let shell = shell.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| answer(request, system, shell.clone()));
            // An error here is a connection that was cut, by the peer or on purpose.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// The connection ends without an answer, as the faults want it.
#[derive(Debug)]
struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut without an answer")
    }
}

impl std::error::Error for Cut {}

async fn answer(
    request: hyper::Request<Incoming>,
    system: &'static str,
    shell: Shell,
) -> Result<hyper::Response<Full<Bytes>>, Cut> {
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes().to_vec(),
        Err(_) => return Ok(wire(Response::empty(413))),
    };
    let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let request = Request {
        method: parts.method.as_str().to_owned(),
        path_and_query: parts.uri.path_and_query().map_or("/", |p| p.as_str()).to_owned(),
        headers: parts.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect(),
        body,
    };
    let now = (shell.clock)();
    if request.path_and_query.starts_with("/_sim/") {
        let response = control(&request, system, &shell, now);
        shell.wake.notify_one();
        return Ok(wire(response));
    }
    let reply = lock(&shell.world).handle(system, &request, now);
    shell.wake.notify_one();
    let Some(reply) = reply else { return Ok(wire(Response::empty(404))) };
    if reply.delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(reply.delay_ms)).await;
    }
    reply.response.map(wire).ok_or(Cut)
}

fn wire(response: Response) -> hyper::Response<Full<Bytes>> {
    let mut out = hyper::Response::new(Full::new(Bytes::from(response.body)));
    *out.status_mut() = hyper::StatusCode::from_u16(response.status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in response.headers {
        let name = hyper::header::HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, hyper::header::HeaderValue::from_str(&value)) {
            out.headers_mut().append(name, value);
        }
    }
    out
}

/// The routes under `/_sim`: what a judge reads and a tormentor sets.
fn control(request: &Request, system: &'static str, shell: &Shell, now: i64) -> Response {
    let call = Call::new(request);
    let mut world = lock(&shell.world);
    let number = |name: &str, default: u64| call.query(name).and_then(|n| n.parse().ok()).unwrap_or(default);
    match (call.method, &call.path()[..]) {
        ("GET", ["_sim", "ledger"]) => {
            let lines = world.ledger(system).map(|ledger| ledger.lines(number("after", 0))).unwrap_or_default();
            Response::bytes(200, "application/x-ndjson", lines)
        }
        ("GET", ["_sim", "faults"]) => match world.station(system) {
            Some(station) => {
                let faults = serde_json::to_vec(station.faults()).ok().and_then(|text| Json::parse(&text).ok());
                let counts = station.fault_counts().iter().map(|(class, count)| ((*class).into(), Json::from(*count)));
                let counts = Json::Object(counts.collect());
                Response::json(200, &object! { "faults": faults, "counts": counts, "outages_end": station.outages_end() })
            }
            None => Response::empty(404),
        },
        ("PUT", ["_sim", "faults"]) => match Faults::parse(&request.body) {
            Ok(faults) => {
                world.set_faults(system, faults, now);
                Response::empty(204)
            }
            Err(why) => Response::json(400, &object! { "error": why }),
        },
        ("POST", ["_sim", "orders"]) if system == "storefront" => {
            let mut lines = String::new();
            for _ in 0..number("count", 1).min(10_000) {
                let expectation = world.place_next(now);
                lines.push_str(&serde_json::to_string(&expectation).unwrap_or_default());
                lines.push('\n');
            }
            Response::bytes(200, "application/x-ndjson", lines)
        }
        _ => Response::empty(404),
    }
}

/// Hands due notifications to the senders and sleeps until the next.
async fn pump(senders: BTreeMap<&'static str, mpsc::Sender<Outgoing>>, mut hub: watch::Receiver<Option<String>>, shell: Shell) {
    loop {
        let now = (shell.clock)();
        let (due, next) = {
            let mut world = lock(&shell.world);
            // Without a hub the notifications stay where they are, but the systems' own work goes on when they are called.
            let due = if hub.borrow().is_some() { world.due(now) } else { Vec::new() };
            (due, world.next_due())
        };
        for outgoing in due {
            let Some(sender) = senders.get(outgoing.system) else { continue };
            if sender.send(outgoing).await.is_err() {
                return;
            }
        }
        let pause = match next.filter(|_| hub.borrow().is_some()) {
            Some(at) => Duration::from_millis(u64::try_from(at - (shell.clock)()).unwrap_or(0)).min(IDLE),
            None => IDLE,
        };
        tokio::select! {
            () = shell.wake.notified() => {}
            () = tokio::time::sleep(pause) => {}
            changed = hub.changed() => if changed.is_err() { return },
        }
    }
}

/// Sends one system's notifications in their order over one kept connection.
async fn send(mut queue: mpsc::Receiver<Outgoing>, hub: watch::Receiver<Option<String>>, shell: Shell) {
    let mut connection: Option<(String, SendRequest<Full<Bytes>>)> = None;
    while let Some(outgoing) = queue.recv().await {
        let url = hub.borrow().clone();
        let taken = match &url {
            Some(url) => tokio::time::timeout(NOTIFY_TIMEOUT, post(&mut connection, url, &outgoing)).await.unwrap_or(false),
            None => false,
        };
        if !taken {
            connection = None;
            lock(&shell.world).undelivered(outgoing, (shell.clock)());
            shell.wake.notify_one();
        }
    }
}

/// Whether the hub answered with a 2xx.
async fn post(connection: &mut Option<(String, SendRequest<Full<Bytes>>)>, url: &str, outgoing: &Outgoing) -> bool {
    let Some(authority) = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/').to_owned()) else { return false };
    let fresh = match connection {
        Some((to, sender)) => *to != authority || sender.ready().await.is_err(),
        None => true,
    };
    if fresh {
        match connect(&authority).await {
            Ok(sender) => *connection = Some((authority.clone(), sender)),
            Err(_) => return false,
        }
    }
    let Some((_, sender)) = connection else { return false };
    let mut request = hyper::Request::post(&outgoing.path).header("host", &authority);
    for (name, value) in &outgoing.headers {
        request = request.header(name, value);
    }
    let Ok(request) = request.body(Full::new(Bytes::from(outgoing.body.clone()))) else { return false };
    match sender.send_request(request).await {
        Ok(response) => {
            let taken = response.status().is_success();
            // The body is read to its end, or the connection could not be used again.
            response.into_body().collect().await.is_ok() && taken
        }
        Err(_) => false,
    }
}

async fn connect(authority: &str) -> Result<SendRequest<Full<Bytes>>, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(authority).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        let _: Result<(), Infallible> = connection.await.or(Ok(()));
    });
    Ok(sender)
}
