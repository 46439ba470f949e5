//! What the APIs answer, field by field. A field that is not declared here is not sent; a field that is not declared in an
//! input is refused.

use crossdock_canonical::Timestamp;
use crossdock_store::{AuditRow, EffectRow, ExceptionView, JournalRow, ProcessDetail, ProcessView};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::Value as Json;

/// An order on its way in.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaceOrder {
    pub channel: String,
    pub site: String,
    /// Needed when `source` is given; otherwise the order carries it.
    #[serde(default)]
    pub number: Option<String>,
    /// The system whose connector translates `order`. Left out: the order is canonical (schemas/order.json).
    #[serde(default)]
    pub source: Option<String>,
    /// The order, canonical or in the words of `source`.
    #[schemars(with = "Json")]
    pub order: IgnoredAny,
}

#[derive(Serialize, JsonSchema)]
pub struct OrderTaken {
    /// `channel/site/number`.
    pub order: String,
    /// Our id, made from the reference.
    pub order_id: String,
    /// The process that carries it.
    pub process: String,
    /// `false` when this order, or this Idempotency-Key, was taken before.
    pub new: bool,
    /// Where to read it.
    pub location: String,
}

/// Where an order is, without personal data.
#[derive(Serialize, JsonSchema)]
pub struct OrderStatus {
    pub channel: String,
    pub site: String,
    pub number: String,
    pub order_id: String,
    pub process: String,
    pub market: String,
    /// `open`, `held`, `closed`, `cancelled`, `failed`.
    pub status: String,
    pub stage: String,
    /// In words; empty when nothing is waited for.
    pub waiting_for: String,
    pub total: Option<Amount>,
    pub accepted_at: Instant,
    pub updated_at: Instant,
    pub version: u64,
    pub open_exceptions: u32,
    pub identities: Vec<Identity>,
}

#[derive(Serialize, JsonSchema)]
pub struct Amount {
    /// Exact decimal text.
    pub amount: String,
    pub currency: String,
}

/// RFC 3339, UTC.
#[derive(Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(transparent)]
pub struct Instant(#[schemars(with = "String")] Timestamp);

#[derive(Serialize, JsonSchema)]
pub struct Identity {
    pub system: String,
    /// `order`, `line`, `shipment`, `payment`, `reservation`, `invoice`.
    pub kind: String,
    pub ours: String,
    pub theirs: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cancellation {
    pub channel: String,
    pub site: String,
    /// Left out: everything that has not shipped.
    #[serde(default)]
    pub lines: Option<Vec<CancelledLine>>,
    pub reason: String,
}

#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelledLine {
    pub line: String,
    pub quantity: Quantity,
}

#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quantity {
    /// Exact decimal text.
    pub value: String,
    pub unit: String,
}

