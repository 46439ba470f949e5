//! What the hub remembers, and what it promises about that (design section 3): one transaction a transition, acknowledged means on
//! disk, nothing twice. SQLite is the embedded default, PostgreSQL serves several nodes, a memory store serves simulation;
//! all pass `conformance`.
//!
//! The engine decides, the store only keeps: no retry, no business rule lives here.

mod audit;
pub mod checkpoint;
mod codes;
pub mod conformance;
pub mod crash;
mod effects;
mod entropy;
pub mod memory;
mod model;
mod nodes;
pub mod postgres;
mod read;
mod request;
pub mod sqlite;
pub mod transfer;
mod vault;

pub use memory::{Fault, MemoryStore};
pub use model::*;
pub use nodes::*;
pub use postgres::{PostgresOptions, PostgresStore};
pub use read::*;
pub use sqlite::{Durability, Options, SqliteStore};
pub use vault::KeySource;

use crossdock_canonical::Timestamp;
use std::{future::Future, pin::Pin};

/// A store as a whole: what the engine writes and what people read.
pub trait FullStore: Store + ReadStore {}

impl<S: Store + ReadStore> FullStore for S {}

pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The durable side of the hub. Calls may be made from any task at once; what waits together is committed together.
pub trait Store: Send + Sync + 'static {
    /// Writes inbox rows. When it returns, they are on disk. Any node may call it: it needs neither lease nor epoch.
    ///
    /// All rows and the cursor go in one transaction; a cursor that has moved on refuses it whole. A row whose `(source, message id)` or process key is known is answered as a
    /// duplicate, by its own.
    fn accept(&self, rows: Vec<Intake>, cursor: Option<CursorWrite>) -> Reply<'_, Vec<Accepted>>;

    /// Commits one transition: all of it or nothing. The future resolves when it is on disk.
    ///
    /// Transitions that wait together share a transaction; one that is refused (stale version or epoch) does not take the others
    /// with it.
    fn commit(&self, transition: Transition) -> Reply<'_, Committed>;

    /// Whether the transition with this id was committed. Asked after a commit whose reply was lost.
    fn was_committed(&self, process: &ProcessKey, transition: TransitionId) -> Reply<'_, Option<Committed>>;

    /// Takes (or takes back after a restart) the leases of all partitions for `node`; the epochs of what was taken.
    fn lease(&self, node: &str, now: Timestamp) -> Reply<'_, Vec<Lease>>;

    /// Everything a lane needs of one process; `None` when there is none yet.
    fn load(&self, process: &ProcessKey) -> Reply<'_, Option<Loaded>>;

    /// Whether several nodes may work on it at once. Then each takes part by `turn`; else the one hub takes all by `lease`.
    fn is_shared(&self) -> bool {
        false
    }

    /// One turn of a node: it says that it is alive, gives leases back, takes some, and hears of all others.
    fn turn(&self, turn: NodeTurn) -> Reply<'_, Membership> {
        let _ = turn;
        Box::pin(std::future::ready(Err(StoreError::Constraint("this store serves one node".into()))))
    }

    /// Inbox rows not yet folded, oldest first, after `after`, of these partitions. A row whose process the identity map has yet to
    /// tell belongs to all. A store of one node need not look at `of`, here and below.
    fn inbox(&self, of: Partitions, after: InboxId, limit: usize) -> Reply<'_, InboxPage>;

    /// Resolves when another node may have stored inbox rows, at the latest after a while: then it is time to read `inbox`. One task
    /// may wait at a time. It never resolves for a store of one node, whose callers know what they stored.
    fn arrivals(&self) -> Reply<'_, ()> {
        Box::pin(std::future::pending())
    }

    /// Effects that are due for the dispatcher, of one system, most urgent class first, at most `limit`.
    fn due_effects(&self, of: Partitions, system: &str, before: Timestamp, limit: usize) -> Reply<'_, Vec<DueEffect>>;

    /// Timers due before an instant, earliest first.
    fn due_timers(&self, of: Partitions, before: Timestamp, limit: usize) -> Reply<'_, Vec<DueTimer>>;

    /// The bytes of an archived payload, unsealed. `None` when its retention ended or its subject was erased.
    fn payload(&self, process: &ProcessKey, hash: &PayloadHash) -> Reply<'_, Option<std::sync::Arc<[u8]>>>;

    /// Where `theirs` belongs, by the identity map.
    fn resolve(&self, system: &str, kind: &str, theirs: &str) -> Reply<'_, Option<ProcessKey>>;

    /// A stored cursor (poll watermarks, breaker states, schedule marks), by name.
    fn cursor(&self, name: &str) -> Reply<'_, Option<Vec<u8>>>;

    /// Writes a cursor on its own; refused when it has moved on.
    fn set_cursor(&self, write: CursorWrite) -> Reply<'_, ()>;

    /// A pinned policy document by hash; `put_pin` is idempotent.
    fn pin(&self, hash: &str) -> Reply<'_, Option<Vec<u8>>>;
    fn put_pin(&self, hash: &str, body: Vec<u8>) -> Reply<'_, ()>;

    /// Removes payloads past their retention whose process has ended, and messages folded before an instant: at most `limit` of each; how
    /// many went. Nothing in a store that does not outlive its process.
    fn sweep(&self, _now: Timestamp, _folded_before: Timestamp, _limit: usize) -> Reply<'_, usize> {
        Box::pin(std::future::ready(Ok(0)))
    }

    /// Drops the pieces of the journal in which every row is older than `before`; how many. What is left is verified from the cut on.
    /// Keys, dedup and effects stay. Nothing in a store whose journal is one piece.
    fn drop_journal(&self, _before: Timestamp) -> Reply<'_, u64> {
        Box::pin(std::future::ready(Ok(0)))
    }
}
