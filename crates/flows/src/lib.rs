//! The business processes, each one readable file, each pure: what was heard becomes events, events fold into state, and `decide`
//! says what should now be true of the world.
//!
//! **`decide` is declarative.** It returns every effect, timer and exception that the state calls for, again and again; the engine
//! compares that with what already exists, by name, and makes the difference. So a flow never remembers what it asked for, and
//! deciding twice is harmless. An effect is named by `(step, intent)` for the life of its process: the same name is the same effect.
//! One that was made and is no longer named has ended, or is withdrawn: its end is found out all the same if it may have been applied,
//! and it is never sent anew.
//!
//! Nothing here sees a clock, a store, a network or a random number. Time is the stored time of what is being handled.

#[macro_use]
mod kit;
pub mod order;
pub mod payment;
pub mod policy;
pub mod testing;

use crossdock_canonical::{Duration, Operation, Outcome, OutcomeClass, SystemName, Timestamp};
use crossdock_value::Value;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::fmt;

pub use policy::Policy;

/// A business process. `State` is what the row holds; it carries no personal data.
pub trait Flow {
    type State: Clone + PartialEq + fmt::Debug + Default + Serialize + DeserializeOwned + Send + 'static;
    type Event: Clone + PartialEq + fmt::Debug + Serialize + DeserializeOwned + Send + 'static;

    /// The process kind, stored for ever: `order`, `payment`.
    const KIND: &'static str;
    /// Version of `State`'s encoding. `upcast` reads older ones.
    const SCHEMA: u32;
    /// Version of `decide` that new processes start under; older arms stay until no process is left on them.
    const LOGIC: u32;

    /// Kinds of message that begin a process; others wait until it is there. A command of another process always may.
    const STARTS: &'static [&'static str];

    /// Turns what was heard into business events. An input that says nothing new gives none; that is not an error.
    /// A command that cannot be taken now is answered with a refusal. It gives no event, except where another process may have given
    /// it and waits for a reply: there the refusal is put on record.
    fn hear(state: &Self::State, input: &Input, policy: &Policy, at: Timestamp) -> Heard<Self::Event>;

    /// Folds one event. Total: an event that does not fit leaves the state as it is.
    fn apply(state: Self::State, event: &Self::Event, at: Timestamp) -> Self::State;

    /// What the state calls for. `logic` is the version the process started under.
    fn decide(state: &Self::State, policy: &Policy, logic: u32, now: Timestamp) -> Plan;

    /// The business name of an event, for the journal and subscribers: `order.accepted`.
    fn event_name(event: &Self::Event) -> &'static str;

    /// The state as it would be without the end of this effect; `None` if no end of it was heard. So one that goes on after its end (a
    /// refused one that a person has retried) and one that is audited have their arguments though the flow no longer names them.
    fn reopened(state: &Self::State, step: &str, intent: &str) -> Option<Self::State>;

    /// The state as it was when this effect was still called for; `None` if that cannot be told. So an effect that was under way when
    /// nobody wanted it any more can be asked after with its arguments.
    fn before_called_off(_state: &Self::State, _step: &str, _intent: &str) -> Option<Self::State> {
        None
    }

    /// The document after a command that amends it, should the command be taken; `None` for every other command.
    fn amended(_command: &str, _document: &Value, _body: &Value) -> Option<Value> {
        None
    }

    /// Reads a state written under an older `SCHEMA`.
    fn upcast(schema: u32, state: Value) -> Result<Self::State, UpcastError> {
        if schema == Self::SCHEMA {
            crossdock_value::from_value(&state).map_err(|e| UpcastError { kind: Self::KIND, schema, reason: e.to_string() })
        } else {
            Err(UpcastError { kind: Self::KIND, schema, reason: "no reader for this schema version".into() })
        }
    }
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("state of a {kind} process, schema {schema}, cannot be read: {reason}")]
pub struct UpcastError {
    pub kind: &'static str,
    pub schema: u32,
    pub reason: String,
}

/// What a process can hear.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A fact from a system, already in canonical terms: `order.placed`, `shipment.notice`, `fraud.decided`, `payment.notice`.
    Message { from: SystemName, kind: String, body: Value },
    /// One of this process's effects has come to an end (`done`, `refused`), or was undone later (`reversed`).
    Settled { step: String, intent: String, outcome: Outcome },
    /// A person gave up on an effect and said why; the flow goes on as if it were done, without its evidence.
    Skipped { step: String, intent: String, reason: String },
    /// An effect that the state no longer calls for was certainly not applied, and is not sent any more. Named again, it begins anew.
    Withdrawn { step: String, intent: String },
    /// A timer this process asked for.
    Timer { name: String },
    /// A command, from a person, an API client or another process. `key` is its idempotency key.
    Command { name: String, body: Value, key: String },
}

