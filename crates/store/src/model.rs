//! The rows that engine and store exchange.

use crossdock_canonical::{Operation, SystemName, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

/// Partitions of the journal, fixed when a store is created.
pub const PARTITIONS: u16 = 256;

/// Names a process: its kind and its business key (`order`, `sfcc/RefArch-DE/00001`).
#[derive(Clone, PartialEq, Eq)]
pub struct ProcessKey {
    /// The beginning of the key's SHA-256, made once: it says the partition, which every step asks for, and finds the process in tables.
    digest: [u8; 8],
    pub kind: Arc<str>,
    pub key: Arc<str>,
}

impl ProcessKey {
    pub fn new(kind: &str, key: &str) -> Self {
        Self::of(Arc::from(kind), Arc::from(key))
    }

    pub fn of(kind: Arc<str>, key: Arc<str>) -> Self {
        let mut digest = [0; 8];
        digest.copy_from_slice(&Sha256::digest(key.as_bytes())[..8]);
        Self { digest, kind, key }
    }

    /// `hash(key)`: all processes of one order share its partition.
    pub fn partition(&self) -> u16 {
        u16::from(self.digest[0]) % PARTITIONS
    }

    /// Reads `kind:key`.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, key) = text.split_once(':')?;
        (!kind.is_empty() && !key.is_empty()).then(|| Self::new(kind, key))
    }
}

/// By kind, then by key.
impl Ord for ProcessKey {
    fn cmp(&self, other: &Self) -> Ordering {
        (&self.kind, &self.key).cmp(&(&other.kind, &other.key))
    }
}

impl PartialOrd for ProcessKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for ProcessKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from_le_bytes(self.digest));
    }
}

impl fmt::Display for ProcessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.key)
    }
}

impl fmt::Debug for ProcessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Position of an inbox row; rises in commit order within one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct InboxId(pub i64);

/// Business priority of an order, most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    Pickup,
    Express,
    Standard,
    Bulk,
}

/// A message on its way into the store.
#[derive(Clone, Debug)]
pub struct Intake {
    pub to: Addressee,
    pub source: SystemName,
    /// The sender's id, or the version of a polled row; a repeat from the same source is a duplicate. `None` for what is known by its
    /// process's key alone.
    pub message_id: Option<Arc<str>>,
    /// `order.placed`, `shipment.notice`, `command`, `reply` ...
    pub kind: Arc<str>,
    /// Who: `system:storefront`, `key:shop`, `person:anna`, `process:order:...`.
    pub actor: Arc<str>,
    /// Raw bytes, already scrubbed of card numbers and credentials. Sealed under `subject` before they reach the disk.
    pub body: Arc<[u8]>,
    /// Whose personal data the body holds: `customer:..`, `guest:..`, or `system:NAME` when it holds none.
    pub subject: Arc<str>,
    pub at: Timestamp,
    /// `true` when the message starts the process: a known process makes it a duplicate.
    pub starts: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Addressee {
    Process(ProcessKey),
    /// By a system's own id; looked up in the identity map when it is folded.
    Theirs {
        system: SystemName,
        kind: Arc<str>,
        id: Arc<str>,
    },
}

/// The answer to one accepted row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    Stored(InboxId),
    /// The same message, or the same order, is there already.
    Duplicate,
}

/// An inbox row that waits to be folded.
#[derive(Clone, Debug)]
pub struct InboxRow {
    pub id: InboxId,
    pub to: Addressee,
    pub source: SystemName,
    pub message_id: Option<Arc<str>>,
    pub kind: Arc<str>,
    pub actor: Arc<str>,
    pub body: Arc<[u8]>,
    pub subject: Arc<str>,
    pub at: Timestamp,
}

/// What a reading of the inbox brought.
#[derive(Clone, Debug, Default)]
pub struct InboxPage {
    pub rows: Vec<InboxRow>,
    /// Rows that are there already were kept back, since others may still come before them: read again soon.
    pub held_back: bool,
}

impl From<Vec<InboxRow>> for InboxPage {
    fn from(rows: Vec<InboxRow>) -> Self {
        Self { rows, held_back: false }
    }
}

impl std::ops::Deref for InboxPage {
    type Target = [InboxRow];
    fn deref(&self) -> &Self::Target {
        &self.rows
    }
}

impl IntoIterator for InboxPage {
    type Item = InboxRow;
    type IntoIter = std::vec::IntoIter<InboxRow>;
    fn into_iter(self) -> Self::IntoIter {
        self.rows.into_iter()
    }
}

