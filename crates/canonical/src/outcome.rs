//! What became of a call: one of seven classes, each an instruction to the engine. Connectors map to it, nobody else does.

use crossdock_value::Value;
use serde::{Deserialize, Serialize};

/// The table of design section 1. The names are stored for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeClass {
    /// Applied, with evidence: go on.
    Done,
    /// Taken, the outcome follows by webhook or poll: wait to the acknowledgement deadline, then probe.
    Accepted,
    /// Known *not* applied, by a business rule: the flow decides.
    Refused,
    /// Known not applied: throttled, unavailable, locked, expired token. Same bytes, same key, later.
    Retry,
    /// May or may not be applied: probe before anything else.
    Unknown,
    /// Credentials, contract or mapping: every call will fail. Stop the system's calls, burn nothing.
    Misconfigured,
    /// A done outcome was undone later by the system.
    Reversed,
}

impl OutcomeClass {
    pub const ALL: [Self; 7] =
        [Self::Done, Self::Accepted, Self::Refused, Self::Retry, Self::Unknown, Self::Misconfigured, Self::Reversed];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Retry => "retry",
            Self::Unknown => "unknown",
            Self::Misconfigured => "misconfigured",
            Self::Reversed => "reversed",
        }
    }
}

/// The result of one attempt (or of a probe, or a later notification) in canonical terms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    pub class: OutcomeClass,
    /// Stable machine word for the cause: `card_declined`, `http_503`, `timeout`, `unknown_sku`. No personal data.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
    /// A sentence for people. May quote the vendor; is stored sealed, never in a log.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// The evidence in canonical terms: the system's ids, amounts, states. No personal data.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub evidence: Value,
    /// Ids the system gave to our records, for the identity map: `(kind, ours, theirs)`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identities: Vec<Identity>,
    /// When the system asked us to come back, in milliseconds from now (`Retry-After`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<i64>,
}

/// One row of the identity map, without the system that gave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// `order`, `line`, `shipment`, `payment`, `reservation`, `invoice`.
    pub kind: String,
    /// Our name for the record, for example the order reference or `reference#line`.
    pub ours: String,
    pub theirs: String,
}

impl Outcome {
    pub fn new(class: OutcomeClass, code: impl Into<String>, text: impl Into<String>) -> Self {
        Self { class, code: code.into(), text: text.into(), evidence: Value::Null, identities: Vec::new(), retry_after_ms: None }
    }

    pub fn done(evidence: Value) -> Self {
        Self { evidence, ..Self::new(OutcomeClass::Done, "", "") }
    }

    pub fn accepted(evidence: Value) -> Self {
        Self { evidence, ..Self::new(OutcomeClass::Accepted, "", "") }
    }

    pub fn refused(code: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(OutcomeClass::Refused, code, text)
    }

    pub fn retry(code: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(OutcomeClass::Retry, code, text)
    }

    pub fn unknown(code: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(OutcomeClass::Unknown, code, text)
    }

    pub fn misconfigured(code: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(OutcomeClass::Misconfigured, code, text)
    }

    pub fn with_identity(mut self, kind: &str, ours: impl Into<String>, theirs: impl Into<String>) -> Self {
        self.identities.push(Identity { kind: kind.into(), ours: ours.into(), theirs: theirs.into() });
        self
    }

    pub fn after_ms(mut self, ms: i64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }
}