/// The answer to a command that was taken. What it leads to shows in the process's effects and events.
#[derive(Serialize, JsonSchema)]
pub struct CommandTaken {
    pub process: String,
    pub command: String,
    /// `taken`.
    pub answer: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// `hold`, `release`, `cancel`, `retry`, `skip`, `amend`, `decide_fraud`, `repin`.
    pub command: String,
    /// Its arguments, see docs/api.md.
    #[serde(default)]
    #[schemars(with = "Option<Json>")]
    pub body: Option<crossdock_value::Value>,
    /// The version you decided on; a newer one is a conflict. Left out: not checked.
    #[serde(default)]
    pub seen_version: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
pub struct Processes {
    pub items: Vec<Process>,
    /// Send it as `before` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
pub struct Process {
    /// `kind:channel/site/number`; percent-encode it in a path.
    pub id: String,
    pub no: u64,
    pub kind: String,
    pub channel: String,
    pub site: String,
    pub number: String,
    pub market: String,
    pub status: String,
    pub stage: String,
    pub waiting_for: String,
    pub priority: String,
    pub total: Option<Amount>,
    pub opened_at: Instant,
    pub updated_at: Instant,
    pub version: u64,
    pub open_exceptions: u32,
}

#[derive(Serialize, JsonSchema)]
pub struct ProcessWhole {
    #[serde(flatten)]
    pub process: Process,
    /// The flow's state, version `schema`. No personal data.
    pub state: Json,
    pub schema: u32,
    pub logic: u32,
    /// Hash of the pinned policy.
    pub policy: String,
    pub timers: Vec<Timer>,
    pub exceptions: Vec<Exception>,
    pub identities: Vec<Identity>,
}

#[derive(Serialize, JsonSchema)]
pub struct Timer {
    pub name: String,
    pub due: Instant,
}

#[derive(Serialize, JsonSchema)]
pub struct Exceptions {
    pub items: Vec<Exception>,
}

/// Something a person must see.
#[derive(Serialize, JsonSchema)]
pub struct Exception {
    pub process: String,
    pub name: String,
    pub class: String,
    pub step: String,
    pub intent: String,
    pub system: String,
    pub cause: String,
    pub suggestion: String,
    pub since: Instant,
}

#[derive(Serialize, JsonSchema)]
pub struct Effects {
    pub items: Vec<Effect>,
}

/// One call to a system: intent, attempts, outcome.
#[derive(Serialize, JsonSchema)]
pub struct Effect {
    pub no: u32,
    pub step: String,
    pub intent: String,
    pub system: String,
    pub operation: String,
    /// `pending`, `accepted`, `unknown`, `parked`, `done`, `refused`, `skipped`, `reversed`.
    pub state: String,
    pub generation: u32,
    /// The idempotency key of the generation.
    pub key: String,
    pub attempts: u32,
    pub due: Option<Instant>,
    pub deadline: Instant,
    pub made_at: Instant,
    /// Class and code of the last outcome.
    pub last: String,
    /// SHA-256 of the request's bytes.
    pub request: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub struct Transitions {
    pub items: Vec<Transition>,
}

/// One row of the journal.
#[derive(Serialize, JsonSchema)]
pub struct Transition {
    pub partition: u16,
    pub offset: u64,
    pub version: u64,
    pub at: Instant,
    pub actor: String,
    pub action: String,
    /// What was heard, the events, effects, attempts, timers and exceptions of the transition.
    pub record: Json,
}

#[derive(Serialize, JsonSchema)]
pub struct Audit {
    pub items: Vec<AuditEntry>,
}

#[derive(Serialize, JsonSchema)]
pub struct AuditEntry {
    pub at: Instant,
    pub actor: String,
    pub action: String,
    pub process: Option<String>,
    pub hash: String,
}

#[derive(Serialize, JsonSchema)]
pub struct AuditChecked {
    pub intact: bool,
    pub rows: Option<u64>,
    /// The hash of the last row: keep it outside, and a later check shows whether history was rewritten.
    pub head: Option<String>,
    /// The first row that does not fit, and how.
    pub broken: Option<BrokenRow>,
}

#[derive(Serialize, JsonSchema)]
pub struct BrokenRow {
    pub partition: u16,
    pub offset: u64,
    pub reason: String,
}

impl From<Timestamp> for Instant {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

impl From<&ProcessView> for Process {
    fn from(view: &ProcessView) -> Self {
        let summary = &view.row.summary;
        Self {
            id: view.key.to_string(),
            no: view.no,
            kind: view.key.kind.to_string(),
            channel: summary.channel.to_string(),
            site: summary.site.to_string(),
            number: summary.number.to_string(),
            market: summary.market.to_string(),
            status: summary.status.to_string(),
            stage: summary.stage.to_string(),
            waiting_for: summary.waiting_for.to_string(),
            priority: format!("{:?}", view.row.priority).to_ascii_lowercase(),
            total: amount(&summary.total, &summary.currency),
            opened_at: view.row.opened_at.into(),
            updated_at: view.updated_at.into(),
            version: view.version,
            open_exceptions: view.open_exceptions,
        }
    }
}

pub fn amount(amount: &str, currency: &str) -> Option<Amount> {
    (!amount.is_empty()).then(|| Amount { amount: amount.into(), currency: currency.into() })
}

pub fn identities(detail: &ProcessDetail) -> Vec<Identity> {
    let rows = detail.identities.iter().map(|row| Identity {
        system: row.system.to_string(),
        kind: row.kind.to_string(),
        ours: row.ours.to_string(),
        theirs: row.theirs.to_string(),
    });
    rows.collect()
}

impl From<&ProcessDetail> for ProcessWhole {
    fn from(detail: &ProcessDetail) -> Self {
        let row = &detail.view.row;
        let process = detail.view.key.to_string();
        Self {
            process: (&detail.view).into(),
            state: json(&row.state),
            schema: row.schema,
            logic: row.logic,
            policy: row.policy.to_string(),
            timers: detail.timers.iter().map(|(name, due)| Timer { name: name.to_string(), due: (*due).into() }).collect(),
            exceptions: detail.exceptions.iter().map(|(name, row)| exception(&process, name, row)).collect(),
            identities: identities(detail),
        }
    }
}

impl From<&ExceptionView> for Exception {
    fn from(view: &ExceptionView) -> Self {
        exception(&view.process.key.to_string(), &view.name, &view.row)
    }
}

fn exception(process: &str, name: &str, row: &crossdock_store::ExceptionRow) -> Exception {
    Exception {
        process: process.into(),
        name: name.into(),
        class: row.class.to_string(),
        step: row.step.to_string(),
        intent: row.intent.to_string(),
        system: row.system.to_string(),
        cause: row.cause.to_string(),
        suggestion: row.suggestion.to_string(),
        since: row.since.into(),
    }
}

impl From<&EffectRow> for Effect {
    fn from(row: &EffectRow) -> Self {
        Self {
            no: row.no,
            step: row.step.to_string(),
            intent: row.intent.to_string(),
            system: row.system.to_string(),
            operation: row.operation.to_string(),
            state: row.state.as_str().into(),
            generation: row.generation,
            key: row.key.to_string(),
            attempts: row.attempts,
            due: row.due.map(Instant),
            deadline: row.deadline.into(),
            made_at: row.made_at.into(),
            last: row.last.to_string(),
            request: row.request.map(|hash| hash.to_string()),
        }
    }
}

impl From<&JournalRow> for Transition {
    fn from(row: &JournalRow) -> Self {
        Self {
            partition: row.partition,
            offset: row.offset,
            version: row.version,
            at: row.at.into(),
            actor: row.actor.to_string(),
            action: row.action.to_string(),
            record: json(&row.record),
        }
    }
}

impl From<&AuditRow> for AuditEntry {
    fn from(row: &AuditRow) -> Self {
        Self {
            at: row.at.into(),
            actor: row.actor.to_string(),
            action: row.action.to_string(),
            process: row.process.as_ref().map(ToString::to_string),
            hash: row.hash.clone(),
        }
    }
}

/// Our own stored JSON. Its numbers are whole or text (money is text), so nothing is rounded here; what cannot be read is null.
pub fn json(bytes: &[u8]) -> Json {
    serde_json::from_slice(bytes).unwrap_or(Json::Null)
}
