//! Serving: connections bounded in number, time and size, and a shutdown that lets open requests end.
//!
//! axum's own `serve` sets no header timeout and no caps, so this is hyper's HTTP/1 connection with ours. No HTTP/2: what is
//! not there cannot be flooded; a proxy in front can offer it.

use crate::{
    auth::Peer,
    problem::{Code, Problem},
    tick,
};
use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, header},
    response::{IntoResponse, Response},
};
use crossdock_engine::shell::clock;
use hyper::{body::Incoming, server::conn::http1, service::Service as _};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};

const HEADERS_WITHIN: Duration = Duration::from_secs(10);
const HEADERS_MAX: usize = 100;
/// The head of a request: address and header lines together.
const HEAD_BYTES_MAX: usize = 32 << 10;
/// hyper's read buffer, which may be overrun by one read; a head that does not fit ends the connection.
const BUFFER_MAX: usize = 64 << 10;
const CONNECTIONS_MAX: usize = 4_096;
/// Open requests may take so long to end after the shutdown began.
const SHUTDOWN_WITHIN: Duration = Duration::from_secs(10);

/// Where a connection stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    /// Each answer is the last of its connection: whoever keeps one open opens the next elsewhere, and no request meets a close.
    Leaving,
    Stopping,
}

/// Serves until `stop` resolves, and `drain` longer while connections end one by one; then lets open requests end.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()>,
    drain: crossdock_canonical::Duration,
) -> std::io::Result<()> {
    let phase = watch::Sender::new(Phase::Serving);
    let stop = async {
        stop.await;
        phase.send_replace(Phase::Leaving);
        clock::pause(drain).await;
    };
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        // Whoever comes after the stop is told so: it is looked at first.
        let place = tokio::select! {
            biased;
            () = &mut stop => break,
            place = places.clone().acquire_owned() => place.expect("the semaphore is never closed"),
        };
        let accepted = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, peer)) => {
                let (router, phase) = (router.clone(), phase.subscribe());
                connections.spawn(async move {
                    connection(stream, Peer(peer.ip().to_canonical()), router, phase).await;
                    drop(place);
                });
            }
            // Out of file descriptors or a connection gone before it was taken: the others go on.
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tick::beat().await;
            }
        }
    }
    drop(listener);
    phase.send_replace(Phase::Stopping);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(SHUTDOWN_WITHIN, ended).await.is_err() {
        tracing::warn!("requests were still open at the end of the shutdown");
    }
    Ok(())
}

async fn connection(stream: TcpStream, peer: Peer, router: Router, mut phase: watch::Receiver<Phase>) {
    stream.set_nodelay(true).ok();
    let now = phase.clone();
    let service = hyper::service::service_fn(move |request| {
        let (router, now) = (router.clone(), now.clone());
        async move {
            let answer = answer(request, peer, router).await;
            Ok::<_, Infallible>(if *now.borrow() == Phase::Serving { answer } else { closing(answer) })
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .max_headers(HEADERS_MAX)
        .max_buf_size(BUFFER_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let stop = async { phase.wait_for(|phase| *phase == Phase::Stopping).await.map(drop).ok() };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stop => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, peer = %peer.0, "connection ended early");
    }
}

async fn answer(mut request: Request<Incoming>, peer: Peer, router: Router) -> Response {
    let head: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if head + request.uri().to_string().len() > HEAD_BYTES_MAX {
        return closing(Problem::of(Code::HeadTooLarge).into_response());
    }
    if is_ambiguous(request.headers()) {
        let problem = Problem::new(Code::InvalidRequest, "The length of the body is given in two ways.");
        return closing(problem.into_response());
    }
    request.extensions_mut().insert(peer);
    match TowerToHyperService::new(router).call(request.map(Body::new)).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// An answer after which nothing more is read from the connection.
fn closing(mut answer: Response) -> Response {
    answer.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    answer
}

/// Two lengths of one body are how requests are smuggled past a proxy. Where only one of them is `Transfer-Encoding`, hyper
/// goes by the chunks, forgets the other and closes the connection after the answer, so nothing that follows is a request.
fn is_ambiguous(headers: &HeaderMap) -> bool {
    let lengths = headers.get_all(header::CONTENT_LENGTH).iter().count();
    lengths > 1 || (lengths > 0 && headers.contains_key(header::TRANSFER_ENCODING))
}
