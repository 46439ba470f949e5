//! Tryton's JSON-RPC as it is on the wire: requests, typed values, answers and the kinds of error. No business.

use crossdock_canonical::{Outcome, OutcomeClass, Timestamp};
use crossdock_connect::classify::{self, Credentials, Nature};
use crossdock_connect::http::{Method, Request, Response};
use crossdock_value::{Decimal, Value, value};
use std::io::Read;

/// A larger answer would have to be a mistake; nothing asked for here comes near it.
const ANSWER_BYTES_MAX: u64 = 32 << 20;

/// A call: the method and its arguments; the context goes behind them.
pub(super) fn call(database: &str, method: &str, mut params: Vec<Value>, context: Value) -> Request {
    params.push(context);
    let body = value!({"id": 1, "method": method, "params": params});
    Request::new(Method::Post, format!("/{database}/rpc/"))
        .json(crossdock_value::to_json(&body))
        .header("accept", "application/json")
        .header("accept-encoding", "gzip")
}

/// What an answer says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    Result(Value),
    /// A rule of the ERP, told in words.
    UserError(String),
    /// A question to the user: its name, and its words.
    UserWarning(String, String),
    /// Anything that is no answer to the call itself.
    Ended(Outcome),
}

pub(super) fn read(response: &Response, nature: Nature) -> Answer {
    if !response.is_success() {
        let mut outcome = classify::answered(response, nature, Credentials::Token);
        // 422 is a call without context, 400 is no JSON, 403 a method that may not be called: all ours to repair.
        if outcome.class == OutcomeClass::Refused {
            outcome.class = OutcomeClass::Misconfigured;
        }
        return Answer::Ended(outcome);
    }
    let body =
        plain(&response.body).and_then(|bytes| crossdock_value::parse(&bytes, &Default::default()).map_err(|e| e.to_string()));
    let body = match body {
        Ok(body) => body,
        Err(reason) => return Answer::Ended(unreadable(nature, reason)),
    };
    let error = body.get("error");
    let Some(parts) = error.as_arr() else {
        return Answer::Result(body.get("result").clone());
    };
    let kind = parts.first().and_then(Value::as_str).unwrap_or("");
    let detail = parts.get(1).unwrap_or(&Value::Null);
    let word = |n: usize| detail.as_arr().and_then(|words| words.get(n)).and_then(Value::as_str).unwrap_or("").to_owned();
    match kind {
        "UserError" => Answer::UserError(word(0).chars().take(300).collect()),
        "UserWarning" => Answer::UserWarning(word(0), word(1).chars().take(300).collect()),
        "ConcurrencyException" => {
            Answer::Ended(Outcome::retry("modified_meanwhile", "somebody else wrote the record; it is read again"))
        }
        "LoginException" => Answer::Ended(Outcome::retry(classify::TOKEN_EXPIRED, "the session asks for a login")),
        // Two texts, the first of a Python exception: the call does not fit this server.
        text => Answer::Ended(Outcome::misconfigured("server_error", text.chars().take(300).collect::<String>())),
    }
}

fn unreadable(nature: Nature, reason: String) -> Outcome {
    match nature {
        Nature::Read => Outcome::retry("unreadable_answer", reason),
        Nature::Change => Outcome::unknown("unreadable_answer", reason),
    }
}

/// The body, unpacked if it is packed. The header cannot be trusted: some releases call a plain body gzip.
pub(super) fn plain(body: &[u8]) -> Result<std::borrow::Cow<'_, [u8]>, String> {
    if !body.starts_with(&[0x1f, 0x8b]) {
        return Ok(body.into());
    }
    let mut out = Vec::new();
    let read = flate2::read::GzDecoder::new(body).take(ANSWER_BYTES_MAX + 1).read_to_end(&mut out);
    match read {
        Ok(_) if out.len() as u64 > ANSWER_BYTES_MAX => {
            Err(format!("the unpacked answer is larger than {ANSWER_BYTES_MAX} bytes"))
        }
        Ok(_) => Ok(out.into()),
        Err(error) => Err(error.to_string()),
    }
}

/// Money and prices.
pub(super) fn decimal(number: Decimal) -> Value {
    value!({"__class__": "Decimal", "decimal": (number.to_string())})
}

pub(super) fn read_decimal(value: &Value) -> Option<Decimal> {
    crossdock_value::decimal::read(value.get("decimal").as_str()?)
}

/// A quantity is a float in Tryton: written from its exact text, never through one of ours.
pub(super) fn quantity(number: Decimal) -> Value {
    let mut number = number.normalize();
    if number.scale() == 0 {
        number.rescale(1);
    }
    Value::Num(number)
}

/// A date of the day that `at` falls on in UTC.
pub(super) fn date(at: Timestamp) -> Value {
    let text = at.to_string();
    let part = |range: std::ops::Range<usize>| text.get(range).and_then(|digits| digits.parse::<i64>().ok()).unwrap_or(1);
    value!({"__class__": "date", "year": (part(0..4)), "month": (part(5..7)), "day": (part(8..10))})
}