/// The events of an input, and for a command its immediate answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard<E> {
    pub events: Vec<E>,
    pub answer: Option<Answer>,
}

impl<E> Heard<E> {
    pub fn nothing() -> Self {
        Self { events: Vec::new(), answer: None }
    }
    pub fn events(events: Vec<E>) -> Self {
        Self { events, answer: None }
    }
    pub fn taken(events: Vec<E>) -> Self {
        Self { events, answer: Some(Answer::Taken) }
    }
    pub fn refused(code: &str, text: impl Into<String>) -> Self {
        Self { events: Vec::new(), answer: Some(Answer::Refused { code: code.into(), text: text.into() }) }
    }
}

/// The immediate answer to a command: whether it was taken, not whether it succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "answer")]
pub enum Answer {
    Taken,
    Refused { code: String, text: String },
}

/// Everything a state calls for.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Plan {
    pub effects: Vec<Effect>,
    pub timers: Vec<Timer>,
    /// Business exceptions that stand now; the engine opens new ones and closes those no longer named.
    pub exceptions: Vec<Exception>,
    /// Final answers to commands of other processes; each is sent once, by its key.
    pub replies: Vec<Reply>,
    pub summary: Summary,
}

/// One call that should be made once. See `Operation` for arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    /// A name of the flow's step table, stored for ever.
    pub step: &'static str,
    /// Which of the step's effects: empty for the only one, else what it is about (`ship-1`, `capture/2`, a command's key).
    pub intent: String,
    pub target: Target,
    pub operation: Operation,
    pub args: Value,
    /// How long the system may take to acknowledge before its silence becomes an exception.
    pub deadline: Duration,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    System(SystemName),
    /// Another process of the hub; `operation` is `HubCommand`, `args` is `{"command": name, "body": ...}`.
    Process {
        kind: &'static str,
        key: String,
    },
}

/// A timer by name; naming it again with another time moves it, not naming it any more cancels it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    pub name: String,
    pub due: Timestamp,
}

/// Why a person is needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    /// Which exception of this process: stays the same while it stands.
    pub name: String,
    /// The group it belongs to, one of the catalogue in docs/operations.md: `fraud_review`, `bad_address`, `refused` ...
    pub class: String,
    /// The step that waits for it, if one does.
    pub step: Option<String>,
    pub intent: Option<String>,
    /// One sentence with the numbers, no personal data.
    pub cause: String,
    /// What a person would do.
    pub suggestion: String,
}

/// The final answer to a command another process gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The key of the command.
    pub to: String,
    pub outcome: Outcome,
}

/// What lists and searches show of a process, without reading its state.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Summary {
    /// A participle of the flow's own vocabulary: `released`, `captured`.
    pub stage: String,
    pub status: Status,
    /// What is being waited for, in words: `warehouse: shipment of ship-1`. Empty when nothing is.
    pub waiting_for: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    #[default]
    Open,
    /// On hold by a person or a policy; nothing new is started.
    Held,
    Closed,
    Cancelled,
    /// Ended without success where cancelling was not the wish: rejected, expired.
    Failed,
}

impl Status {
    /// No more effects can come of an ended process, except those that commands ask for.
    pub fn is_final(self) -> bool {
        match self {
            Self::Open | Self::Held => false,
            Self::Closed | Self::Cancelled | Self::Failed => true,
        }
    }
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Held => "held",
            Self::Closed => "closed",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

/// How a settled effect ended, as flows remember it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    Done,
    Refused,
    Skipped,
    Reversed,
}

impl Ended {
    /// What a final outcome class means to a flow; `None` for the classes the engine keeps to itself.
    pub fn of(class: OutcomeClass) -> Option<Self> {
        match class {
            OutcomeClass::Done => Some(Self::Done),
            OutcomeClass::Refused => Some(Self::Refused),
            OutcomeClass::Reversed => Some(Self::Reversed),
            OutcomeClass::Accepted | OutcomeClass::Retry | OutcomeClass::Unknown | OutcomeClass::Misconfigured => None,
        }
    }
    pub fn is_through(self) -> bool {
        matches!(self, Self::Done | Self::Skipped)
    }
}
