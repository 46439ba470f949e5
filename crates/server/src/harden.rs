//! What surrounds every request: an id, security headers, a log line, and a last net under panics.

use crate::{
    app::App,
    console,
    problem::{Code, Problem},
};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU64, Ordering},
    task::Poll,
};

/// Nothing inline, nothing from another host, no frame around us. `connect-src` is for the console's event stream.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; \
     img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 7] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
];

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    static ID: String;
}

/// The id of the request being handled; `-` outside of one.
pub fn request_id() -> String {
    ID.try_with(Clone::clone).unwrap_or_else(|_| "-".into())
}

/// Outermost middleware of every route.
pub async fn wrap(State(app): State<App>, request: Request, next: Next) -> Response {
    let id = take_or_make_id(request.headers(), &app.request_ids);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let page = wants_page(&method, &path, request.headers());
    let theme = console::theme_of(request.headers());

    let handled = ID.scope(id.clone(), guarded(next.run(request))).await;
    let mut response = match handled.extensions().get::<Problem>() {
        Some(problem) if page => {
            let redrawn = console::problem_page(problem, &id, theme);
            keep_headers(redrawn, &handled)
        }
        _ => handled,
    };

    tracing::info!(%id, %method, path, status = response.status().as_u16(), "handled");
    let headers = response.headers_mut();
    for (name, value) in &HEADERS {
        headers.insert(name.clone(), HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, value);
    }
    response
}

/// Turns a panic of a handler into an answer; the connection and the other requests go on.
async fn guarded(handler: impl Future<Output = Response>) -> Response {
    let mut handler = Box::pin(handler);
    poll_fn(move |cx| match catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(cx))) {
        Ok(polled) => polled,
        Err(_) => Poll::Ready(Problem::internal("a handler panicked").into_response()),
    })
    .await
}

/// The caller's own id when it is harmless, so that one request can be followed through several services.
fn take_or_make_id(headers: &HeaderMap, counter: &AtomicU64) -> String {
    let harmless =
        |id: &&str| (8..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    match headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(harmless) {
        Some(id) => id.to_owned(),
        // An odd multiplier walks through all values before one comes again.
        None => format!("{:016x}", counter.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
    }
}

/// Whether a failure should be shown as a page: a browser asked for one outside the APIs.
fn wants_page(method: &Method, path: &str, headers: &HeaderMap) -> bool {
    const APIS: [&str; 7] = ["/experience/", "/process/", "/system/", "/inbound/", "/events/", "/admin/", "/metrics"];
    let html =
        headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|accept| accept.contains("text/html"));
    html && method != Method::HEAD && !APIS.iter().any(|prefix| path.starts_with(prefix))
}

fn keep_headers(mut page: Response, handled: &Response) -> Response {
    for name in [header::RETRY_AFTER, header::ALLOW, header::SET_COOKIE] {
        if let Some(value) = handled.headers().get(&name) {
            page.headers_mut().insert(name, value.clone());
        }
    }
    page
}

/// Answer to a path no route has.
pub async fn not_found() -> Problem {
    Problem::of(Code::NotFound)
}

/// Answer to a method the path does not have.
pub async fn method_not_allowed() -> Problem {
    Problem::of(Code::MethodNotAllowed)
}
