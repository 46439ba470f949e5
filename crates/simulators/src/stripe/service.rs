//! The gate of the service: operations by name, keys before work, faults in the vendor's words, and what happens by itself.

use super::{Pending, Refusal, Stripe};
use crate::http::{Call, Response};
use crate::simulator::{Context, Injected, Operation, Service};

impl Service for Stripe {
    fn operation(&self, call: &Call) -> Operation {
        match (call.method, &call.path()[..]) {
            ("POST", ["v1", "payment_intents"]) => Operation::write("authorise"),
            ("POST", ["v1", "payment_intents", _, "confirm"]) => Operation::write("authorise"),
            ("POST", ["v1", "payment_intents", _, "capture"]) => Operation::write("capture"),
            ("POST", ["v1", "payment_intents", _, "cancel"]) => Operation::write("void"),
            ("POST", ["v1", "payment_intents", _]) => Operation::write("payment_intent.update"),
            ("POST", ["v1", "refunds"]) => Operation::write("refund"),
            ("GET", ["v1", "payment_intents", "search"]) => Operation::read("payment_intent.search"),
            ("GET", ["v1", "refunds", ..]) => Operation::read("refund.get"),
            ("GET", _) => Operation::read("payment_intent.get"),
            _ => Operation::read("unknown"),
        }
    }

    fn apply(&mut self, call: &Call, context: &mut Context) -> Response {
        if !self.authorized(call) {
            return Refusal::plain(401, "invalid_request_error", "Invalid API Key provided.").response();
        }
        let key = call.header("idempotency-key").filter(|_| call.method == "POST");
        if let Some(key) = key {
            match self.keys.earlier(key, call, context.now, self.config.key_lifetime_ms) {
                Ok(None) => {}
                Ok(Some(answer)) => return answer,
                Err(refusal) => return refusal.response(),
            }
        }
        let (response, kept) = match self.route(call, key.unwrap_or(""), context) {
            Ok(response) => (response, true),
            Err(refusal) => {
                let kept = refusal.kept;
                (refusal.response(), kept)
            }
        };
        if let Some(key) = key.filter(|_| kept) {
            self.keys.store(key, call, &response, context.now, context.delay_ms);
        }
        response
    }

    fn injected(&mut self, call: &Call, fault: Injected, retry_after_s: u64, now: i64) -> Response {
        let (status, kind, message) = match fault {
            Injected::Internal | Injected::AppliedThenFailed => (500, "api_error", "An unknown error occurred."),
            Injected::Unavailable => (503, "api_error", "The service is temporarily unavailable."),
            Injected::Throttled => (429, "invalid_request_error", "Request rate limit exceeded."),
            Injected::Unauthorized => (401, "invalid_request_error", "Expired API Key provided."),
        };
        let response = Refusal::plain(status, kind, message).response();
        let key = call.header("idempotency-key").filter(|_| call.method == "POST" && self.authorized(call));
        match (fault, key) {
            // The answer of a call that began to execute is kept, a 500 as well: the key never heals.
            (Injected::Internal, Some(key)) => self.keys.store_if_new(key, call, &response, now),
            (Injected::AppliedThenFailed, Some(key)) => self.keys.replace_last(key, &response),
            (Injected::Throttled, _) => return response.with("retry-after", retry_after_s.to_string()),
            _ => {}
        }
        response
    }

    fn tick(&mut self, context: &mut Context) {
        let Some((_, what)) = self.pending.pop_first() else { return };
        match what {
            Pending::Expire(index) => self.release(index, "automatic", "", "expired", context),
            Pending::SettleRefund(index, outcome) => self.settle_refund(index, outcome, context),
        }
    }

    fn next_tick(&self) -> Option<i64> {
        self.pending.first_key_value().map(|((at, _), _)| *at)
    }
}
