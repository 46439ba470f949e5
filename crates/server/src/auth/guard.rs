//! The only way to a handler: who asks, may they, and is the form theirs.

use super::{Peer, roles::Actor};
use crate::{
    app::App,
    input::{self, BodyMax},
    problem::{Code, Problem},
    route::Access,
};
use axum::{
    body::Body,
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, Method, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use std::net::{IpAddr, Ipv4Addr};

/// What the guard of one route knows.
#[derive(Clone)]
pub struct Post {
    pub app: App,
    pub access: Access,
    pub body_max: usize,
    /// A page of the console: who is not signed in is sent to the sign-in page.
    pub page: bool,
}

pub async fn stand(State(post): State<Post>, mut request: Request, next: Next) -> Response {
    request.extensions_mut().insert(BodyMax(post.body_max));
    match admit(&post, request).await {
        Ok(request) => next.run(request).await,
        Err(refusal) => *refusal,
    }
}

async fn admit(post: &Post, mut request: Request) -> Result<Request, Box<Response>> {
    let refuse = |problem: Problem| Box::new(problem.into_response());
    let Access::To(action) = post.access else {
        // Public and connector-verified routes still refuse forms sent from other sites.
        same_site(request.method(), request.headers()).map_err(refuse)?;
        return Ok(request);
    };
    let from = peer(&request);
    let actor = post.app.auth.authenticate(request.headers(), from, post.app.hub.now()).map_err(refuse)?;
    let Some(actor) = actor else {
        let browsing = post.page && request.method() == Method::GET;
        return Err(match browsing {
            true => Box::new(to_sign_in(&request)),
            false => refuse(Problem::of(Code::Unauthenticated)),
        });
    };
    if !actor.may(action) {
        return Err(refuse(Problem::new(
            Code::Forbidden,
            format!(
                "{actor} may not do this; it takes {}.",
                action.roles().iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ")
            ),
        )));
    }
    // A key proves intent by itself. A cookie comes along with whatever the browser sends, so the form must prove it.
    if let Some(token) = actor.form_token.clone().filter(|_| !request.method().is_safe()) {
        same_site(request.method(), request.headers()).map_err(refuse)?;
        request = own_form(request, &token, post.body_max).await.map_err(refuse)?;
    }
    request.extensions_mut().insert(actor);
    Ok(request)
}

fn to_sign_in(request: &Request) -> Response {
    let wanted = request.uri().path_and_query().map_or("/", |path| path.as_str());
    match wanted {
        "/" => Redirect::to("/sign-in").into_response(),
        _ => Redirect::to(&format!("/sign-in?next={}", crate::console::words::encode(wanted))).into_response(),
    }
}

/// Whether a state-changing request comes from our own pages, as far as the browser tells. Programs send neither header.
fn same_site(method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    if method.is_safe() {
        return Ok(());
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let site_fits = text("sec-fetch-site").is_none_or(|site| matches!(site, "same-origin" | "none"));
    let origin_fits = match (text("origin"), text("host")) {
        (None, _) => true,
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, from)| from == host),
        (Some(_), None) => false,
    };
    if site_fits && origin_fits { Ok(()) } else { Err(Problem::of(Code::ForgeryRefused)) }
}

/// Finds the session's token in the form (or in `X-CSRF-Token`) and puts the body back.
async fn own_form(request: Request, token: &str, body_max: usize) -> Result<Request, Problem> {
    let refused = || Problem::of(Code::ForgeryRefused);
    if let Some(given) = request.headers().get("x-csrf-token") {
        return if given.as_bytes() == token.as_bytes() { Ok(request) } else { Err(refused()) };
    }
    let form = request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    if !form {
        return Err(refused());
    }
    let (parts, body) = request.into_parts();
    let bytes = input::read(body, body_max).await?;
    // The token has letters and digits only, so it stands in the body as it is.
    let own = format!("_csrf={token}");
    match bytes.split(|byte| *byte == b'&').any(|pair| pair == own.as_bytes()) {
        true => Ok(Request::from_parts(parts, Body::from(bytes))),
        false => Err(refused()),
    }
}

/// The other end of a request; a request that came through no socket is local.
pub fn peer(request: &Request) -> Peer {
    request.extensions().get::<Peer>().copied().unwrap_or(Peer(IpAddr::V4(Ipv4Addr::LOCALHOST)))
}

/// Handlers of guarded routes take the actor; on another route there is none, and that is a fault of ours.
impl<S: Send + Sync> FromRequestParts<S> for Actor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Actor>().cloned().ok_or_else(|| Problem::internal("a handler asks for an actor on an open route"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Peer>().copied().unwrap_or(Peer(IpAddr::V4(Ipv4Addr::LOCALHOST))))
    }
}
