//! The back office: one invented JSON-over-HTTP contract in seven roles. The contract is `README.md` in this folder.
//!
//! It is not a model of any vendor; the vendors live in folders of their own.

mod desk;
pub mod erp;
pub mod fraud;
pub mod giftcard;
pub mod inventory;
pub mod notification;
pub mod tax;
pub mod warehouse;

#[cfg(test)]
mod tests;

pub use desk::Identity;
use std::collections::BTreeMap;

use desk::{Answer, Desk, Refusal};

use crate::http::{Call, Response};
use crate::json::{Json, object};
use crate::simulator::{Context, Injected, Operation, Service};

/// One role of the contract: its routes and rules.
pub trait Role: Send {
    /// What a path is, or `None` if the role has no such route.
    fn operation(&self, method: &str, path: &[&str]) -> Option<Operation>;

    fn apply(&mut self, call: &Call, path: &[&str], body: &Json, desk: &mut Desk, context: &mut Context) -> Answer;

    /// Whether the route may apply only some of its lines.
    fn splits_lines(&self, _operation: &str) -> bool {
        false
    }

    fn tick(&mut self, _desk: &mut Desk, _context: &mut Context) {}

    fn next_tick(&self) -> Option<i64> {
        None
    }
}

impl BackOffice<erp::Erp> {
    /// References under which there is more than one sales order, and those of them under which more than one stands.
    pub fn copies(&self) -> (usize, usize) {
        let repeated: Vec<_> = self.desk.repeated("sales-orders").collect();
        let standing = repeated.iter().filter(|ids| ids.iter().filter(|id| self.role.stands(id)).count() > 1);
        (repeated.len(), standing.count())
    }
}

/// A role behind its desk.
pub struct BackOffice<R> {
    pub role: R,
    desk: Desk,
}

impl<R: Role> BackOffice<R> {
    /// `identities`: where a collection's mode is not that of the system.
    pub fn new(
        system: &'static str,
        identity: Identity,
        identities: BTreeMap<String, Identity>,
        api_key: String,
        role: R,
    ) -> Self {
        BackOffice { role, desk: Desk::new(system, identity, identities, api_key) }
    }

    fn answer(&mut self, call: &Call, context: &mut Context) -> Answer {
        self.desk.authorize(call)?;
        let path = call.path();
        if call.method == "GET" && path == ["events"] {
            return Ok(self.desk.events(call));
        }
        let operation = self
            .role
            .operation(call.method, &path)
            .ok_or_else(|| Refusal::new(404, "not_found", format!("no route {} /{}", call.method, path.join("/"))))?;
        let body = match call.request.body.as_slice() {
            [] => Json::Object(Vec::new()),
            _ => call.json().map_err(|why| Refusal::new(400, "bad_request", why))?,
        };
        if operation.changes
            && let Some(answer) = self.desk.replay(call)?
        {
            return Ok(answer);
        }
        let response = self.role.apply(call, &path, &body, &mut self.desk, context)?;
        if operation.changes {
            self.desk.remember(call, &response);
        }
        Ok(response)
    }
}

impl<R: Role> Service for BackOffice<R> {
    fn operation(&self, call: &Call) -> Operation {
        self.role.operation(call.method, &call.path()).unwrap_or(Operation::read("unknown"))
    }

    fn apply(&mut self, call: &Call, context: &mut Context) -> Response {
        self.answer(call, context).unwrap_or_else(Refusal::response)
    }

    fn injected(&mut self, _call: &Call, fault: Injected, retry_after_s: u64, _now: i64) -> Response {
        let (status, code, message) = match fault {
            Injected::Internal | Injected::AppliedThenFailed => (500, "internal", "an internal error"),
            Injected::Unavailable => (503, "unavailable", "the system is down"),
            Injected::Throttled => (429, "throttled", "too many calls"),
            Injected::Unauthorized => (401, "unauthorized", "send the API key in X-Api-Key"),
        };
        let response = Refusal::new(status, code, message).response();
        if matches!(status, 429 | 503) { response.with("retry-after", retry_after_s.to_string()) } else { response }
    }

    fn accepted(&self, call: &Call) -> Option<Response> {
        // Only what has a reference to look up later can be accepted first.
        let body = call.json().ok()?;
        let reference = body.get("external_reference").or(body.get("code"))?;
        (call.method == "POST" && self.desk.authorize(call).is_ok())
            .then(|| Response::json(202, &object! { "state": "accepted", "external_reference": reference.clone() }))
    }

    fn can_be_partial(&self, call: &Call) -> bool {
        self.role.splits_lines(self.operation(call).name) && call.json().is_ok_and(|body| body.list("lines").len() > 1)
    }

    fn tick(&mut self, context: &mut Context) {
        self.role.tick(&mut self.desk, context);
    }

    fn next_tick(&self) -> Option<i64> {
        self.role.next_tick()
    }
}

/// Splits requested lines into those to apply and those to refuse for now, when only a part is to succeed.
fn split_lines<T>(lines: Vec<T>, partial: bool) -> (Vec<T>, Vec<T>) {
    let mut applied = lines;
    let failed = if partial && applied.len() > 1 { applied.split_off(applied.len().div_ceil(2)) } else { Vec::new() };
    (applied, failed)
}

/// The `results` member: which lines were applied and which were locked.
fn results<'a>(applied: impl Iterator<Item = &'a str>, failed: impl Iterator<Item = &'a str>) -> Json {
    let applied = applied.map(|line| object! { "line": line, "state": "applied" });
    let failed = failed.map(|line| object! { "line": line, "state": "failed", "code": "line_locked" });
    Json::List(applied.chain(failed).collect())
}
