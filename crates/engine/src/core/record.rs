//! What the journal says of a transition, and the envelope of messages between processes. Both are JSON without personal data.

use crate::{
    driver::EventRecord,
    face::{HubError, OrderIntake},
};
use crossdock_canonical::{OrderRef, Outcome, SystemName, Timestamp};
use crossdock_connect::{About, Message, scrub};
use crossdock_flows::Answer;
use crossdock_store::{Addressee, EffectRow, InboxId, InboxRow, Intake, JournalRow, PayloadHash, ProcessKey};
use crossdock_value::Value;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// One journal record.
#[derive(Serialize, Default)]
pub(super) struct Record<'a> {
    #[serde(rename = "in")]
    pub heard: Heard<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<EventRecord>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<EffectRecord<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<AttemptRecord<'a>>,
    #[serde(skip_serializing_if = "TimersRecord::is_empty")]
    pub timers: TimersRecord<'a>,
    #[serde(skip_serializing_if = "ExceptionsRecord::is_empty")]
    pub exceptions: ExceptionsRecord<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<&'a Answer>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub reason: &'a str,
}

/// What made the transition happen.
#[derive(Serialize, Default)]
pub(super) struct Heard<'a> {
    pub kind: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub from: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// The inbox row of a command, by which whoever gave it at another node finds its answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<i64>,
}

#[derive(Serialize)]
pub(super) struct EffectRecord<'a> {
    pub no: u32,
    pub step: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub intent: &'a str,
    pub system: &'a str,
    /// This and the key are told once: not again of an effect that ended in its first generation.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub operation: &'static str,
    pub generation: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub key: &'a str,
    pub state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
}

#[derive(Serialize)]
pub(super) struct AttemptRecord<'a> {
    pub no: u32,
    pub generation: u32,
    pub attempt: u32,
    pub class: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub code: &'a str,
    /// What a probe found.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub probe: &'static str,
    pub ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<&'a Value>,
}

#[derive(Serialize, Default)]
pub(super) struct TimersRecord<'a> {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<&'a str, Timestamp>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cancelled: Vec<&'a str>,
}

impl TimersRecord<'_> {
    fn is_empty(&self) -> bool {
        self.set.is_empty() && self.cancelled.is_empty()
    }
}

#[derive(Serialize, Default)]
pub(super) struct ExceptionsRecord<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub opened: Vec<OpenedRecord<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub closed: Vec<&'a str>,
}

impl ExceptionsRecord<'_> {
    fn is_empty(&self) -> bool {
        self.opened.is_empty() && self.closed.is_empty()
    }
}

#[derive(Serialize)]
pub(super) struct OpenedRecord<'a> {
    pub name: &'a str,
    pub class: &'a str,
    pub cause: &'a str,
}

impl<'a> EffectRecord<'a> {
    pub fn of(row: &'a EffectRow, is_new: bool) -> Self {
        let told = !is_new && !row.state.is_open() && row.generation == 1;
        Self {
            no: row.no,
            step: &row.step,
            intent: &row.intent,
            system: row.system.as_str(),
            operation: if told { "" } else { row.operation.as_str() },
            generation: row.generation,
            key: if told { "" } else { &row.key },
            state: row.state.as_str(),
            request: row.request.filter(|_| !told).map(|hash: PayloadHash| hash.to_string()),
        }
    }
}

/// The body of an inbox row of kind `command` or `reply`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "message")]
pub enum HubMessage {
    Command {
        name: String,
        #[serde(default)]
        body: Value,
        /// The idempotency key; between processes `EFFECT-KEY@KIND:KEY` of the asker, so that the reply finds its way.
        key: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seen_version: Option<u64>,
        /// What a process that this command starts takes over from its asker.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        birth: Option<Birth>,
    },
    /// How an effect ended, told later: by the process that was asked, or by a system's notice.
    Reply { key: String, outcome: Outcome },
}

/// What a process takes over from the one that started it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Birth {
    pub policy: String,
    pub subject: String,
    pub priority: crossdock_store::Priority,
    pub market: String,
}

impl HubMessage {
    pub fn to_bytes(&self) -> Arc<[u8]> {
        serde_json::to_vec(self).expect("messages are plain data with string keys").into()
    }

    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|e| e.to_string())
    }
}

/// The code of a command that was decided on another version than it had seen.
pub(super) const CONFLICT: &str = "conflict";

/// The answer to the command in this inbox row, if the transition is the one that folded it.
/// `seen` is the version that the command named.
pub fn answer_in(transition: &JournalRow, row: InboxId, seen: Option<u64>) -> Option<Result<Answer, HubError>> {
    #[derive(Deserialize)]
    struct Told {
        #[serde(rename = "in")]
        heard: From,
        answer: Option<Answer>,
    }
    #[derive(Deserialize)]
    struct From {
        row: Option<i64>,
    }
    let told: Told = serde_json::from_slice(&transition.record).ok()?;
    if told.heard.row != Some(row.0) {
        return None;
    }
    Some(match told.answer? {
        // As it was decided: on another version than was seen.
        Answer::Refused { code, .. } if code == CONFLICT => {
            Err(HubError::Conflict { seen: seen.unwrap_or_default(), found: transition.version.saturating_sub(1) })
        }
        answer => Ok(answer),
    })
}

/// Where the reply to a command of another process goes: `EFFECT-KEY@KIND:KEY`.
pub(super) fn asker(key: &str) -> Option<(&str, ProcessKey)> {
    let (effect, process) = key.split_once('@')?;
    Some((effect, ProcessKey::parse(process)?))
}

/// A message that was just committed, as the inbox row it now is.
pub fn row_of(intake: Intake, id: InboxId) -> InboxRow {
    InboxRow {
        id,
        to: intake.to,
        source: intake.source,
        message_id: intake.message_id,
        kind: intake.kind,
        actor: intake.actor,
        body: intake.body,
        subject: intake.subject,
        at: intake.at,
    }
}

/// Addresses an order that was handed over by an API, scrubbed of card numbers and credentials.
pub fn order_intake_of(order: OrderIntake, now: Timestamp) -> Intake {
    let reference = OrderRef { channel: (&*order.channel).into(), site: (&*order.site).into(), number: (&*order.number).into() };
    Intake {
        to: Addressee::Process(ProcessKey::new("order", &reference.to_string())),
        source: order.source,
        message_id: order.idempotency_key.map(|key| format!("{}/{}/{key}", order.channel, order.site).into()),
        kind: "order.placed".into(),
        actor: order.actor,
        body: scrub::scrub(&order.body).bytes.into(),
        subject: format!("order:{reference}").into(),
        at: now,
        starts: true,
    }
}

/// Addresses a system's message, scrubbed of card numbers and credentials.
pub fn intake_of(system: &SystemName, message: Message, now: Timestamp) -> Intake {
    let starts = message.kind == "order.placed";
    let (to, subject): (Addressee, Arc<str>) = match message.about {
        About::Order(reference) => {
            // Notices about payments belong to the order's payment process.
            let kind = if message.kind.starts_with("payment.") { "payment" } else { "order" };
            (Addressee::Process(ProcessKey::new(kind, &reference.to_string())), format!("order:{reference}").into())
        }
        About::Theirs { kind, id } => {
            (Addressee::Theirs { system: system.clone(), kind: kind.into(), id: id.into() }, format!("system:{system}").into())
        }
    };
    Intake {
        to,
        source: system.clone(),
        message_id: message.id.map(Into::into),
        kind: message.kind.into(),
        actor: format!("system:{system}").into(),
        body: scrub::scrub(&message.body).bytes.into(),
        subject,
        at: now,
        starts,
    }
}