#[derive(Clone, Debug)]
pub struct CursorWrite {
    pub name: Arc<str>,
    pub body: Vec<u8>,
    /// What was read of it before (empty: nothing): if another node has written it since, it is not written. `None` does not look. A
    /// store of one node need not compare.
    pub seen: Option<Vec<u8>>,
}

impl CursorWrite {
    pub const MOVED_ON: &str = "the cursor has moved on";

    /// Whether it may replace what is stored.
    pub fn follows(&self, stored: Option<&[u8]>) -> bool {
        self.seen.as_ref().is_none_or(|seen| stored.unwrap_or_default() == &seen[..])
    }
}

/// Names a transition, so that a commit whose reply was lost can be looked up. Made by the engine, unique per store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TransitionId(pub u64);

/// SHA-256 of a payload's clear bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PayloadHash(pub [u8; 32]);

impl PayloadHash {
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    pub fn parse(text: &str) -> Option<Self> {
        let mut out = [0; 32];
        if text.len() != 64 {
            return None;
        }
        for (i, byte) in out.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()?;
        }
        Some(Self(out))
    }
}

impl fmt::Display for PayloadHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 64];
        for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(self.0) {
            *pair = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
        }
        f.write_str(std::str::from_utf8(&text).expect("hex digits are ASCII"))
    }
}

impl fmt::Debug for PayloadHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Bytes to archive: compressed, sealed under their subject, found by hash within their process.
#[derive(Clone, Debug)]
pub struct Payload {
    pub hash: PayloadHash,
    pub bytes: Arc<[u8]>,
    /// The inbox row whose body they are: then the store may name it instead of keeping them twice, and they go when it goes.
    pub message: Option<InboxId>,
}

/// One step of one process, committed whole or not at all.
#[derive(Clone, Debug)]
pub struct Transition {
    pub id: TransitionId,
    pub process: ProcessKey,
    /// The version the lane holds; 0 when the process is new. The store refuses any other.
    pub version: u64,
    /// The epoch of the lane's lease. The store refuses an older one than it holds.
    pub epoch: u64,
    pub at: Timestamp,
    pub actor: Arc<str>,
    /// What was done, for the audit: `fold order.placed`, `command cancel`, `outcome erp.create_order done`.
    pub action: Arc<str>,
    /// The inbox row this transition settles.
    pub settles: Option<InboxId>,
    /// The journal record: JSON, no personal data. `None` writes no journal row (bookkeeping such as a moved retry time).
    pub record: Option<Vec<u8>>,
    /// The process row after the transition.
    pub row: ProcessRow,
    pub effects: Vec<EffectRow>,
    /// Timers set (`Some`) or cancelled (`None`).
    pub timers: Vec<(Arc<str>, Option<Timestamp>)>,
    /// Exceptions opened or changed (`Some`) or closed (`None`), by name.
    pub exceptions: Vec<(Arc<str>, Option<ExceptionRow>)>,
    /// Messages to other processes of the hub.
    pub messages: Vec<Intake>,
    pub identities: Vec<IdentityRow>,
    pub payloads: Vec<Payload>,
}

/// What the store keeps of a process.
#[derive(Clone, Debug, PartialEq)]
pub struct ProcessRow {
    /// The flow's state, JSON.
    pub state: Arc<[u8]>,
    pub schema: u32,
    pub logic: u32,
    /// Hash of the pinned policy.
    pub policy: Arc<str>,
    /// The canonical document, archived as a payload.
    pub document: Option<PayloadHash>,
    pub subject: Arc<str>,
    pub priority: Priority,
    pub opened_at: Timestamp,
    /// For lists and searches.
    pub summary: SummaryRow,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SummaryRow {
    pub channel: Arc<str>,
    pub site: Arc<str>,
    pub number: Arc<str>,
    pub market: Arc<str>,
    pub stage: Arc<str>,
    /// `open`, `held`, `closed`, `cancelled`, `failed`.
    pub status: Arc<str>,
    pub waiting_for: Arc<str>,
    /// Amount text and currency of the order.
    pub total: Arc<str>,
    pub currency: Arc<str>,
}

/// An effect's row. `no` counts from 1 within its process and never changes.
#[derive(Clone, Debug, PartialEq)]
pub struct EffectRow {
    pub no: u32,
    pub step: Arc<str>,
    pub intent: Arc<str>,
    pub system: SystemName,
    pub operation: Operation,
    pub generation: u32,
    /// The idempotency key of the generation.
    pub key: Arc<str>,
    pub state: EffectState,
    /// Dispatch class, lower first: order priority and effect urgency, see the engine.
    pub class: u8,
    /// When the dispatcher should look at it next: send, probe, or its acknowledgement deadline. `None` once it has ended.
    pub due: Option<Timestamp>,
    pub attempts: u32,
    /// When silence becomes an exception.
    pub deadline: Timestamp,
    pub made_at: Timestamp,
    /// The exact bytes of the intent, archived.
    pub request: Option<PayloadHash>,
    /// The last outcome's class and code, for lists.
    pub last: Arc<str>,
}

impl EffectRow {
    /// What `last` says of an effect that the flow no longer called for and that was certainly not applied.
    pub const WITHDRAWN: &str = "withdrawn";

