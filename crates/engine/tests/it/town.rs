//! A town of systems that do as the test says, each with a ledger of what it applied, and the connector that speaks with them.

use crossdock_canonical::{Duration, Operation, Outcome, SystemName, Timestamp};
use crossdock_connect::{
    Call, Capability, Connector, Exchange, Identity, Next, NextProbe, PrepareError, Prepared, Probe, Token, TransportError,
    classify::{self, Credentials, Nature},
    http::{Method, Request, Response},
};
use crossdock_engine::simulated::{Network, at_once};
use crossdock_store::{MemoryStore, ProcessKey, Store};
use crossdock_value::Value;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// What a system does with one request that would change something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Apply,
    /// Applied, the answer is lost.
    ApplyAndDrop,
    /// Lost on the way.
    Drop,
    /// Applied, the answer never comes.
    ApplyAndHang,
    /// 500 without effect.
    Fail,
    /// 500 with effect.
    ApplyAndFail,
    /// 202; applied.
    Accept,
    /// 409.
    Refuse,
    /// 401.
    Reject,
    /// 503, with or without Retry-After in seconds.
    Turn(Option<i64>),
}

#[derive(Clone, Debug)]
pub struct Applied {
    pub key: String,
    pub reference: String,
    /// From when a look-up finds it.
    pub visible_at: Timestamp,
}

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub at: Timestamp,
    pub until: Timestamp,
    pub system: SystemName,
    pub probe: bool,
    /// It takes a copy back.
    pub retract: bool,
    pub key: String,
    pub reference: String,
    pub args: String,
}

pub struct Place {
    pub identity: Identity,
    pub applied: Vec<Applied>,
    pub taken_back: usize,
    /// What it does next; then `always`.
    pub script: VecDeque<Act>,
    pub always: Act,
    pub takes: Duration,
    /// How long an effect is hidden from look-ups.
    pub hidden: Duration,
    /// What it says to a look-up, if not what it knows.
    pub look_up: Option<u16>,
}

pub struct Town {
    pub places: BTreeMap<SystemName, Place>,
    pub arrivals: Vec<Arrival>,
    /// Promises of the engine that were broken.
    pub broken: Vec<String>,
    store: Arc<MemoryStore>,
}

impl Town {
    pub fn new(store: Arc<MemoryStore>) -> Self {
        Self { places: BTreeMap::new(), arrivals: Vec::new(), broken: Vec::new(), store }
    }

    /// Nothing may be taken back before somebody could read that it is there twice.
    fn check_on_record(&mut self, reference: &str) {
        let number = reference.split('#').next().unwrap_or_default();
        let loaded = at_once(self.store.load(&ProcessKey::new("toy", number))).expect("the memory store answers");
        if !loaded.is_some_and(|l| l.exceptions.iter().any(|(_, e)| &*e.class == "applied_twice")) {
            self.broken.push(format!("a copy of {reference} was taken back, and nobody knew of it"));
        }
    }

    /// Nobody may hear of an effect that is not on disk, open, under this very key.
    fn check_intent(&mut self, key: &str, reference: &str) {
        let number = reference.split('#').next().unwrap_or_default();
        let known = ["toy", "order"].into_iter().any(|kind| {
            let loaded = at_once(self.store.load(&ProcessKey::new(kind, number))).expect("the memory store answers");
            loaded.is_some_and(|l| l.effects.iter().any(|e| &*e.key == key && e.state.is_open() && e.request.is_some()))
        });
        if !known {
            self.broken.push(format!("a request for {reference} left before its intent {key} was on disk"));
        }
    }
}

impl Network for Town {
    fn send(&mut self, system: &SystemName, request: &Request, now: Timestamp) -> (Result<Response, TransportError>, Duration) {
        let header = |name: &str| request.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()).unwrap_or_default();
        let (key, reference) = (header("x-key"), header("x-ref"));
        let (probe, retract) = (request.method == Method::Get, request.method == Method::Delete);
        match retract {
            true => self.check_on_record(&reference),
            false if !probe => self.check_intent(&key, &reference),
            false => {}
        }
        let place = self.places.get_mut(system).expect("tests build their systems");
        let act = if probe { Act::Apply } else { place.script.pop_front().unwrap_or(place.always) };
        let takes = if act == Act::ApplyAndHang { Duration::minutes(10) } else { place.takes };
        self.arrivals.push(Arrival {
            at: now,
            until: now + takes,
            system: system.clone(),
            probe,
            retract,
            key: key.clone(),
            reference: reference.clone(),
            args: header("x-args"),
        });
        let name = format!("{reference} {}", header("x-operation"));
        if probe {
            let visible = place.applied.iter().filter(|a| a.reference == name && a.visible_at <= now);
            let found: Vec<&str> = visible.map(|a| a.key.as_str()).collect();
            let status = place.look_up.unwrap_or(if found.is_empty() { 404 } else { 200 });
            return (Ok(Response::new(status, found.join(" ").into_bytes())), takes);
        }
        if retract {
            let copies = place.applied.len();
            if act == Act::Apply {
                place.applied.retain(|a| a.reference != name || a.key != key);
            }
            place.taken_back += copies - place.applied.len();
            return (Ok(Response::new(if act == Act::Apply { 200 } else { 409 }, Vec::new())), takes);
        }
        let mut apply = || {
            let again = match place.identity {
                Identity::NativeKey => place.applied.iter().any(|a| a.key == key),
                Identity::UniqueReference => place.applied.iter().any(|a| a.reference == name),
                Identity::LookupOnly | Identity::None => false,
            };
            if !again {
                place.applied.push(Applied { key: key.clone(), reference: name.clone(), visible_at: now + place.hidden });
            }
        };
        let status = match act {
            Act::Apply | Act::Accept | Act::ApplyAndDrop | Act::ApplyAndHang | Act::ApplyAndFail => {
                apply();
                match act {
                    Act::ApplyAndDrop => return (Err(TransportError::Broken("cut".into())), takes),
                    Act::Accept => 202,
                    Act::ApplyAndFail => 500,
                    _ => 200,
                }
            }
            Act::Drop => return (Err(TransportError::Broken("cut".into())), takes),
            Act::Fail => 500,
            Act::Refuse => 409,
            Act::Reject => 401,
            Act::Turn(after) => {
                let mut response = Response::new(503, Vec::new());
                if let Some(after) = after {
                    response.headers.push(("retry-after".into(), after.to_string()));
                }
                return (Ok(response), takes);
            }
        };
        (Ok(Response::new(status, Vec::new())), takes)
    }

    fn webhooks(&mut self, _: Timestamp) -> Vec<(SystemName, Request)> {
        Vec::new()
    }

    fn next_event(&self) -> Option<Timestamp> {
        None
    }

    fn webhook_answered(&mut self, _: &SystemName, _: &Request, _: bool, _: Timestamp) {}
}

