//! What the engine is wired to: the systems with their connectors and limits, the flows, and where policies come from.

use crate::Driver;
use crossdock_canonical::{Duration, Role, SystemName};
use crossdock_connect::Connector;
use crossdock_flows::Policy;
use crossdock_value::Value;
use std::{collections::BTreeMap, sync::Arc};

/// One configured system.
#[derive(Clone)]
pub struct System {
    pub name: SystemName,
    pub roles: Vec<Role>,
    /// The vendor product, for people.
    pub product: String,
    /// `http://host:port` or `https://..`, without a trailing slash.
    pub base: String,
    pub connector: Arc<dyn Connector>,
    pub limits: Limits,
    /// How often to poll; `None` when it is not polled.
    pub poll_every: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Calls at once.
    pub concurrency: u32,
    /// Calls a second; `None` is unlimited.
    pub rate: Option<u32>,
    pub retry: Retry,
}

/// How long and how often to try again what is known not to be applied.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    pub first_delay: Duration,
    pub longest_delay: Duration,
    /// After this an effect that keeps failing is parked for a person.
    pub give_up_after: Duration,
    /// Retries allowed per hundred first calls while the system is unwell; keeps a storm from following an outage.
    pub budget_percent: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrency: 16,
            rate: None,
            retry: Retry {
                first_delay: Duration::millis(200),
                longest_delay: Duration::seconds(30),
                give_up_after: Duration::hours(24),
                budget_percent: 20,
            },
        }
    }
}

/// A policy as a process pins it.
#[derive(Clone, Debug)]
pub struct Pinned {
    /// Hash of `bytes`.
    pub hash: Arc<str>,
    pub bytes: Arc<[u8]>,
    pub policy: Arc<Policy>,
}

/// Finds the policy for a new process, from the landscape that is loaded now.
pub trait PolicySource: Send + Sync {
    /// The policy for an order document; an error names what the landscape lacks.
    fn policy_for(&self, document: &Value) -> Result<Pinned, String>;

    /// Reads a pinned policy back.
    fn read(&self, hash: &str, bytes: &[u8]) -> Result<Pinned, String> {
        let policy: Policy = serde_json::from_slice(bytes).map_err(|e| format!("pinned policy {hash}: {e}"))?;
        Ok(Pinned { hash: Arc::from(hash), bytes: Arc::from(bytes), policy: Arc::new(policy) })
    }
}

/// What a canonical message must at least hold, by its kind.
pub trait Contracts: Send + Sync {
    /// The error says what is missing or wrong, without values of the message.
    fn check(&self, kind: &str, message: &Value) -> Result<(), String>;
}

/// Demands nothing.
pub struct NoContracts;

impl Contracts for NoContracts {
    fn check(&self, _: &str, _: &Value) -> Result<(), String> {
        Ok(())
    }
}

/// Everything the core needs to know of the world, fixed while it runs.
#[derive(Clone)]
pub struct Wiring {
    pub systems: BTreeMap<SystemName, System>,
    pub drivers: BTreeMap<&'static str, Arc<dyn Driver>>,
    pub policies: Arc<dyn PolicySource>,
    pub contracts: Arc<dyn Contracts>,
}

impl Wiring {
    pub fn new(systems: Vec<System>, drivers: Vec<Arc<dyn Driver>>, policies: Arc<dyn PolicySource>) -> Self {
        Self {
            systems: systems.into_iter().map(|s| (s.name.clone(), s)).collect(),
            drivers: drivers.into_iter().map(|d| (d.kind(), d)).collect(),
            policies,
            contracts: Arc::new(NoContracts),
        }
    }
}

/// Makes a `Pinned` out of a policy; the hash is of its JSON.
pub fn pin(policy: Policy) -> Pinned {
    let bytes = serde_json::to_vec(&policy).expect("a policy is plain data with string keys");
    let hash = crossdock_store::PayloadHash::of(&bytes).to_string();
    Pinned { hash: Arc::from(&hash[..16]), bytes: bytes.into(), policy: Arc::new(policy) }
}
