//! Inbound API: webhooks, byte for byte as they came. The system's connector verifies them; without a valid signature nothing
//! is stored. `2xx` means on disk.

use crate::{
    app::App,
    input::{Path, Raw},
    problem::{Code, Problem},
    route::{Access, Doc, Route, WEBHOOK, api},
};
use axum::{
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
};
use crossdock_canonical::SystemName;
use crossdock_connect::http;
use crossdock_store::Accepted;
use schemars::JsonSchema;
use serde::Serialize;

pub fn routes() -> Vec<Route> {
    vec![api(
        Method::POST,
        "/inbound/v1/{system}",
        Access::Verified,
        WEBHOOK,
        Doc::new("receiveWebhook", "Takes a webhook of a system. Any body; the connector verifies its signature.")
            .answers::<Received>(202, "On disk")
            .fails(&[
                Code::WebhookUnverified,
                Code::WebhookStale,
                Code::WebhookMalformed,
                Code::WebhookUnsupported,
                Code::SystemNotFound,
                Code::PayloadTooLarge,
                Code::Overloaded,
                Code::Unavailable,
            ]),
        receive,
    )]
}

#[derive(Serialize, JsonSchema)]
struct Received {
    /// Messages that were new.
    stored: usize,
    /// Messages that were there already.
    duplicates: usize,
}

async fn receive(
    State(app): State<App>,
    Path(system): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<(StatusCode, axum::Json<Received>), Problem> {
    app.hub.accepts()?;
    let target = uri.path_and_query().map_or_else(|| uri.path().to_owned(), ToString::to_string);
    let mut request = http::Request::new(http::Method::Post, target);
    // A header that is not text cannot be part of a signature a connector knows; it is passed over.
    request.headers =
        headers.iter().filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned()))).collect();
    request.body = body.as_ref().into();
    let accepted = app.hub.webhook(&SystemName::new(&system), request).await?;
    let stored = accepted.iter().filter(|one| matches!(one, Accepted::Stored(_))).count();
    Ok((StatusCode::ACCEPTED, axum::Json(Received { stored, duplicates: accepted.len() - stored })))
}
