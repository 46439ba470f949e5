//! Reading requests: every extractor of this crate is here, bounded, and fails with a problem of the catalogue.
//!
//! axum's own `Json`, `Query` and `Path` are not used by handlers: their rejections are not ours, and `Json` reads through
//! `serde_json`, which rounds numbers and takes the last of two equal keys.

use crate::problem::{Code, Problem};
use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, Request, rejection::FormRejection},
    http::{HeaderMap, header, request::Parts},
};
use bytes::Bytes;
use crossdock_value::{Limits, Value};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use std::{sync::Arc, time::Duration};

/// How long a whole body may take. With the largest body this is a floor of about 140 kB a second.
const BODY_WITHIN: Duration = Duration::from_secs(30);

/// The largest body a route takes, put on the request by the guard.
#[derive(Clone, Copy, Debug)]
pub struct BodyMax(pub usize);

/// The raw body.
pub struct Raw(pub Bytes);

/// A JSON body, typed.
pub struct Json<T>(pub T);

/// A JSON body that carries an order as its member `order`: the rest typed; `1` is the order as it was written, sound JSON of which no
/// value was made, because whoever reads it does so again.
pub struct Carrier<T>(pub T, pub Bytes);

/// A form of the console.
pub struct Form<T>(pub T);

/// The query string, typed.
pub struct Query<T>(pub T);

/// Path parameters, percent-decoded.
pub struct Path<T>(pub T);

/// `Idempotency-Key`, required.
pub struct IdempotencyKey(pub Arc<str>);

impl<S: Send + Sync> FromRequest<S> for Raw {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let max = request.extensions().get::<BodyMax>().map_or(0, |max| max.0);
        read(request.into_body(), max).await.map(Self)
    }
}

/// Reads a body to its end, at most `max` bytes, within `BODY_WITHIN`.
pub async fn read(body: Body, max: usize) -> Result<Bytes, Problem> {
    let too_large = || Problem::new(Code::PayloadTooLarge, format!("At most {max} bytes are read here."));
    if axum::body::HttpBody::size_hint(&body).lower() > max as u64 {
        return Err(too_large());
    }
    match tokio::time::timeout(BODY_WITHIN, Limited::new(body, max).collect()).await {
        Err(_) => Err(Problem::of(Code::RequestTimeout)),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Problem::new(Code::InvalidRequest, "The body ended before its announced length.")),
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        Ok(Self(crossdock_value::from_value(&parse(&json_bytes(request, state).await?)?)?))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Carrier<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = json_bytes(request, state).await?;
        crossdock_value::check(&bytes, &LIMITS)?;
        let Some(order) = crossdock_connect::cut::field(&bytes, "order") else {
            return Ok(Self(crossdock_value::from_value(&parse(&bytes)?)?, Bytes::from_static(b"null")));
        };
        let at = order.as_ptr().addr() - bytes.as_ptr().addr();
        let rest = [&bytes[..at], b"null", &bytes[at + order.len()..]].concat();
        Ok(Self(crossdock_value::from_value(&parse(&rest)?)?, bytes.slice_ref(order)))
    }
}

/// The body of a request that says it is JSON.
async fn json_bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    if !is_json(request.headers()) {
        return Err(Problem::of(Code::UnsupportedMediaType));
    }
    Raw::from_request(request, state).await.map(|Raw(bytes)| bytes)
}

/// What a document may cost at a surface.
const LIMITS: Limits = Limits { bytes_max: 16 << 20, depth_max: 64, values_max: 200_000 };

/// Parses JSON within the limits of the surfaces.
pub fn parse(bytes: &[u8]) -> Result<Value, Problem> {
    Ok(crossdock_value::parse(bytes, &LIMITS)?)
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let kind = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Form<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let max = parts.extensions.get::<BodyMax>().map_or(0, |max| max.0);
        let bytes = read(body, max).await?;
        let whole = Request::from_parts(parts, Body::from(bytes));
        match axum::Form::<T>::from_request(whole, state).await {
            Ok(axum::Form(form)) => Ok(Self(form)),
            Err(FormRejection::InvalidFormContentType(_)) => {
                Err(Problem::new(Code::UnsupportedMediaType, "Send `Content-Type: application/x-www-form-urlencoded`."))
            }
            Err(rejection) => Err(Problem::new(Code::InvalidRequest, rejection.body_text())),
        }
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(query)| Self(query))
            .map_err(|rejection| Problem::new(Code::InvalidParameter, rejection.body_text()))
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        axum::extract::Path::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(path)| Self(path))
            .map_err(|rejection| Problem::new(Code::InvalidParameter, rejection.body_text()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut values = parts.headers.get_all("idempotency-key").iter();
        let key = values.next().and_then(|value| value.to_str().ok()).map(str::trim).unwrap_or_default();
        let plain = key.bytes().all(|byte| byte.is_ascii_graphic());
        match (1..=128).contains(&key.len()) && plain && values.next().is_none() {
            true => Ok(Self(Arc::from(key))),
            false => Err(Problem::of(Code::IdempotencyKeyMissing)),
        }
    }
}
