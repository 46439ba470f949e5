//! What surfaces read: lists, one process whole, the journal, counts. Never on the path of a transition; served from reader
//! connections, so a long search slows nobody down.

use crate::{EffectRow, ExceptionRow, IdentityRow, ProcessKey, ProcessRow, Reply};
use crossdock_canonical::Timestamp;
use std::sync::Arc;

/// The reading side of a store. Site scope is applied by the store, so that no caller can forget it.
pub trait ReadStore: Send + Sync + 'static {
    fn processes(&self, query: ProcessQuery) -> Reply<'_, Vec<ProcessView>>;
    fn process(&self, key: &ProcessKey) -> Reply<'_, Option<ProcessDetail>>;
    /// The journal of one process, oldest first.
    fn journal(&self, key: &ProcessKey) -> Reply<'_, Vec<JournalRow>>;
    fn exceptions(&self, query: ExceptionQuery) -> Reply<'_, Vec<ExceptionView>>;
    fn counts(&self) -> Reply<'_, Counts>;
    /// Journal rows after a cursor, in an order every subscriber sees alike; the next cursor beside them.
    /// The cursor is opaque: an empty one starts at the beginning, `"now"` at the end.
    fn stream(&self, cursor: &str, limit: usize) -> Reply<'_, (Vec<JournalRow>, String)>;
    /// Inbox rows not yet folded.
    fn inbox_depth(&self) -> Reply<'_, u64>;
    /// Checks the audit chain and the journal's hashes from beginning to end.
    fn verify_audit(&self) -> Reply<'_, AuditVerdict>;
    /// Audit rows, newest first.
    fn audit(&self, limit: usize) -> Reply<'_, Vec<AuditRow>>;
    /// Appends an audit row that belongs to no process: sign-in, reveal of personal data, erasure, configuration.
    fn record_audit(&self, at: Timestamp, actor: &str, action: &str, subject: &str) -> Reply<'_, ()>;
    /// Destroys a subject's key: everything sealed under it becomes unreadable, everywhere and for ever.
    fn erase_subject(&self, at: Timestamp, actor: &str, subject: &str) -> Reply<'_, bool>;
}

/// `None` and empty fields do not filter.
#[derive(Clone, Debug, Default)]
pub struct ProcessQuery {
    pub kind: Option<Arc<str>>,
    /// Prefix of the order number, or an identity another system gave.
    pub text: Option<String>,
    pub status: Option<String>,
    pub stage: Option<String>,
    pub market: Option<String>,
    /// Only these sites (`channel/site`); `None` is every site.
    pub sites: Option<Vec<String>>,
    /// Only processes with an open exception.
    pub exceptional: bool,
    /// Continue below this one (from the last row of the previous page).
    pub before: Option<u64>,
    pub limit: usize,
}

#[derive(Clone, Debug)]
pub struct ProcessView {
    /// Rises with age of creation; used for paging and ids in URLs.
    pub no: u64,
    pub key: ProcessKey,
    pub row: ProcessRow,
    pub updated_at: Timestamp,
    pub version: u64,
    pub open_exceptions: u32,
}

#[derive(Clone, Debug)]
pub struct ProcessDetail {
    pub view: ProcessView,
    pub effects: Vec<EffectRow>,
    pub timers: Vec<(Arc<str>, Timestamp)>,
    pub exceptions: Vec<(Arc<str>, ExceptionRow)>,
    pub identities: Vec<IdentityRow>,
}

#[derive(Clone, Debug, Default)]
pub struct ExceptionQuery {
    pub class: Option<String>,
    pub system: Option<String>,
    pub sites: Option<Vec<String>>,
    pub limit: usize,
}

#[derive(Clone, Debug)]
pub struct ExceptionView {
    pub process: ProcessView,
    pub name: Arc<str>,
    pub row: ExceptionRow,
}

#[derive(Clone, Debug)]
pub struct JournalRow {
    pub partition: u16,
    pub offset: u64,
    pub process: ProcessKey,
    pub version: u64,
    pub at: Timestamp,
    pub actor: Arc<str>,
    pub action: Arc<str>,
    /// JSON, see the engine's `record`.
    pub record: Arc<[u8]>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// `(kind, status, count)`.
    pub processes: Vec<(String, String, u64)>,
    /// `(stage, count)` of open orders.
    pub stages: Vec<(String, u64)>,
    /// `(system, state, count, oldest due)` of open effects.
    pub effects: Vec<(String, String, u64, Option<Timestamp>)>,
    /// `(class, count, oldest since)` of open exceptions.
    pub exceptions: Vec<(String, u64, Timestamp)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditVerdict {
    Intact {
        rows: u64,
        head: String,
    },
    /// The first row that does not fit, and how.
    Broken {
        partition: u16,
        offset: u64,
        reason: String,
    },
}

#[derive(Clone, Debug)]
pub struct AuditRow {
    pub at: Timestamp,
    pub actor: Arc<str>,
    pub action: Arc<str>,
    pub process: Option<ProcessKey>,
    pub hash: String,
}
