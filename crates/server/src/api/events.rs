//! Event API: the journal's business events as server-sent events, each a CloudEvent, resumable without a gap.
//!
//! The stream's ids are the store's cursors, sent after the last event of a batch. Whoever comes back with `Last-Event-ID` gets
//! everything after it, and may get the events of a broken batch again: a CloudEvent's `id` tells.

use crate::{
    app::App,
    auth::roles::{Action, Actor, Sites},
    input::Query,
    problem::{Code, Problem},
    route::{Access, Doc, NO_BODY, Route, api},
    tick,
};
use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, Method, header},
    response::{IntoResponse, Response},
};
use crossdock_store::{JournalRow, StoreError};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::{convert::Infallible, fmt::Write as _};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

const BATCH: usize = 200;
/// Beats without news after which a comment keeps proxies from closing the connection: 15 seconds.
const QUIET_BEATS: u32 = 60;

pub fn routes() -> Vec<Route> {
    vec![api(
        Method::GET,
        "/events/v1/stream",
        Access::To(Action::ReadEvents),
        NO_BODY,
        Doc::new("streamEvents", "Business events as they are committed. Resume with `Last-Event-ID`.")
            .query(&[
                ("since", "`now` (default) or `start`, when there is no `Last-Event-ID`."),
                ("types", "Comma-separated prefixes of event names: `order.,payment.captured`."),
            ])
            .answers_text(200, "CloudEvents 1.0, one a message", "text/event-stream")
            .fails(&[Code::InvalidParameter, Code::Overloaded]),
        stream,
    )]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    since: Option<String>,
    types: Option<String>,
}

async fn stream(State(app): State<App>, actor: Actor, headers: HeaderMap, Query(wish): Query<Wish>) -> Result<Response, Problem> {
    let since = match wish.since.as_deref() {
        None | Some("now") => "now",
        Some("start") => "",
        Some(_) => return Err(Problem::new(Code::InvalidParameter, "`since` is `now` or `start`.").at("since")),
    };
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let cursor = last.filter(|id| !id.is_empty() && id.len() <= 8_192).unwrap_or(since).to_owned();
    let types: Vec<String> = wish.types.iter().flat_map(|list| list.split(',')).map(|name| name.trim().to_owned()).collect();
    let place = app.streams.clone().try_acquire_owned().map_err(|_| Problem::of(Code::Overloaded))?;

    // Asked once before the stream begins, so that a wrong cursor is a problem and not a silent stream.
    let first = app.read.stream(&cursor, BATCH).await.map_err(|error| match error {
        StoreError::Constraint(_) => {
            Problem::new(Code::InvalidParameter, "Last-Event-ID is no id of this stream.").at("last-event-id")
        }
        error => error.into(),
    })?;
    let sites = actor.sites;
    let (sender, receiver) = mpsc::channel::<Result<Bytes, Infallible>>(4);
    tokio::spawn(async move {
        let _place = place;
        let (mut rows, mut cursor) = first;
        let mut quiet = 0;
        loop {
            let text = batch(&rows, &cursor, &sites, &types);
            quiet = if text.is_some() { 0 } else { quiet + 1 };
            let text = text.or_else(|| (quiet % QUIET_BEATS == 1).then(|| ": quiet\n\n".to_owned()));
            if let Some(text) = text
                && sender.send(Ok(text.into())).await.is_err()
            {
                return;
            }
            if rows.len() < BATCH {
                tokio::select! {
                    () = tick::beat() => {}
                    () = sender.closed() => return,
                }
            }
            // A revoked key hears nothing more.
            if app.auth.recheck(&headers, app.hub.now()).is_none() {
                return;
            }
            match app.read.stream(&cursor, BATCH).await {
                Ok(next) => (rows, cursor) = next,
                // The caller resumes from the last id; that is what it is for.
                Err(error) => {
                    tracing::warn!(%error, "event stream ended");
                    return;
                }
            }
        }
    });
    Ok(event_stream(receiver))
}

/// An answer of `text/event-stream` that no proxy buffers.
pub fn event_stream(receiver: mpsc::Receiver<Result<Bytes, Infallible>>) -> Response {
    let mut response = Body::from_stream(ReceiverStream::new(receiver)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// The messages of one batch, ended by its cursor; `None` when there was no row.
fn batch(rows: &[JournalRow], cursor: &str, sites: &Sites, types: &[String]) -> Option<String> {
    if rows.is_empty() {
        return None;
    }
    let mut text = String::new();
    for row in rows.iter().filter(|row| sites.hold_key(&row.process.key)) {
        for event in events(row).into_iter().filter(|event| wanted(event, types)) {
            writeln!(text, "event: {}", event["type"].as_str().unwrap_or("event")).expect("writing to a string does not fail");
            write!(text, "data: {event}\n\n").expect("writing to a string does not fail");
        }
    }
    // An id without data moves the reader's cursor and raises no event.
    write!(text, "id: {cursor}\n\n").expect("writing to a string does not fail");
    Some(text)
}

fn wanted(event: &Json, types: &[String]) -> bool {
    let name = event["type"].as_str().unwrap_or_default();
    types.iter().all(String::is_empty) || types.iter().any(|prefix| !prefix.is_empty() && name.starts_with(prefix.as_str()))
}

/// The business events of one transition as CloudEvents.
pub fn events(row: &JournalRow) -> Vec<Json> {
    let record = super::wire::json(&row.record);
    let list = record["events"].as_array().cloned().unwrap_or_default();
    let named = list.into_iter().enumerate().filter_map(|(at, event)| {
        // Event names are ours: words and points. Anything else would be a line of the stream's own syntax.
        let name = event["name"].as_str().filter(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._".contains(&b)))?;
        Some(json!({
            "specversion": "1.0",
            "id": format!("{}-{}-{at}", row.partition, row.offset),
            "source": format!("/process/v1/processes/{}", crate::console::words::encode(&row.process.to_string())),
            "type": name,
            "subject": row.process.key.to_string(),
            "time": row.at.to_string(),
            "datacontenttype": "application/json",
            "data": event["body"],
        }))
    });
    named.collect()
}
