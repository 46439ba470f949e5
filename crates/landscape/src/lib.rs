//! A landscape: the folder in git that describes one retailer. Read whole, checked whole, then plain data for the engine's wiring.
//!
//! `Landscape::load` gives either a landscape without a fault or a report of all faults, each with file, line, column and the nearest
//! valid name. `docs/landscape.md` is the reference of every file and key; its examples are loaded by the tests.
//!
//! Nothing here calls a system, holds a secret or reads the environment: addresses and secrets stay references until the wiring
//! resolves them. What the keys under `auth` and `settings` mean is each connector's own business; it checks them through [`Known`].

mod compare;
mod contract;
mod expr;
mod fault;
mod hub;
mod load;
mod mapping;
mod market;
mod nearest;
mod ownership;
mod place;
mod read;
mod schedule;
mod shape;
mod source;
mod system;
mod terms;
mod world;
mod yaml;

pub use fault::{Fault, Report};
pub use hub::{Backbone, Caps, NodeConfig, Retention, StoreConfig};
pub use market::{Market, PolicyError};
pub use ownership::Ownership;
pub use place::{Environment, MissingVariable, read_secret};
pub use schedule::{Job, Missed, Schedule};
pub use source::Folder;
pub use system::System;

use crossdock_canonical::{ChannelId, MarketId, SiteId, SystemName};
use crossdock_connect::config::{ConfigFault, SystemConfig};
use crossdock_flows::Policy;
use crossdock_value::Value;
use std::{collections::BTreeMap, io, path::Path, sync::Arc};

/// A landscape without a fault.
#[derive(Clone, Debug)]
pub struct Landscape {
    node: NodeConfig,
    systems: Vec<System>,
    markets: Vec<Market>,
    ownership: Ownership,
    schedules: Vec<Schedule>,
    contracts: Arc<contract::Contracts>,
    hash: Arc<str>,
}

/// What the rest of the program knows and the landscape is checked against.
pub struct Known<'a> {
    /// The connectors there are; empty when any name shall do.
    pub connectors: &'a [&'a str],
    /// What a connector has to say of a system's configuration. Variables of the environment are unknown here: each reads as an
    /// address of this machine.
    pub faults: &'a dyn Fn(&SystemConfig) -> Vec<ConfigFault>,
}

/// Why there is no landscape.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("the landscape {0} cannot be read: {1}")]
    Unreadable(String, io::Error),
    #[error("{0}")]
    Faulty(Report),
}

/// Checks a landscape as a pipeline would: every fault at once.
pub fn check(dir: &Path, known: &Known<'_>) -> io::Result<Report> {
    let folder = Folder::read(dir)?;
    Ok(load::load(&folder, known).err().unwrap_or_default())
}

impl Landscape {
    /// Reads and checks the folder.
    pub fn load(dir: &Path, known: &Known<'_>) -> Result<Self, LoadError> {
        let folder = Folder::read(dir).map_err(|e| LoadError::Unreadable(dir.display().to_string(), e))?;
        Self::from_folder(&folder, known).map_err(LoadError::Faulty)
    }

    /// Checks files that are already read.
    pub fn from_folder(folder: &Folder, known: &Known<'_>) -> Result<Self, Report> {
        load::load(folder, known)
    }

    pub fn node(&self) -> &NodeConfig {
        &self.node
    }

    pub fn systems(&self) -> &[System] {
        &self.systems
    }

    pub fn system(&self, name: &SystemName) -> Option<&System> {
        self.systems.iter().find(|system| system.name() == name)
    }

    /// Content hash of the system's file, its mappings and the contracts; an intent stores it.
    pub fn system_hash(&self, name: &SystemName) -> Option<&Arc<str>> {
        self.system(name).map(|system| &system.hash)
    }

    pub fn markets(&self) -> &[Market] {
        &self.markets
    }

    pub fn market(&self, id: &MarketId) -> Option<&Market> {
        self.markets.iter().find(|market| market.id == *id)
    }

    /// The market a site belongs to.
    pub fn market_of(&self, channel: &ChannelId, site: &SiteId) -> Option<&Market> {
        self.markets.iter().find(|market| market.sites.iter().any(|(c, s)| c == channel && s == site))
    }

    /// The flat policy of one order: every condition answered over the canonical order.
    pub fn policy_for(&self, market: &Market, order: &Value) -> Result<Policy, PolicyError> {
        market.policy(order)
    }

    /// Content hash of markets and policies: what a process pins. Comments and layout do not change it.
    pub fn hash(&self) -> &Arc<str> {
        &self.hash
    }

    pub fn schedules(&self) -> &[Schedule] {
        &self.schedules
    }

    /// Who is the system of record of which field.
    pub fn ownership(&self) -> &Ownership {
        &self.ownership
    }

    /// The JSON Schema of a kind of message, if the landscape has one.
    pub fn contract(&self, kind: &str) -> Option<&Value> {
        self.contracts.get(kind).map(|contract| &contract.schema)
    }

    /// Whether a canonical message holds what the contract of its kind demands, if there is one. The error names what is missing or
    /// wrong and where, without values: they may be a person's.
    pub fn check_contract(&self, kind: &str, message: &Value) -> Result<(), String> {
        self.contracts.get(kind).map_or(Ok(()), |contract| contract.check(message))
    }

    /// The same landscape with the systems of the table at other addresses; for the demo and for tests.
    #[must_use]
    pub fn with_urls(mut self, urls: &BTreeMap<SystemName, String>) -> Self {
        for system in &mut self.systems {
            if let Some(url) = urls.get(system.name()) {
                system.config.url.clone_from(url);
            }
        }
        self
    }
}

impl Known<'_> {
    /// Any connector, any settings.
    pub const ANYTHING: Known<'static> = Known { connectors: &[], faults: &|_| Vec::new() };
}
