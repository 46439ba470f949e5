//! Stripe's events: which of them concern an order's payment, and what they say.
//!
//! Anything else in the account is acknowledged and dropped, for Stripe sends every event of the types an endpoint subscribes to.

use super::mapping::{self, Sum};
use crossdock_canonical::{OrderRef, Outcome, OutcomeClass, SystemName, Timestamp};
use crossdock_connect::http::Request;
use crossdock_connect::webhook::Verifier;
use crossdock_connect::{About, Message, PrepareError, WebhookError};
use crossdock_value::{Value, value};

/// What an event type is to us.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Event {
    Authorized,
    Captured,
    Voided,
    Failed,
    Refund,
    Disputed,
}

fn event(kind: &str) -> Option<Event> {
    Some(match kind {
        "payment_intent.amount_capturable_updated" => Event::Authorized,
        "payment_intent.succeeded" => Event::Captured,
        "payment_intent.canceled" => Event::Voided,
        "payment_intent.payment_failed" => Event::Failed,
        // Card refunds may tell only one of these.
        "refund.created" | "refund.updated" | "refund.failed" | "charge.refund.updated" => Event::Refund,
        "charge.dispute.created" | "charge.dispute.funds_withdrawn" => Event::Disputed,
        _ => return None,
    })
}

pub(super) fn receive(verifier: &Verifier, request: &Request, now: Timestamp) -> Result<Vec<Message>, WebhookError> {
    verifier.verify(request, now)?;
    let body = crossdock_value::parse(&request.body, &Default::default()).map_err(|e| WebhookError::Malformed(e.to_string()))?;
    let id = body.get("id").as_str().ok_or_else(|| WebhookError::Malformed("the event has no id".into()))?;
    let kind = body.get("type").as_str().unwrap_or("");
    let object = body.at("data.object");
    let Some(event) = event(kind) else { return Ok(Vec::new()) };
    let Some(about) = about(object) else { return Ok(Vec::new()) };
    let message =
        |id: String, kind: &str| Message { id: Some(id), about: about.clone(), kind: kind.into(), body: request.body.clone() };
    let mut messages = vec![message(id.to_owned(), "payment.notice")];
    // The end of a refund that was only taken when it was asked for.
    let waited_for = object.at("metadata.reference").as_str().is_some();
    if event == Event::Refund && waited_for && mapping::refunded(object).class != OutcomeClass::Accepted {
        messages.push(message(format!("{id}#settled"), "effect.settled"));
    }
    Ok(messages)
}

/// The order in the metadata that the hub wrote, else the intent, through the identity map.
fn about(object: &Value) -> Option<About> {
    if let Some(order) = object.at("metadata.order").as_str().and_then(OrderRef::parse) {
        return Some(About::Order(order));
    }
    let intent = match object.get("object").as_str() {
        Some("payment_intent") => object.get("id").as_str(),
        _ => object.get("payment_intent").as_str(),
    };
    intent.map(|id| About::Theirs { kind: "payment".into(), id: id.to_owned() })
}

pub(super) fn translate(system: &SystemName, kind: &str, body: &[u8]) -> Result<Value, PrepareError> {
    let failed = |target: &str, reason: &str| PrepareError::Mapping { target: target.to_owned(), reason: reason.to_owned() };
    let body = crossdock_value::parse(body, &Default::default()).map_err(|e| failed("", &e.to_string()))?;
    let object = body.at("data.object");
    let event = body.get("type").as_str().and_then(event).ok_or_else(|| failed("type", "an event of no known type"))?;
    match kind {
        "payment.notice" => {
            let currency = object.get("currency").as_str().unwrap_or("");
            let (name, sum) = match event {
                Event::Authorized => ("authorized", Sum::Capturable),
                Event::Captured => ("captured", Sum::Received),
                Event::Voided => ("voided", Sum::Intended),
                Event::Failed => ("failed", Sum::Intended),
                Event::Disputed => ("disputed", Sum::Intended),
                Event::Refund => match mapping::refunded(object).class {
                    OutcomeClass::Done => ("refunded", Sum::Intended),
                    OutcomeClass::Refused => ("refund_failed", Sum::Intended),
                    _ => ("refund_pending", Sum::Intended),
                },
            };
            let amount = mapping::minor(object, sum).and_then(|minor| mapping::money(minor, currency));
            Ok(value!({
                "event": name,
                "payment": (object.at("metadata.payment").clone()),
                "transaction": (object.get("id").clone()),
                "amount": (amount.ok_or_else(|| failed("amount", "the amount is missing"))?),
                "key": (body.at("request.idempotency_key").clone()),
            }))
        }
        "effect.settled" => {
            let outcome: Outcome = mapping::refunded(object);
            let outcome = crossdock_value::to_value(&outcome).map_err(|e| failed("outcome", &e.to_string()))?;
            Ok(value!({"reference": (object.at("metadata.reference").clone()), "outcome": outcome}))
        }
        other => Err(failed(other, &format!("{system} sends no such message"))),
    }
}
