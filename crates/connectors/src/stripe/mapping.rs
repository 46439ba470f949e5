//! Stripe's objects in canonical terms: what an intent, a refund or an error means for an effect. Pure.

use crossdock_canonical::{Currency, Money, Outcome, OutcomeClass, Timestamp};
use crossdock_connect::classify::{self, Credentials, Nature};
use crossdock_connect::http::Response;
use crossdock_value::{Value, value};

/// An amount as canonical JSON.
pub(super) fn money(minor: i64, currency: &str) -> Option<Value> {
    let currency: Currency = currency.to_ascii_uppercase().parse().ok()?;
    let money = Money::from_minor(minor, currency);
    Some(value!({"amount": (money.amount.to_string()), "currency": (currency.as_str())}))
}

/// Reads `{"amount","currency"}` of an effect's arguments.
pub(super) fn read_money(value: &Value) -> Option<Money> {
    crossdock_value::from_value(value).ok()
}

/// When the authorization of an intent ends: what the card network says, else seven days.
pub(super) fn expires_at(intent: &Value) -> Option<String> {
    let capture_before = intent.at("latest_charge.payment_method_details.card.capture_before").as_i64();
    let seconds = capture_before.or_else(|| intent.get("created").as_i64().map(|created| created.saturating_add(7 * 86_400)))?;
    Some(Timestamp(seconds.saturating_mul(1_000)).to_string())
}

/// Which sum of an intent is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sum {
    Intended,
    Capturable,
    Received,
}

/// A sum of an intent in minor units. Stripe's API description requires only `amount` of an intent (schema `payment_intent`), so a
/// field that is not there is read from the charge and the rest of the intent.
pub(super) fn minor(intent: &Value, sum: Sum) -> Option<i64> {
    let intended = intent.get("amount").as_i64();
    match sum {
        Sum::Intended => intended,
        Sum::Capturable => intent.get("amount_capturable").as_i64().or(intended),
        Sum::Received => told_received(intent).or_else(|| intent.at("latest_charge.amount").as_i64()).or(intended),
    }
}

fn told_received(intent: &Value) -> Option<i64> {
    let received = intent.get("amount_received").as_i64();
    received.or_else(|| intent.at("latest_charge.amount_captured").as_i64())
}

/// Whether a succeeded intent was captured for `amount`. Where neither intent nor charge tells the sum, the charge's whole amount
/// and what is left of it after refunds are both possible: "any additional amount will be automatically refunded", says the API
/// description of `amount_to_capture`.
pub(super) fn received(intent: &Value, amount: Money) -> bool {
    if intent.get("currency").as_str().map(str::to_ascii_uppercase).as_deref() != Some(amount.currency.as_str()) {
        return false;
    }
    let asked = amount.to_minor().ok();
    let whole = minor(intent, Sum::Received);
    let kept = || Some(whole?.saturating_sub(intent.at("latest_charge.amount_refunded").as_i64()?));
    asked.is_some() && (whole == asked || (told_received(intent).is_none() && kept() == asked))
}

/// The evidence of an intent: one of its sums, its id, its charge.
pub(super) fn evidence(intent: &Value, sum: Sum) -> Value {
    let currency = intent.get("currency").as_str().unwrap_or("");
    let charge = match intent.get("latest_charge") {
        Value::Str(id) => Some(id.to_string()),
        charge => charge.get("id").as_str().map(str::to_owned),
    };
    let mut evidence = value!({
        "transaction": (intent.get("id").clone()),
        "amount": (minor(intent, sum).and_then(|minor| money(minor, currency))),
        "state": (intent.get("status").clone()),
    });
    if let Some(charge) = charge {
        evidence.insert("charge", charge);
    }
    evidence
}

/// The outcome of an error answer.
pub(super) fn refused(response: &Response, nature: Nature) -> Outcome {
    let mut outcome = classify::answered(response, nature, Credentials::Fixed);
    let body = classify::body(response);
    let error = body.get("error");
    let kind = error.get("type").as_str().unwrap_or("");
    let code = word(error.get("decline_code")).or_else(|| word(error.get("code")));
    match (response.status, kind) {
        // The first request under this key is still running: its answer will be there later.
        (409, _) => outcome.class = OutcomeClass::Retry,
        // The same key came with other parameters: ours would never heal by itself.
        (_, "idempotency_error") => outcome.class = OutcomeClass::Misconfigured,
        (402, _) => outcome.class = OutcomeClass::Refused,
        _ => {}
    }
    outcome.retry_after_ms = classify::wait(outcome.class, response);
    match outcome.class {
        OutcomeClass::Refused | OutcomeClass::Misconfigured | OutcomeClass::Retry => {
            if let Some(code) = code.or_else(|| word(error.get("type"))) {
                outcome.code = code;
            }
        }
        OutcomeClass::Done | OutcomeClass::Accepted | OutcomeClass::Unknown | OutcomeClass::Reversed => {}
    }
    outcome.text = error.get("message").as_str().unwrap_or_default().chars().take(300).collect();
    outcome
}

fn word(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let plain = !text.is_empty() && text.len() <= 60 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    plain.then(|| text.to_owned())
}

/// What an intent's status means for an authorization of `amount`.
pub(super) fn authorized(intent: &Value, amount: Option<Money>) -> Outcome {
    let status = intent.get("status").as_str().unwrap_or("");
    let sum = if status == "succeeded" { Sum::Received } else { Sum::Capturable };
    match status {
        "requires_capture" | "succeeded" => {
            let mut found = evidence(intent, sum);
            if let Some(asked) = amount {
                let differs = read_money(found.get("amount")) != Some(asked);
                if differs {
                    return Outcome::refused(
                        "amount_differs",
                        format!("asked for {asked}, the intent holds {}", found.get("amount")),
                    );
                }
            }
            if let Some(at) = expires_at(intent) {
                found.insert("expires_at", at);
            }
            Outcome::done(found)
        }
        "processing" => Outcome { evidence: evidence(intent, Sum::Intended), ..Outcome::accepted(Value::Null) },
        "canceled" => Outcome::refused("authorization_cancelled", "the payment intent is cancelled"),
        "requires_action" => Outcome::refused("requires_action", "the shopper would have to confirm the payment"),
        other => Outcome::refused("not_authorized", format!("the payment intent is {other}")),
    }
}

/// What a refund's status means.
pub(super) fn refunded(refund: &Value) -> Outcome {
    let currency = refund.get("currency").as_str().unwrap_or("");
    let evidence = value!({
        "transaction": (refund.get("id").clone()),
        "amount": (refund.get("amount").as_i64().and_then(|minor| money(minor, currency))),
        "state": (refund.get("status").clone()),
    });
    match refund.get("status").as_str().unwrap_or("") {
        "succeeded" => Outcome::done(evidence),
        "pending" | "requires_action" => Outcome::accepted(evidence),
        "failed" => {
            let reason = word(refund.get("failure_reason")).unwrap_or_else(|| "refund_failed".into());
            Outcome { evidence, ..Outcome::refused(reason, "the refund failed") }
        }
        "canceled" => Outcome { evidence, ..Outcome::refused("refund_cancelled", "the refund was cancelled") },
        other => Outcome { evidence, ..Outcome::unknown("refund_state", format!("the refund is {other:?}")) },
    }
}
