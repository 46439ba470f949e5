//! What surfaces ask of a running hub. Reading goes to the store directly (`ReadStore`); this is accepting, commanding and health.

use crossdock_canonical::{SystemName, Timestamp};
use crossdock_connect::http::Request;
use crossdock_flows::Answer;
use crossdock_store::{Accepted, ProcessKey, StoreError};
use crossdock_value::Value;
use std::{future::Future, pin::Pin, sync::Arc};

pub type Asked<'a, T> = Pin<Box<dyn Future<Output = Result<T, HubError>> + Send + 'a>>;

/// A running hub.
pub trait Hub: Send + Sync + 'static {
    /// Accepts an order in canonical or channel form. When it returns, the order is on disk.
    fn accept_order(&self, order: OrderIntake) -> Asked<'_, Accepted>;

    /// Takes a webhook of a system: verified, cut into messages, stored. `Ok` means on disk.
    fn webhook(&self, system: &SystemName, request: Request) -> Asked<'_, Vec<Accepted>>;

    /// Gives a command to a process and waits until it is folded (not until its effects are done).
    fn command(&self, command: CommandRequest) -> Asked<'_, Answer>;

    /// Every configured system with its health.
    fn systems(&self) -> Vec<SystemView>;

    /// Every node on the hub's store that is known of, this one among them.
    fn nodes(&self) -> Vec<NodeView> {
        Vec::new()
    }

    /// Counters and gauges in Prometheus text format.
    fn metrics(&self) -> String;

    /// The injected clock.
    fn now(&self) -> Timestamp;

    /// Whether the hub should be sent anything: it accepts, and is not about to go.
    fn readiness(&self) -> Result<(), HubError>;

    /// Whether intake is open: store reachable, below its caps, not shut down. A hub that is about to go still takes what it is sent, for
    /// whoever sends it has not heard of that yet.
    fn accepts(&self) -> Result<(), HubError> {
        self.readiness()
    }
}

#[derive(Clone, Debug)]
pub struct OrderIntake {
    pub channel: Arc<str>,
    pub site: Arc<str>,
    pub number: Arc<str>,
    /// The system whose connector translates the body (`hub` when it is canonical already).
    pub source: SystemName,
    pub body: Arc<[u8]>,
    pub actor: Arc<str>,
    /// Repeats with the same key are the same order.
    pub idempotency_key: Option<Arc<str>>,
}

#[derive(Clone, Debug)]
pub struct CommandRequest {
    pub process: ProcessKey,
    /// `cancel`, `hold`, `release`, `retry`, `skip`, `amend`, `repin` ...
    pub name: Arc<str>,
    pub body: Value,
    pub idempotency_key: Arc<str>,
    /// The version of the process the caller saw; a newer one is a conflict. `None` does not check.
    pub seen_version: Option<u64>,
    /// `person:anna`, `key:shop`.
    pub actor: Arc<str>,
}

/// One system as health pages show it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct SystemView {
    pub name: String,
    pub roles: Vec<String>,
    pub connector: String,
    pub breaker: String,
    /// Why the breaker is open, or what is misconfigured; empty when it answers.
    pub trouble: String,
    pub trouble_since: Option<Timestamp>,
    pub in_flight: u32,
    pub concurrency: u32,
    pub waiting: u64,
    pub oldest_waiting: Option<Timestamp>,
    pub last_success: Option<Timestamp>,
    /// Calls and failures of the last minute.
    pub calls_last_minute: u32,
    pub failures_last_minute: u32,
    /// Median and 99th percentile of answered calls of the last minutes, in milliseconds.
    pub p50_ms: Option<u32>,
    pub p99_ms: Option<u32>,
}

/// One node as health pages show it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct NodeView {
    pub name: String,
    /// Unique to one run of it.
    pub id: String,
    pub address: String,
    pub version: String,
    /// Whether it is the node that tells of it.
    pub is_this: bool,
    /// Whether its heart beats, as this node sees it.
    pub available: bool,
    /// How many of the partitions are its own.
    pub partitions: u32,
    /// Calls under way.
    pub in_flight: u32,
    pub started_at: Timestamp,
    /// By its own wall clock.
    pub last_heard: Timestamp,
    /// For how long this node has seen no new heartbeat of it, in milliseconds of the monotonic clock.
    pub silent_ms: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HubError {
    #[error("no process {0}")]
    NoProcess(ProcessKey),
    #[error("no system {0}; see GET /system/v1/systems")]
    NoSystem(SystemName),
    #[error("the process is at version {found}, you saw {seen}: read it again, then decide")]
    Conflict { seen: u64, found: u64 },
    #[error("intake is over its cap: {0}")]
    Overloaded(String),
    #[error("the webhook was not taken: {0}")]
    Webhook(#[from] crossdock_connect::WebhookError),
    #[error("the input cannot be read: {0}")]
    Malformed(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the hub is shutting down")]
    Stopping,
    #[error("the command is stored and will be carried out, but its answer did not come within {0} s: look at the process")]
    Unanswered(i64),
    #[error("another node has taken over, this one ends")]
    Superseded,
}
