//! What a node says of itself to all others with each heartbeat, and which of it is news to the one who hears it.

use crate::core::BreakerState;
use crossdock_canonical::{SystemName, Timestamp};
use crossdock_store::NodeRow;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Fields are only ever added: nodes of two versions run side by side.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct About {
    pub name: String,
    pub address: String,
    pub version: String,
    pub started_at: i64,
    /// It is about to go: nothing more is for it.
    pub leaving: bool,
    /// Calls under way.
    pub in_flight: u32,
    /// Breakers that its own calls opened.
    pub breakers: BTreeMap<SystemName, BreakerState>,
    /// What people asked of all nodes at this one, and when it was asked last: `resume/SYSTEM`, `reconcile/MARKET`.
    pub asked: BTreeMap<String, i64>,
}

impl About {
    /// What a node said; nothing of it when it is not understood.
    pub fn of(row: &NodeRow) -> Self {
        serde_json::from_slice(&row.about).unwrap_or_default()
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("it is plain data")
    }

    /// A breaker of this node changed.
    pub fn tell(&mut self, system: &SystemName, state: &BreakerState) {
        match state {
            BreakerState::Open { .. } | BreakerState::Misconfigured { .. } => {
                self.breakers.insert(system.clone(), state.clone());
            }
            BreakerState::HalfOpen { .. } => {}
            BreakerState::Closed => drop(self.breakers.remove(system)),
        }
    }
}

/// What another node says for the first time.
#[derive(Debug, PartialEq)]
pub enum Word {
    /// A system is not to be called for now.
    Warned(SystemName, BreakerState),
    /// People asked for this, see `About::asked`.
    Asked(String),
}

/// What was heard of the other nodes before, so that each word is heeded once.
#[derive(Default)]
pub struct Heard(HashMap<Arc<str>, HeardOf>);

#[derive(Default)]
struct HeardOf {
    breakers: BTreeMap<SystemName, Timestamp>,
    asked: BTreeMap<String, i64>,
}

impl Heard {
    /// What is new in what a node says.
    pub fn news(&mut self, node: &Arc<str>, about: &About) -> Vec<Word> {
        // Of a node that is new here nothing it was asked before is heeded: its breakers are.
        let is_new = !self.0.contains_key(node);
        let heard = self.0.entry(node.clone()).or_default();
        let mut news = Vec::new();
        for (system, state) in &about.breakers {
            let (BreakerState::Open { since, .. } | BreakerState::Misconfigured { since, .. }) = state else { continue };
            if heard.breakers.insert(system.clone(), *since) != Some(*since) {
                news.push(Word::Warned(system.clone(), state.clone()));
            }
        }
        for (what, at) in &about.asked {
            if heard.asked.insert(what.clone(), *at) != Some(*at) && !is_new {
                news.push(Word::Asked(what.clone()));
            }
        }
        news
    }

    /// Who is not among these any more is forgotten.
    pub fn keep(&mut self, nodes: &[NodeRow]) {
        self.0.retain(|node, _| nodes.iter().any(|row| row.node == *node));
    }
}
