//! What the hub says of itself: its processes with their effects, exceptions and timers, and its journal. Read once, at rest.
//!
//! A second opinion only. Where ledgers can be compared with each other, the checks do that first; the hub is asked what it accepted,
//! what it meant to do, and how each order ended.

use crossdock_canonical::Timestamp;
use crossdock_store::{AuditVerdict, EffectRow, ExceptionRow, JournalRow, ProcessKey, ProcessQuery, ReadStore, StoreError};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{collections::BTreeMap, sync::Arc};

const PAGE: usize = 500;

#[derive(Debug)]
pub struct HubView {
    pub processes: BTreeMap<ProcessKey, Process>,
    /// `(partition, offset)` of every journal row, in commit order.
    pub offsets: Vec<(u16, u64)>,
    pub audit: AuditVerdict,
    pub inbox_depth: u64,
}

#[derive(Clone, Debug)]
pub struct Process {
    pub key: ProcessKey,
    /// `open`, `held`, `closed`, `cancelled`, `failed`.
    pub status: Arc<str>,
    pub stage: Arc<str>,
    pub waiting_for: Arc<str>,
    pub total: Arc<str>,
    pub opened_at: Timestamp,
    pub version: u64,
    pub schema: u32,
    pub state: Arc<[u8]>,
    pub effects: Vec<EffectRow>,
    pub timers: Vec<(Arc<str>, Timestamp)>,
    pub exceptions: Vec<(Arc<str>, ExceptionRow)>,
    /// Its journal, oldest first.
    pub history: Vec<Transition>,
}

/// One journal row, as far as checks need it.
#[derive(Clone, Debug)]
pub struct Transition {
    pub version: u64,
    pub at: Timestamp,
    /// A message that was folded: `(source, kind, payload hash)`.
    pub folded: Option<(String, String, String)>,
    pub events: Vec<Box<RawValue>>,
    /// `(effect no, key)` of effects made or changed.
    pub intents: Vec<(u32, String)>,
    /// Why the record could not be read.
    pub unreadable: Option<String>,
}

impl Process {
    pub fn is_ended(&self) -> bool {
        matches!(&*self.status, "closed" | "cancelled" | "failed")
    }

    /// A person was asked, or a person holds it.
    pub fn is_parked(&self) -> bool {
        !self.exceptions.is_empty() || &*self.status == "held"
    }
}

impl HubView {
    /// Reads the whole hub. Take it when nothing moves: rows are read in several pages.
    pub async fn read(store: &dyn ReadStore) -> Result<Self, StoreError> {
        let mut processes = BTreeMap::new();
        let mut query = ProcessQuery { limit: PAGE, ..ProcessQuery::default() };
        loop {
            let page = store.processes(query.clone()).await?;
            let Some(last) = page.last() else { break };
            query.before = Some(last.no);
            for view in page {
                let Some(detail) = store.process(&view.key).await? else { continue };
                let row = detail.view.row;
                let process = Process {
                    key: view.key.clone(),
                    status: row.summary.status,
                    stage: row.summary.stage,
                    waiting_for: row.summary.waiting_for,
                    total: row.summary.total,
                    opened_at: row.opened_at,
                    version: detail.view.version,
                    schema: row.schema,
                    state: row.state,
                    effects: detail.effects,
                    timers: detail.timers,
                    exceptions: detail.exceptions,
                    history: Vec::new(),
                };
                processes.insert(view.key, process);
            }
        }
        let mut offsets = Vec::new();
        let mut cursor = String::new();
        loop {
            let (rows, next) = store.stream(&cursor, PAGE).await?;
            for row in &rows {
                offsets.push((row.partition, row.offset));
                if let Some(process) = processes.get_mut(&row.process) {
                    process.history.push(Transition::of(row));
                }
            }
            // A page may be empty between bookkeeping rows; the end is where the cursor no longer moves.
            if rows.is_empty() && next == cursor {
                break;
            }
            cursor = next;
        }
        Ok(Self { processes, offsets, audit: store.verify_audit().await?, inbox_depth: store.inbox_depth().await? })
    }

    /// Every process of one order: they share its key.
    pub(crate) fn of_order<'a>(&'a self, order: &str) -> impl Iterator<Item = &'a Process> {
        ["order", "payment"].into_iter().filter_map(move |kind| self.processes.get(&ProcessKey::new(kind, order)))
    }

    pub(crate) fn orders(&self) -> impl Iterator<Item = &Process> {
        self.processes.values().filter(|process| &*process.key.kind == "order")
    }
}

/// The parts of an engine record that are looked at; the rest is for people.
#[derive(Deserialize)]
struct RecordRead {
    #[serde(rename = "in", default)]
    heard: HeardRead,
    #[serde(default)]
    events: Vec<EventRead>,
    #[serde(default)]
    effects: Vec<EffectRead>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct HeardRead {
    kind: String,
    name: String,
    from: String,
    payload: Option<String>,
}

#[derive(Deserialize)]
struct EventRead {
    body: Box<RawValue>,
}

#[derive(Deserialize)]
struct EffectRead {
    no: u32,
    /// Told when it is made, and with a new generation.
    #[serde(default)]
    key: String,
}

impl Transition {
    /// Reads a journal row. A record that cannot be read is itself a finding later.
    pub fn of(row: &JournalRow) -> Self {
        let empty =
            Self { version: row.version, at: row.at, folded: None, events: Vec::new(), intents: Vec::new(), unreadable: None };
        let record: RecordRead = match serde_json::from_slice(&row.record) {
            Ok(record) => record,
            Err(error) => return Self { unreadable: Some(error.to_string()), ..empty },
        };
        // A message that was parked first is on record twice; it was folded where the action says `message`.
        let folded = (record.heard.kind == "message" && row.action.starts_with("message "))
            .then(|| Some((record.heard.from, record.heard.name, record.heard.payload?)))
            .flatten();
        Self {
            folded,
            events: record.events.into_iter().map(|event| event.body).collect(),
            intents: record
                .effects
                .into_iter()
                .filter(|effect| !effect.key.is_empty())
                .map(|effect| (effect.no, effect.key))
                .collect(),
            ..empty
        }
    }
}
