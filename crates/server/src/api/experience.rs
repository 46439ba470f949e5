//! Experience API: what storefronts and apps call. Orders are accepted, read and cancelled here.

use super::wire::{self, Cancellation, CommandTaken, OrderStatus, OrderTaken, PlaceOrder};
use crate::{
    app::App,
    auth::roles::{Action, Actor},
    console::words,
    input::{self, Carrier, IdempotencyKey, Json, Path, Query},
    problem::{Code, Problem},
    route::{Access, COMMAND, Doc, NO_BODY, ORDER, Route, api},
};
use axum::{
    extract::State,
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use crossdock_canonical::{Order, OrderRef, SystemName};
use crossdock_engine::face::{CommandRequest, OrderIntake};
use crossdock_flows::Answer;
use crossdock_store::{Accepted, ProcessKey};
use crossdock_value::Value;
use serde::Deserialize;
use std::sync::Arc;

pub fn routes() -> Vec<Route> {
    let site = &[("channel", "Where the order came from."), ("site", "The site within the channel.")];
    vec![
        api(
            Method::POST,
            "/experience/v1/orders",
            Access::To(Action::PlaceOrders),
            ORDER,
            Doc::new("placeOrder", "Accepts an order. When the answer comes, the order is on disk.")
                .idempotent()
                .takes::<PlaceOrder>()
                .answers::<OrderTaken>(202, "Accepted")
                .answers::<OrderTaken>(200, "Accepted before; nothing was written twice")
                .fails(&[
                    Code::IdempotencyKeyMissing,
                    Code::MalformedJson,
                    Code::InvalidUtf8,
                    Code::DuplicateKey,
                    Code::NumberOutOfRange,
                    Code::TooDeep,
                    Code::TooManyValues,
                    Code::PayloadTooLarge,
                    Code::UnsupportedMediaType,
                    Code::InvalidRequest,
                    Code::SystemNotFound,
                    Code::ForbiddenSite,
                    Code::Overloaded,
                    Code::Unavailable,
                    Code::OutcomeUnknown,
                    Code::Stopping,
                ]),
            place,
        ),
        api(
            Method::GET,
            "/experience/v1/orders/{number}",
            Access::To(Action::ReadOrders),
            NO_BODY,
            Doc::new("getOrder", "Where an order is.")
                .query(site)
                .answers::<OrderStatus>(200, "The order")
                .fails(&[Code::InvalidParameter, Code::OrderNotFound]),
            status,
        ),
        api(
            Method::POST,
            "/experience/v1/orders/{number}/cancellations",
            Access::To(Action::CancelOrders),
            COMMAND,
            Doc::new("cancelOrder", "Asks to cancel an order, whole or by line. What has shipped stays as it is.")
                .idempotent()
                .takes::<Cancellation>()
                .answers::<CommandTaken>(202, "Taken; the systems are being told")
                .fails(&[Code::IdempotencyKeyMissing, Code::InvalidRequest, Code::OrderNotFound, Code::CommandRefused]),
            cancel,
        ),
    ]
}

async fn place(
    State(app): State<App>,
    actor: Actor,
    IdempotencyKey(key): IdempotencyKey,
    Carrier(request, order): Carrier<PlaceOrder>,
) -> Result<Response, Problem> {
    app.hub.accepts()?;
    if !actor.sites.hold(&request.channel, &request.site) {
        return Err(Problem::of(Code::ForbiddenSite));
    }
    let source = SystemName::new(request.source.as_deref().unwrap_or("hub"));
    let number = match request.source {
        Some(_) => request.number.clone().ok_or_else(|| missing("number"))?,
        None => canonical_number(&request, &input::parse(&order)?)?,
    };
    let reference = reference(&request.channel, &request.site, &number)?;
    let intake = OrderIntake {
        channel: request.channel.into(),
        site: request.site.into(),
        number: number.into(),
        source,
        body: Arc::from(&*order),
        actor: actor.name,
        idempotency_key: Some(key),
    };
    let accepted = app.hub.accept_order(intake).await?;
    let new = matches!(accepted, Accepted::Stored(_));
    let location = words::order_api_path(&reference);
    let taken = OrderTaken {
        order: reference.to_string(),
        order_id: reference.order_id(),
        process: order_process(&reference).to_string(),
        new,
        location: location.clone(),
    };
    let status = if new { StatusCode::ACCEPTED } else { StatusCode::OK };
    let mut response = (status, axum::Json(taken)).into_response();
    if let Ok(value) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    Ok(response)
}

/// Checks that the body is the canonical order it says it is; its number.
fn canonical_number(request: &PlaceOrder, given: &Value) -> Result<String, Problem> {
    let order: Order =
        crossdock_value::from_value(given).map_err(|error| Problem::new(Code::InvalidRequest, error.to_string()).at("order"))?;
    let told = [
        ("channel", order.channel.as_str(), Some(request.channel.as_str())),
        ("site", order.site.as_str(), Some(request.site.as_str())),
        ("number", order.number.as_str(), request.number.as_deref()),
    ];
    if let Some((field, inner, _)) = told.into_iter().find(|(_, inner, outer)| outer.is_some_and(|outer| outer != *inner)) {
        return Err(Problem::new(Code::InvalidRequest, format!("The order's own {field} is {inner:?}.")).at(field));
    }
    let understood = crossdock_value::to_value(&order).map_err(Problem::internal)?;
    match lost(given, &understood, "order") {
        None => Ok(order.number.to_string()),
        Some(place) => {
            let detail = format!("The canonical order has no field {place}; free fields belong into `custom` or `extra`.");
            Err(Problem::new(Code::InvalidRequest, detail).at(place))
        }
    }
}

/// The first field of `given` that is not in `understood`. Nothing is dropped silently on the way in.
fn lost(given: &Value, understood: &Value, place: &str) -> Option<String> {
    match (given, understood) {
        (Value::Obj(given), Value::Obj(understood)) => given.iter().find_map(|(key, value)| {
            let place = format!("{place}.{key}");
            match understood.get(key) {
                Some(known) => lost(value, known, &place),
                None if is_empty(value) => None,
                None => Some(place),
            }
        }),
        (Value::Arr(given), Value::Arr(understood)) => {
            let mut pairs = given.iter().zip(understood.iter()).enumerate();
            pairs.find_map(|(at, (value, known))| lost(value, known, &format!("{place}[{at}]")))
        }
        _ => None,
    }
}

/// What the canonical form leaves out: null, no items, no attributes.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Arr(items) => items.is_empty(),
        Value::Obj(map) => map.is_empty(),
        Value::Bool(_) | Value::Num(_) | Value::Str(_) => false,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SiteQuery {
    channel: String,
    site: String,
}

async fn status(
    State(app): State<App>,
    actor: Actor,
    Path(number): Path<String>,
    Query(query): Query<SiteQuery>,
) -> Result<axum::Json<OrderStatus>, Problem> {
    let reference = reference(&query.channel, &query.site, &number)?;
    let process = order_process(&reference);
    let detail = super::find(&*app.read, &actor, &process).await.map_err(as_order)?;
    let row = &detail.view.row;
    Ok(axum::Json(OrderStatus {
        channel: query.channel,
        site: query.site,
        number,
        order_id: reference.order_id(),
        process: process.to_string(),
        market: row.summary.market.to_string(),
        status: row.summary.status.to_string(),
        stage: row.summary.stage.to_string(),
        waiting_for: row.summary.waiting_for.to_string(),
        total: wire::amount(&row.summary.total, &row.summary.currency),
        accepted_at: row.opened_at.into(),
        updated_at: detail.view.updated_at.into(),
        version: detail.view.version,
        open_exceptions: detail.view.open_exceptions,
        identities: wire::identities(&detail),
    }))
}

async fn cancel(
    State(app): State<App>,
    actor: Actor,
    Path(number): Path<String>,
    IdempotencyKey(key): IdempotencyKey,
    Json(request): Json<Cancellation>,
) -> Result<Response, Problem> {
    let reference = reference(&request.channel, &request.site, &number)?;
    if request.reason.trim().is_empty() || request.reason.len() > 500 {
        return Err(Problem::new(Code::InvalidRequest, "Give a reason of 1 to 500 characters.").at("reason"));
    }
    let process = order_process(&reference);
    super::find(&*app.read, &actor, &process).await.map_err(as_order)?;
    let mut body = crossdock_value::value!({"reason": (request.reason.as_str())});
    if let Some(lines) = &request.lines {
        body.insert("lines", crossdock_value::to_value(lines)?);
    }
    let command = CommandRequest {
        process: process.clone(),
        name: "cancel".into(),
        body,
        idempotency_key: key,
        seen_version: None,
        actor: actor.name,
    };
    answer(app.hub.command(command).await?, &process, "cancel")
}

/// How a command's answer is told.
pub fn answer(answer: Answer, process: &ProcessKey, command: &str) -> Result<Response, Problem> {
    match answer {
        Answer::Taken => {
            let taken = CommandTaken { process: process.to_string(), command: command.into(), answer: "taken".into() };
            Ok((StatusCode::ACCEPTED, axum::Json(taken)).into_response())
        }
        Answer::Refused { code, text } => {
            Err(Problem::new(Code::CommandRefused, if text.is_empty() { code.clone() } else { text }).at(code))
        }
    }
}

/// Reads a reference given in parts.
pub fn reference(channel: &str, site: &str, number: &str) -> Result<OrderRef, Problem> {
    for (field, text) in [("channel", channel), ("site", site), ("number", number)] {
        // Channel and site are names of the landscape; a number may hold whatever the storefront prints, but no separator.
        let plain = !text.is_empty() && text.len() <= 128 && !text.contains('/') && !text.contains(char::is_control);
        if !plain {
            let detail = format!("{field} has 1 to 128 characters, no slash and no control character.");
            return Err(Problem::new(Code::InvalidParameter, detail).at(field));
        }
    }
    Ok(OrderRef { channel: channel.into(), site: site.into(), number: number.into() })
}

pub fn order_process(reference: &OrderRef) -> ProcessKey {
    ProcessKey::new("order", &reference.to_string())
}

fn as_order(problem: Problem) -> Problem {
    match problem.code {
        Code::ProcessNotFound => Problem::of(Code::OrderNotFound),
        _ => problem,
    }
}

fn missing(field: &'static str) -> Problem {
    Problem::new(Code::InvalidRequest, format!("`{field}` is missing.")).at(field)
}
