//! The connector kit: what a connector is, and what every connector needs.
//!
//! A connector is **sans-I/O**: pure functions from calls and answers to the next request or the outcome. A shell sends the bytes
//! (tokio in production, a simulated network in simulation), so the very same connector runs in both. It holds configuration and
//! resolved secrets, never a connection, a clock or state between calls.

pub mod classify;
pub mod config;
pub mod conformance;
pub mod cut;
pub mod http;
pub mod oauth;
pub mod poll;
pub mod scrub;
pub mod secret;
pub mod webhook;

use crossdock_canonical::{Operation, OrderRef, Outcome, SystemName, Timestamp};
use crossdock_value::Value;
use http::{Request, Response};
use std::sync::Arc;

/// How far a system helps us do an effect once (design section 3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    /// The system keeps our key and answers a repeat with the first result.
    NativeKey,
    /// Our reference is unique in the system: a repeat is refused and can be found.
    UniqueReference,
    /// Our reference can be found, but the system would take a second one.
    LookupOnly,
    /// Neither: never resent without a person.
    None,
}

/// What a connector promises of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    pub identity: Identity,
    /// How long the system keeps our key, for `NativeKey`; afterwards a resend is a new operation. Milliseconds.
    pub key_lifetime_ms: Option<i64>,
    /// How long after an unclear end a probe may still miss the effect. Milliseconds.
    pub settling_ms: i64,
    /// Whether `probe` can tell what became of it.
    pub probes: bool,
    /// How long one attempt may take before its end is unclear. Milliseconds.
    pub timeout_ms: i64,
    /// Whether `retract` takes back what a probe finds more than once.
    pub retracts: bool,
}

/// An effect as a connector sees it. The same for every attempt of one generation.
#[derive(Clone, Debug)]
pub struct Call {
    pub system: SystemName,
    pub operation: Operation,
    /// The engine's idempotency key of this generation: 32 hex digits. A connector may reshape it, never invent one.
    pub key: Arc<str>,
    /// Names the effect in the system whatever the generation: `channel/site/number`, with `#intent` when there are several.
    pub reference: Arc<str>,
    pub order: OrderRef,
    pub args: Value,
    /// The canonical order; `Null` when the process has none.
    pub document: Value,
    /// What this system calls our records, from the identity map: `{kind: {ours: theirs}}`. `Null` when it named none yet.
    pub identities: Value,
    /// When the intent was made.
    pub at: Timestamp,
}

/// The bytes an intent stores. A retry sends exactly these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    pub bytes: Arc<[u8]>,
    /// Hash of the system's configuration and mapping that made them.
    pub mapping: Arc<str>,
}

/// Why no request could be made. Nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    #[error("{system} does not offer {operation}")]
    Unsupported { system: SystemName, operation: Operation },
    /// The mapping failed on this order; others may pass.
    #[error("mapping of {target}: {reason}")]
    Mapping { target: String, reason: String },
    /// The configuration is wrong for every order.
    #[error("{0}")]
    Misconfigured(String),
}

/// One request of an attempt and what came of it.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub request: Request,
    pub answer: Result<Response, TransportError>,
}

/// How a request ended without an answer. Only the first two are certain not to have been seen by the system.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    #[error("no connection: {0}")]
    NotConnected(String),
    #[error("no token: {0}")]
    NotAuthorized(String),
    #[error("no answer within {0} ms")]
    Timeout(i64),
    #[error("the connection ended before the answer: {0}")]
    Broken(String),
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

impl TransportError {
    /// Whether the request can have reached the system.
    pub fn may_have_arrived(&self) -> bool {
        match self {
            Self::NotConnected(_) | Self::NotAuthorized(_) => false,
            Self::Timeout(_) | Self::Broken(_) | Self::TooLarge(_) => true,
        }
    }
}

/// What an attempt does next: most connectors send one request and then know the outcome; an ERP driven by buttons sends several.
#[derive(Clone, Debug)]
pub enum Next {
    Send(Request),
    End(Outcome),
}

/// What a probe does next.
#[derive(Clone, Debug)]
pub enum NextProbe {
    Send(Request),
    End(Probe),
}

/// What became of an effect, as the system tells when asked by our reference.
#[derive(Clone, Debug, PartialEq)]
pub enum Probe {
    /// Not there: it may be sent again, under the next generation.
    Absent,
    /// There in part; the outcome says what is missing. A resend must complete it, not repeat it.
    Partial(Outcome),
    Complete(Outcome),
    /// There more than once: a late copy of it, or what somebody else did under our reference. The outcome is that of one of them, as
    /// for *complete*.
    Several {
        outcome: Outcome,
        /// The system's ids of the others, if they may be taken back; never what the identity map calls ours.
        copies: Vec<String>,
    },
    /// It was there and is no longer what we asked for (cancelled there, paid back ...).
    MovedOn(Outcome),
    /// The system could not say. Ask again later.
    Unclear(Outcome),
}

