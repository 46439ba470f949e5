//! The outside systems of the benchmark, in a process of their own, each at its own address. They answer at once (or after a set delay), remember which steps of
//! each order they saw, and say when an order has had all six.

use super::{child::Commands, flow::STEPS};
use crossdock_canonical::Duration;
use crossdock_engine::shell::clock;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Bytes, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};
use tokio::{net::TcpListener, sync::oneshot};

/// All steps of an order.
const ALL: u8 = (1 << STEPS.len()) - 1;

#[derive(Default)]
struct Stub {
    delay_ms: AtomicI64,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    orders: HashMap<u64, Order>,
    /// Different (order, step) pairs since the last `forget`.
    unique: u64,
    /// Calls for a step that was done, and for one whose turn it was not: since the start.
    repeated: u64,
    out_of_order: u64,
}

#[derive(Default)]
struct Order {
    steps: u8,
    waiter: Option<oneshot::Sender<()>>,
}

pub async fn run() -> Result<(), String> {
    let stub = Arc::new(Stub::default());
    let mut urls = Vec::new();
    for _ in &STEPS {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|e| e.to_string())?;
        let address = listener.local_addr().map_err(|e| e.to_string())?;
        urls.push(format!("http://{address}"));
        tokio::spawn(serve(listener, stub.clone()));
    }
    // Any of them says when an order is done.
    let mut commands = Commands::start(&serde_json::json!({"url": urls[0], "systems": urls.join(",")}));
    while let Some(command) = commands.next().await {
        let mut words = command.split(' ');
        match (words.next(), words.next().and_then(|word| word.parse().ok())) {
            (Some("delay"), Some(ms)) => {
                stub.delay_ms.store(ms, Ordering::Relaxed);
                commands.answer(&serde_json::json!({}));
            }
            (Some("forget"), None) => {
                let mut seen = stub.lock();
                (seen.orders, seen.unique) = (HashMap::new(), 0);
                drop(seen);
                commands.answer(&serde_json::json!({}));
            }
            _ => {
                let seen = stub.lock();
                let told =
                    serde_json::json!({"unique": seen.unique, "repeated": seen.repeated, "out_of_order": seen.out_of_order});
                drop(seen);
                commands.answer(&told);
            }
        }
    }
    Ok(())
}

async fn serve(listener: TcpListener, stub: Arc<Stub>) {
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).ok();
        let stub = stub.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let stub = stub.clone();
                async move { Ok::<_, Infallible>(stub.answer(request).await) }
            });
            // A caller that goes away is no fault of the stub.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

impl Stub {
    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `POST /{system}/{number}` is an effect; `GET /done/{number}` answers when the order has had them all.
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let mut path = request.uri().path().trim_start_matches('/').split('/');
        let (Some(what), Some(Ok(number))) = (path.next(), path.next().map(str::parse::<u64>)) else { return reply(404, "{}") };
        if what == "done" {
            if let Some(done) = self.wait(number) {
                // Fails only when the stub forgets all orders; then the order is done for whoever waits.
                let _ = done.await;
            }
            return reply(200, "{}");
        }
        let Some(step) = STEPS.iter().position(|step| step.system == what) else { return reply(404, "{}") };
        if request.into_body().collect().await.is_err() {
            return reply(400, "{}");
        }
        let delay = self.delay_ms.load(Ordering::Relaxed);
        if delay > 0 {
            clock::pause(Duration::millis(delay)).await;
        }
        self.take(number, step);
        reply(200, format!(r#"{{"id":"{}-{number}"}}"#, STEPS[step].name))
    }

    fn take(&self, number: u64, step: usize) {
        let mut seen = self.lock();
        let order = seen.orders.entry(number).or_default();
        let bit = 1 << step;
        let (new, in_order) = (order.steps & bit == 0, order.steps & (bit - 1) == bit - 1);
        order.steps |= bit;
        let waiter = if order.steps == ALL { order.waiter.take() } else { None };
        seen.unique += u64::from(new);
        seen.repeated += u64::from(!new);
        seen.out_of_order += u64::from(!in_order);
        drop(seen);
        if let Some(waiter) = waiter {
            let _ = waiter.send(());
        }
    }

    fn wait(&self, number: u64) -> Option<oneshot::Receiver<()>> {
        let mut seen = self.lock();
        let order = seen.orders.entry(number).or_default();
        (order.steps != ALL).then(|| {
            let (tell, told) = oneshot::channel();
            order.waiter = Some(tell);
            told
        })
    }
}

fn reply(status: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = hyper::StatusCode::from_u16(status).expect("the stub answers with known codes");
    response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
    response
}