    pub fn is_withdrawn(&self) -> bool {
        self.state == EffectState::Skipped && &*self.last == Self::WITHDRAWN
    }
}

/// Where an effect stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectState {
    /// To be sent at `due`.
    Pending,
    /// Sent or taken; its end is awaited until `due`, then probed.
    Accepted,
    /// May or may not be applied: to be probed at `due`.
    Unknown,
    /// Stopped for a person (retries spent, misconfigured, identity `none`).
    Parked,
    Done,
    Refused,
    /// Given up: by a person with a reason, or withdrawn ([`EffectRow::is_withdrawn`]).
    Skipped,
    Reversed,
}

impl EffectState {
    pub const ALL: [Self; 8] =
        [Self::Pending, Self::Accepted, Self::Unknown, Self::Parked, Self::Done, Self::Refused, Self::Skipped, Self::Reversed];

    pub fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Accepted | Self::Unknown | Self::Parked)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Unknown => "unknown",
            Self::Parked => "parked",
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Skipped => "skipped",
            Self::Reversed => "reversed",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// An exception of a process: what a person must see. Causes carry no personal data; details are archived payloads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExceptionRow {
    pub class: Arc<str>,
    pub step: Arc<str>,
    pub intent: Arc<str>,
    pub system: Arc<str>,
    pub cause: Arc<str>,
    pub suggestion: Arc<str>,
    pub since: Timestamp,
    /// Hash of an archived payload with the full request and answer.
    pub payload: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityRow {
    pub system: SystemName,
    pub kind: Arc<str>,
    pub ours: Arc<str>,
    pub theirs: Arc<str>,
}

/// The reply to a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The process's version now.
    pub version: u64,
    /// Inbox positions of the `messages`, in their order.
    pub messages: Vec<InboxId>,
}

/// A process as a lane needs it.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub version: u64,
    pub row: ProcessRow,
    pub document: Option<Arc<[u8]>>,
    pub effects: Vec<EffectRow>,
    pub timers: Vec<(Arc<str>, Timestamp)>,
    pub exceptions: Vec<(Arc<str>, ExceptionRow)>,
    /// What systems call this process's records.
    pub identities: Vec<IdentityRow>,
    /// Pending effects that an earlier owner of the partition may have sent, being gone before it could say so. `None`: the store does
    /// not tell, so it may be all of them.
    pub doubtful: Option<Vec<u32>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueEffect {
    pub process: ProcessKey,
    pub no: u32,
    pub class: u8,
    pub due: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueTimer {
    pub process: ProcessKey,
    pub name: Arc<str>,
    pub due: Timestamp,
}

/// A partition's lease. A transition names its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    pub partition: u16,
    pub epoch: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another transition came first, or the lane's memory is stale: reload.
    #[error("{process} is at version {found}, not {expected}")]
    StaleVersion { process: ProcessKey, expected: u64, found: u64 },
    /// The lease went to another node: this lane must stop.
    #[error("partition {partition} is at epoch {found}, not {expected}")]
    StaleEpoch { partition: u16, expected: u64, found: u64 },
    /// Nothing was written; the same call may be made again.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The queue in front of the writer is full: answer 503.
    #[error("the store has {0} writes waiting")]
    Busy(usize),
    /// It may or may not have been written: look it up.
    #[error("the commit's reply was lost: {0}")]
    Unknown(String),
    /// A constraint of the schema refused it; a bug in the caller.
    #[error("refused by the store: {0}")]
    Constraint(String),
    /// What is on disk cannot be right.
    #[error("damaged: {0}")]
    Damaged(String),
}
