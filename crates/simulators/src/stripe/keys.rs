//! Idempotency keys: the first answer is kept and given again, whatever it was; the same key for something else is an error.

use std::collections::HashMap;

use super::Refusal;
use crate::http::{Call, Response};
use crate::json::object;

struct Kept {
    path: String,
    body: Vec<u8>,
    response: Response,
    at: i64,
    /// The call counts as running until its answer has left.
    busy_until: i64,
}

#[derive(Default)]
pub struct Keys {
    kept: HashMap<String, Kept>,
    /// The key whose call was executed last, so that its answer can still be changed by a fault.
    last: String,
}

impl Keys {
    /// The answer kept for this key, or a refusal; `None` means the call is new.
    pub(super) fn earlier(&mut self, key: &str, call: &Call, now: i64, lifetime_ms: i64) -> Result<Option<Response>, Refusal> {
        self.last.clear();
        let error = |status, code: &str, message: &str| {
            let mut error = object! { "type": "idempotency_error", "message": message };
            if !code.is_empty() {
                error.set("code", code);
            }
            Err(Refusal { status, error, kept: false })
        };
        if key.len() > 255 {
            return error(400, "", "Idempotency keys have at most 255 characters.");
        }
        let Some(kept) = self.kept.get(key) else { return Ok(None) };
        if now.saturating_sub(kept.at) >= lifetime_ms {
            return Ok(None);
        }
        if kept.path != call.request.path_and_query || kept.body != call.request.body {
            return error(
                400,
                "",
                "Keys for idempotent requests can only be used with the same parameters they were first used with.",
            );
        }
        if now < kept.busy_until {
            return error(409, "idempotency_key_in_use", "There is currently another in-progress request using this key.");
        }
        Ok(Some(kept.response.clone().with("idempotent-replayed", "true")))
    }

    pub fn store(&mut self, key: &str, call: &Call, response: &Response, now: i64, delay_ms: u64) {
        self.last = key.to_owned();
        let kept = Kept {
            path: call.request.path_and_query.clone(),
            body: call.request.body.clone(),
            response: response.clone(),
            at: now,
            busy_until: now.saturating_add_unsigned(delay_ms),
        };
        self.kept.insert(key.to_owned(), kept);
    }

    /// Keeps the answer of a call that failed before it did anything.
    pub fn store_if_new(&mut self, key: &str, call: &Call, response: &Response, now: i64) {
        if !self.kept.contains_key(key) {
            self.store(key, call, response, now, 0);
        }
    }

    /// The call just executed is answered with something else; that is what stays.
    pub fn replace_last(&mut self, key: &str, response: &Response) {
        if self.last == key
            && let Some(kept) = self.kept.get_mut(key)
        {
            kept.response = response.clone();
        }
    }
}
