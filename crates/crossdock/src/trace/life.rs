//! The life of an order as data: what JSON prints and text is drawn from.
//!
//! Read from the process API's answers by name. A record of a newer hub has facts this program does not know; they are passed over.

use crossdock_canonical::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One process of the order, as the API answers.
pub struct Journal {
    pub kind: &'static str,
    pub whole: Whole,
    pub rows: Vec<Row>,
}

#[derive(Deserialize)]
pub struct Whole {
    market: String,
    status: String,
    stage: String,
    waiting_for: String,
    total: Option<Amount>,
    opened_at: Timestamp,
    updated_at: Timestamp,
    timers: Vec<Timer>,
    exceptions: Vec<Exception>,
    identities: Vec<Identity>,
}

#[derive(Deserialize)]
pub struct Row {
    version: u64,
    at: Timestamp,
    actor: String,
    action: String,
    record: Record,
}

#[derive(Serialize)]
pub struct Life {
    /// `channel/site/number`.
    pub order: String,
    pub market: String,
    pub status: String,
    pub stage: String,
    pub waiting_for: String,
    pub total: Option<Amount>,
    pub opened_at: Timestamp,
    pub updated_at: Timestamp,
    /// Open now.
    pub exceptions: Vec<Exception>,
    /// Running now.
    pub timers: Vec<Timer>,
    pub identities: Vec<Identity>,
    /// Every transition of the order's processes, by time.
    pub transitions: Vec<Transition>,
}

#[derive(Clone, Deserialize, Serialize)]
pub struct Amount {
    pub amount: String,
    pub currency: String,
}

#[derive(Clone, Deserialize, Serialize)]
pub struct Timer {
    pub name: String,
    pub due: Timestamp,
}

#[derive(Clone, Deserialize, Serialize)]
pub struct Exception {
    pub process: String,
    pub name: String,
    pub class: String,
    pub step: String,
    pub intent: String,
    pub system: String,
    pub cause: String,
    pub suggestion: String,
    pub since: Timestamp,
}

#[derive(Clone, Deserialize, Serialize)]
pub struct Identity {
    pub system: String,
    pub kind: String,
    pub ours: String,
    pub theirs: String,
}

#[derive(Serialize)]
pub struct Transition {
    pub at: Timestamp,
    /// `order` or `payment`.
    pub process: String,
    pub version: u64,
    pub actor: String,
    pub action: String,
    #[serde(flatten)]
    pub record: Record,
    /// The effect that the attempt belongs to, for readers who do not count effects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tried: Option<Tried>,
}

#[derive(Clone, Serialize)]
pub struct Tried {
    pub step: String,
    pub intent: String,
    pub system: String,
    pub operation: String,
}

/// A journal record.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Record {
    #[serde(rename = "in")]
    pub heard: Heard,
    pub events: Vec<Event>,
    pub effects: Vec<Effect>,
    pub attempt: Option<Attempt>,
    pub timers: Timers,
    pub exceptions: Exceptions,
    pub answer: Option<serde_json::Value>,
    pub reason: String,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Heard {
    /// `message`, `attempt`, `settled`, `timer`, `deadline`, `command`, `engine`.
    pub kind: String,
    pub name: String,
    pub from: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
}

#[derive(Deserialize, Serialize)]
pub struct Event {
    pub name: String,
    pub body: serde_json::Value,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Effect {
    pub no: u32,
    pub step: String,
    pub intent: String,
    pub system: String,
    pub operation: String,
    pub generation: u32,
    pub key: String,
    pub state: String,
    /// First seen in this transition, or under a new key.
    #[serde(skip_deserializing)]
    pub new: bool,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Attempt {
    pub no: u32,
    pub generation: u32,
    pub attempt: u32,
    pub class: String,
    pub code: String,
    pub probe: String,
    pub ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<serde_json::Value>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Timers {
    pub set: BTreeMap<String, Timestamp>,
    pub cancelled: Vec<String>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Exceptions {
    pub opened: Vec<Opened>,
    pub closed: Vec<String>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Opened {
    pub name: String,
    pub class: String,
    pub cause: String,
}

impl Life {
    /// `None` when there is no process at all. The first one says what the order is.
    pub fn new(order: &str, journals: Vec<Journal>) -> Option<Self> {
        let first = &journals.first()?.whole;
        let mut life = Self {
            order: order.to_owned(),
            market: first.market.clone(),
            status: first.status.clone(),
            stage: first.stage.clone(),
            waiting_for: first.waiting_for.clone(),
            total: first.total.clone(),
            opened_at: first.opened_at,
            updated_at: first.updated_at,
            exceptions: Vec::new(),
            timers: Vec::new(),
            identities: Vec::new(),
            transitions: Vec::new(),
        };
        for journal in journals {
            life.updated_at = life.updated_at.max(journal.whole.updated_at);
            life.exceptions.extend(journal.whole.exceptions);
            life.timers.extend(journal.whole.timers);
            life.identities.extend(journal.whole.identities);
            life.transitions.extend(transitions(journal.kind, journal.rows));
        }
        life.exceptions.sort_by_key(|exception| exception.since);
        life.timers.sort_by_key(|timer| timer.due);
        life.identities.sort_by(|a, b| (&a.system, &a.kind, &a.ours).cmp(&(&b.system, &b.kind, &b.ours)));
        // Stable: at the same instant the order process speaks first, each in its own sequence.
        life.transitions.sort_by_key(|transition| transition.at);
        Some(life)
    }
}

fn transitions(process: &str, rows: Vec<Row>) -> Vec<Transition> {
    let mut known: BTreeMap<u32, (u32, Tried)> = BTreeMap::new();
    let told = rows.into_iter().map(|row| {
        let mut record = row.record;
        for effect in &mut record.effects {
            // Told once, when it was made.
            if let (true, Some((_, tried))) = (effect.operation.is_empty(), known.get(&effect.no)) {
                effect.operation = tried.operation.clone();
            }
            let tried = Tried {
                step: effect.step.clone(),
                intent: effect.intent.clone(),
                system: effect.system.clone(),
                operation: effect.operation.clone(),
            };
            let before = known.insert(effect.no, (effect.generation, tried));
            effect.new = before.is_none_or(|(generation, _)| generation != effect.generation);
        }
        let tried = record.attempt.as_ref().and_then(|attempt| known.get(&attempt.no)).map(|(_, tried)| tried.clone());
        Transition {
            at: row.at,
            process: process.to_owned(),
            version: row.version,
            actor: row.actor,
            action: row.action,
            record,
            tried,
        }
    });
    told.collect()
}