/// Speaks with a `Place`.
#[derive(Clone)]
pub struct Plain {
    pub capability: Capability,
    /// Whether `poison` messages can be read by now.
    pub mended: Arc<AtomicBool>,
}

impl Connector for Plain {
    fn capability(&self, _: Operation) -> Option<Capability> {
        Some(self.capability)
    }

    fn prepare(&self, call: &Call) -> Result<Prepared, PrepareError> {
        if !self.mended.load(Ordering::Relaxed) && &*call.order.number.to_string() == "unmapped" {
            return Err(PrepareError::Mapping { target: "lines".into(), reason: "nobody mapped it".into() });
        }
        Ok(Prepared {
            bytes: format!("{} {} {}", call.operation, call.reference, call.key).into_bytes().into(),
            mapping: "m".into(),
        })
    }

    fn next(&self, call: &Call, prepared: &[u8], exchanges: &[Exchange]) -> Next {
        match exchanges.last() {
            None => Next::Send(request(Method::Post, call, prepared)),
            Some(Exchange { answer: Ok(answer), .. }) if answer.status == 202 => Next::End(Outcome::accepted(Value::Null)),
            Some(Exchange { answer: Ok(answer), .. }) => {
                Next::End(named(call, classify::answered(answer, Nature::Change, Credentials::Fixed)))
            }
            Some(Exchange { answer: Err(error), .. }) => Next::End(classify::broken(error, Nature::Change)),
        }
    }

    fn probe(&self, call: &Call, prepared: &[u8], exchanges: &[Exchange]) -> NextProbe {
        match exchanges.last() {
            None => NextProbe::Send(request(Method::Get, call, prepared)),
            Some(Exchange { answer: Ok(answer), .. }) if answer.status == 200 => {
                let outcome = named(call, Outcome::done(Value::Null));
                let body = String::from_utf8_lossy(&answer.body);
                // Of several the one of the present generation is ours.
                let copies: Vec<String> = body.split(' ').filter(|key| *key != &*call.key).map(str::to_owned).collect();
                let once = body.split(' ').count() == 1;
                NextProbe::End(if once { Probe::Complete(outcome) } else { Probe::Several { outcome, copies } })
            }
            Some(Exchange { answer: Ok(answer), .. }) if answer.status == 404 => NextProbe::End(Probe::Absent),
            Some(Exchange { answer: Ok(answer), .. }) => {
                NextProbe::End(Probe::Unclear(classify::answered(answer, Nature::Read, Credentials::Fixed)))
            }
            Some(Exchange { answer: Err(error), .. }) => NextProbe::End(Probe::Unclear(classify::broken(error, Nature::Read))),
        }
    }

    fn retract(&self, call: &Call, copies: &[String], exchanges: &[Exchange]) -> Next {
        match (exchanges.last().map(|exchange| &exchange.answer), copies.get(exchanges.len())) {
            (Some(Ok(answer)), _) if answer.status != 200 => Next::End(Outcome::refused("kept", "")),
            (Some(Err(error)), _) => Next::End(classify::broken(error, Nature::Change)),
            (_, Some(copy)) => Next::Send(request(Method::Delete, call, copy.as_bytes())),
            (_, None) => Next::End(Outcome::done(Value::Null)),
        }
    }

    fn translate(&self, _: &str, body: &[u8]) -> Result<Value, PrepareError> {
        let body = if body == b"poison" && self.mended.load(Ordering::Relaxed) { &br#"{"n": 1}"#[..] } else { body };
        crossdock_value::parse(body, &crossdock_value::Limits::default())
            .map_err(|e| PrepareError::Mapping { target: String::new(), reason: e.to_string() })
    }

    fn authorize(&self, _: &mut Request, _: Option<&Token>) {}
}

/// Some orders are told what the system calls them, all by one name.
fn named(call: &Call, outcome: Outcome) -> Outcome {
    match call.order.number.to_string().starts_with("same-id") {
        true => outcome.with_identity("order", call.reference.to_string(), "4711"),
        false => outcome,
    }
}

fn request(method: Method, call: &Call, prepared: &[u8]) -> Request {
    let mut request = Request::new(method, "/effects");
    // The key is part of the bytes, as with most products.
    let bytes = String::from_utf8_lossy(prepared);
    request.headers.push(("x-key".into(), bytes.rsplit(' ').next().unwrap_or_default().to_owned()));
    request.headers.push(("x-ref".into(), call.reference.to_string()));
    request.headers.push(("x-operation".into(), call.operation.to_string()));
    request.headers.push(("x-args".into(), String::from_utf8_lossy(&crossdock_value::to_json(&call.args)).into_owned()));
    request.body = Arc::from(prepared);
    request
}