/// A fact that came in from a system: addressed, but still in the vendor's bytes. `Connector::translate` reads it when it is folded,
/// after it was stored, so that one that cannot be read becomes an exception and is never lost.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The sender's id of this message; repeats are dropped by it. A polled row is named by its version: the record, when it changed,
    /// and what it holds. `None` only for what begins a process: its repeats are known by the process's key.
    pub id: Option<String>,
    pub about: About,
    /// `order.placed`, `shipment.notice`, `fraud.decided`, `payment.notice`, `effect.settled`.
    pub kind: String,
    /// The vendor's bytes, or the part of them that is this message.
    pub body: Arc<[u8]>,
}

/// Whom a message is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    Order(OrderRef),
    /// By the system's own id, through the identity map.
    Theirs {
        kind: String,
        id: String,
    },
}

/// Why an inbound request was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    #[error("the signature is missing or does not fit the body")]
    BadSignature,
    #[error("the timestamp is outside the tolerance")]
    Stale,
    #[error("the body cannot be read: {0}")]
    Malformed(String),
    #[error("{0} takes no webhooks")]
    Unsupported(SystemName),
}

/// What a poll does next. The cursor is the connector's own JSON, stored with the rows it led to.
#[derive(Clone, Debug)]
pub enum NextPoll {
    Send(Request),
    Page {
        messages: Vec<Message>,
        cursor: Value,
        /// Another page is waiting: poll again at once.
        more: bool,
    },
    Failed(Outcome),
}

/// How requests are authorized.
#[derive(Clone, Debug)]
pub struct Token {
    pub value: Arc<str>,
    /// Milliseconds from when it was answered.
    pub lives_ms: i64,
}

impl Call {
    /// The system's id of our record, if the identity map knows it.
    pub fn theirs(&self, kind: &str, ours: &str) -> Option<&str> {
        self.identities.get(kind).get(ours).as_str()
    }
}

/// One vendor product. Every function is pure.
pub trait Connector: Send + Sync {
    /// What it offers for an operation; `None` when it offers nothing.
    fn capability(&self, operation: Operation) -> Option<Capability>;

    /// The exact bytes of an intent: mapping runs here and only here.
    fn prepare(&self, call: &Call) -> Result<Prepared, PrepareError>;

    /// Drives one attempt: given the exchanges so far (none at first), what to send, or how it ended.
    fn next(&self, call: &Call, prepared: &[u8], exchanges: &[Exchange]) -> Next;

    /// Asks what became of an effect.
    fn probe(&self, call: &Call, prepared: &[u8], exchanges: &[Exchange]) -> NextProbe;

    /// Takes back copies that a probe found, by the system's own ids. What is taken back already is done.
    fn retract(&self, call: &Call, copies: &[String], exchanges: &[Exchange]) -> Next {
        let _ = (copies, exchanges);
        Next::End(Outcome::refused("retract", format!("{} takes nothing back", call.system)))
    }

    /// Reads a stored message of `kind` into the canonical body that flows hear.
    fn translate(&self, kind: &str, body: &[u8]) -> Result<Value, PrepareError> {
        let _ = kind;
        crossdock_value::parse(body, &crossdock_value::Limits::default())
            .map_err(|e| PrepareError::Mapping { target: String::new(), reason: e.to_string() })
    }

    /// Verifies a webhook and cuts it into addressed messages.
    fn webhook(&self, system: &SystemName, request: &Request, _now: Timestamp) -> Result<Vec<Message>, WebhookError> {
        let _ = request;
        Err(WebhookError::Unsupported(system.clone()))
    }

    /// Polls for news; `None` when the product is not polled.
    fn poll(&self, _cursor: &Value, _exchanges: &[Exchange], _now: Timestamp) -> Option<NextPoll> {
        None
    }

    /// The request that gets a token, when requests need one (`Request::authorize`).
    fn token_request(&self) -> Option<Request> {
        None
    }

    /// Reads the token out of its answer.
    fn token(&self, response: &Response) -> Result<Token, Outcome> {
        let _ = response;
        Err(Outcome::misconfigured("no_token", "this connector needs no token"))
    }

    /// Puts credentials on a request just before it leaves; they are never stored.
    fn authorize(&self, request: &mut Request, token: Option<&Token>);
}
