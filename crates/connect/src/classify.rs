//! What an HTTP status or a broken connection means when nothing more is known: one table for every connector.
//!
//! A connector looks at the vendor's own error codes first and falls back to this. Deliberately cautious: a state-changing request
//! whose end is not certain is *unknown*, never *retry*.

use crate::TransportError;
use crate::http::Response;
use crossdock_canonical::{Outcome, OutcomeClass};
use crossdock_value::Value;

/// The code of a *retry* that asks the shell for a fresh token before the next attempt.
pub const TOKEN_EXPIRED: &str = "token_expired";

/// Whether a request can have changed anything at the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nature {
    /// Repeating it is harmless: an unclear end is a *retry*.
    Read,
    /// An unclear end is *unknown*.
    Change,
}

/// How the credentials of a system end, which decides what a `401` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// A key or a password: a `401` will not heal by itself.
    Fixed,
    /// A token that runs out: a `401` asks for the next one.
    Token,
}

/// The class of a status, before any look into the body.
pub fn class_of(status: u16, nature: Nature, credentials: Credentials) -> OutcomeClass {
    let unclear = match nature {
        Nature::Read => OutcomeClass::Retry,
        Nature::Change => OutcomeClass::Unknown,
    };
    match status {
        200..=299 => OutcomeClass::Done,
        401 if credentials == Credentials::Token => OutcomeClass::Retry,
        401 | 403 | 407 => OutcomeClass::Misconfigured,
        // Throttled, too early, locked or unavailable: the request was turned away before it was handled.
        408 | 423 | 425 | 429 | 503 => OutcomeClass::Retry,
        // Another address, another method, another media type: the contract is not what the configuration says.
        300..=399 | 405 | 406 | 415 | 501 | 505 => OutcomeClass::Misconfigured,
        400..=499 => OutcomeClass::Refused,
        _ => unclear,
    }
}

/// The outcome of an answer by its status alone, with `Retry-After`. `done` carries no evidence.
pub fn answered(response: &Response, nature: Nature, credentials: Credentials) -> Outcome {
    let class = class_of(response.status, nature, credentials);
    let code = match class {
        OutcomeClass::Done => String::new(),
        OutcomeClass::Retry if response.status == 401 => TOKEN_EXPIRED.to_owned(),
        _ => format!("http_{}", response.status),
    };
    Outcome { retry_after_ms: wait(class, response), ..Outcome::new(class, code, "") }
}

/// `Retry-After`, where coming back is what the class asks for.
pub fn wait(class: OutcomeClass, response: &Response) -> Option<i64> {
    match class {
        OutcomeClass::Retry | OutcomeClass::Unknown => response.retry_after_ms(),
        _ => None,
    }
}

/// The outcome of a request that got no answer.
pub fn broken(error: &TransportError, nature: Nature) -> Outcome {
    let (class, code) = match (error, nature) {
        (TransportError::NotConnected(_), _) => (OutcomeClass::Retry, "not_connected"),
        (TransportError::NotAuthorized(_), _) => (OutcomeClass::Retry, "not_authorized"),
        (TransportError::Timeout(_), Nature::Read) => (OutcomeClass::Retry, "timeout"),
        (TransportError::Timeout(_), Nature::Change) => (OutcomeClass::Unknown, "timeout"),
        (TransportError::Broken(_), Nature::Read) => (OutcomeClass::Retry, "broken"),
        (TransportError::Broken(_), Nature::Change) => (OutcomeClass::Unknown, "broken"),
        // An answer over the bound will be over it again: somebody must look.
        (TransportError::TooLarge(_), Nature::Read) => (OutcomeClass::Misconfigured, "answer_too_large"),
        (TransportError::TooLarge(_), Nature::Change) => (OutcomeClass::Unknown, "answer_too_large"),
    };
    Outcome::new(class, code, error.to_string())
}

/// The beginning of a body as text, for the sentence that people read. The store seals it with the outcome.
pub fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(600)]);
    text.chars().take(300).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The body as JSON, `Null` when it is none: an error page is no reason to lose the status.
pub fn body(response: &Response) -> Value {
    crossdock_value::parse(&response.body, &crossdock_value::Limits::default()).unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;
    use OutcomeClass::*;

    #[test]
    fn every_status_has_its_class() {
        let cases = [
            (200, Done, Done),
            (202, Done, Done),
            (204, Done, Done),
            (301, Misconfigured, Misconfigured),
            (400, Refused, Refused),
            (402, Refused, Refused),
            (403, Misconfigured, Misconfigured),
            (404, Refused, Refused),
            (405, Misconfigured, Misconfigured),
            (408, Retry, Retry),
            (409, Refused, Refused),
            (410, Refused, Refused),
            (422, Refused, Refused),
            (429, Retry, Retry),
            (500, Unknown, Retry),
            (501, Misconfigured, Misconfigured),
            (502, Unknown, Retry),
            (503, Retry, Retry),
            (504, Unknown, Retry),
            (599, Unknown, Retry),
            (999, Unknown, Retry),
        ];
        for (status, change, read) in cases {
            assert_eq!(class_of(status, Nature::Change, Credentials::Fixed), change, "{status} to a change");
            assert_eq!(class_of(status, Nature::Read, Credentials::Fixed), read, "{status} to a read");
        }
    }

    #[test]
    fn an_expired_token_is_renewed_and_a_wrong_key_is_not() {
        let response = Response::new(401, []);
        let token = answered(&response, Nature::Change, Credentials::Token);
        assert_eq!((token.class, token.code.as_str()), (Retry, TOKEN_EXPIRED));
        assert_eq!(answered(&response, Nature::Change, Credentials::Fixed).class, Misconfigured);
    }

    #[test]
    fn retry_after_is_kept_where_coming_back_helps() {
        let mut response = Response::new(503, []);
        response.headers.push(("retry-after".into(), "7".into()));
        assert_eq!(answered(&response, Nature::Change, Credentials::Fixed).retry_after_ms, Some(7_000));
        response.status = 422;
        assert_eq!(answered(&response, Nature::Change, Credentials::Fixed).retry_after_ms, None);
    }

    #[test]
    fn only_a_request_that_never_left_is_safe_to_repeat() {
        let cases = [
            (TransportError::NotConnected("refused".into()), Retry, Retry),
            (TransportError::NotAuthorized("503".into()), Retry, Retry),
            (TransportError::Timeout(9), Unknown, Retry),
            (TransportError::Broken("reset".into()), Unknown, Retry),
            (TransportError::TooLarge(9), Unknown, Misconfigured),
        ];
        for (error, change, read) in cases {
            assert_eq!(broken(&error, Nature::Change).class, change, "{error}");
            assert_eq!(broken(&error, Nature::Read).class, read, "{error}");
            assert_eq!(broken(&error, Nature::Change).class == Unknown, error.may_have_arrived(), "{error}");
        }
    }
}
