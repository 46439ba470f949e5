//! Which intent of the hub each effect row comes from.
//!
//! A row is matched by the idempotency key it carries (of any generation), else by our reference of the effect, else by the state it
//! set, else by being one of as many rows as there are open intents of that kind on the order. The last two are all that systems
//! allow which keep neither key nor reference (identity `lookup_only`, `none`): there a stranger's effect can hide behind a real
//! intent whose own effect is missing, but never beside it.

use crate::{
    hub::{HubView, Process},
    vocabulary::{Meaning, Repeat, meaning},
    world::{Entry, Order},
};
use crossdock_canonical::Timestamp;
use crossdock_store::{EffectRow, EffectState};
use std::collections::{BTreeMap, HashMap};

pub(crate) struct Intent<'a> {
    pub process: &'a Process,
    pub effect: &'a EffectRow,
    /// When the transition that made it was committed.
    pub committed_at: Timestamp,
}

impl Intent<'_> {
    fn reference(&self) -> String {
        let key = &self.process.key.key;
        if self.effect.intent.is_empty() { key.to_string() } else { format!("{key}#{}", self.effect.intent) }
    }

    /// May have left something in the system: it was tried, or has ended by being done.
    fn may_be_applied(&self) -> bool {
        match self.effect.state {
            EffectState::Done | EffectState::Reversed | EffectState::Accepted | EffectState::Unknown => true,
            EffectState::Skipped if self.effect.is_withdrawn() => false,
            EffectState::Pending | EffectState::Parked | EffectState::Refused | EffectState::Skipped => self.effect.attempts > 0,
        }
    }
}

#[derive(Default)]
pub(crate) struct Trace<'a> {
    pub intents: Vec<Intent<'a>>,
    by_row: HashMap<(&'a str, usize), usize>,
    by_intent: BTreeMap<usize, Vec<Entry<'a>>>,
    /// Keys of every generation.
    by_key: HashMap<&'a str, usize>,
}

impl<'a> Trace<'a> {
    pub fn new(orders: &[Order<'a>], hub: Option<&'a HubView>) -> Self {
        let mut trace = Self::default();
        let Some(hub) = hub else { return trace };
        let mut of_order: HashMap<&'a str, Vec<usize>> = HashMap::new();
        for process in hub.processes.values() {
            let first = trace.intents.len();
            for effect in &process.effects {
                let made = process.history.iter().find(|t| t.intents.iter().any(|(no, _)| *no == effect.no));
                trace.by_key.insert(&effect.key, trace.intents.len());
                of_order.entry(&process.key.key).or_default().push(trace.intents.len());
                trace.intents.push(Intent { process, effect, committed_at: made.map_or(effect.made_at, |t| t.at) });
            }
            // Keys of earlier generations are in the journal alone.
            for (no, key) in process.history.iter().flat_map(|t| &t.intents) {
                if let Some(place) = process.effects.iter().position(|effect| effect.no == *no) {
                    trace.by_key.insert(key, first + place);
                }
            }
        }
        for order in orders {
            let known = of_order.get(order.key).map_or(&[][..], Vec::as_slice);
            trace.match_order(order, known);
        }
        trace
    }

    fn match_order(&mut self, order: &Order<'a>, known: &[usize]) {
        let mut left: Vec<Entry<'a>> = Vec::new();
        for row in &order.rows {
            let Meaning::Effect { asked_by, .. } = meaning(row) else { continue };
            let fits = |id: &usize| asked_by.contains(&self.intents[*id].effect.operation);
            let by_key = self.by_key.get(row.row.key.as_str()).copied().filter(fits);
            let by_reference = || {
                known.iter().copied().filter(fits).find(|id| {
                    let reference = self.intents[*id].reference();
                    row.key == reference || row.reference == reference
                })
            };
            match by_key.or_else(by_reference) {
                Some(id) => self.assign(*row, id),
                None => left.push(*row),
            }
        }
        // First by what was set, then by number.
        left.retain(|row| {
            let stated = self
                .free(row, known)
                .into_iter()
                .find(|id| !row.state.is_empty() && *self.intents[*id].effect.intent == row.state);
            stated.map(|id| self.assign(*row, id)).is_none()
        });
        for row in left {
            // Before one that was made only after it, it is what an earlier one did again.
            let free = self.free(&row, known);
            let made = free.iter().copied().find(|id| self.intents[*id].committed_at.0 <= row.at);
            let again = || self.repeated(&row, known);
            if let Some(id) = made.or_else(again).or_else(|| free.first().copied()) {
                self.assign(row, id);
            }
        }
    }

    /// Rows that name no order can still carry a key of ours.
    pub fn match_orderless(&mut self, rows: impl Iterator<Item = Entry<'a>>) {
        for row in rows {
            let Meaning::Effect { asked_by, .. } = meaning(&row) else { continue };
            let id = self.by_key.get(row.row.key.as_str()).copied();
            if let Some(id) = id.filter(|id| asked_by.contains(&self.intents[*id].effect.operation)) {
                self.assign(row, id);
            }
        }
    }

    /// Intents on the order that could have led to the row and have no row yet; those that are done first.
    fn free(&self, row: &Entry<'a>, known: &[usize]) -> Vec<usize> {
        let Meaning::Effect { asked_by, .. } = meaning(row) else { return Vec::new() };
        let mut free: Vec<usize> = known
            .iter()
            .copied()
            .filter(|id| {
                let intent = &self.intents[*id];
                asked_by.contains(&intent.effect.operation) && intent.may_be_applied() && !self.by_intent.contains_key(id)
            })
            .collect();
        free.sort_by_key(|id| self.intents[*id].effect.state != EffectState::Done);
        free
    }

    /// The intent that has set the same before, where setting it again changes nothing.
    fn repeated(&self, row: &Entry<'a>, known: &[usize]) -> Option<usize> {
        let Meaning::Effect { repeat: Repeat::Harmless, .. } = meaning(row) else { return None };
        let same = |earlier: &Entry<'a>| earlier.operation == row.operation && earlier.state == row.state;
        known.iter().copied().find(|id| self.rows(*id).iter().any(same))
    }

    fn assign(&mut self, row: Entry<'a>, id: usize) {
        self.by_row.insert(row.place(), id);
        self.by_intent.entry(id).or_default().push(row);
    }

    /// The intent behind a row.
    pub fn of(&self, row: &Entry<'a>) -> Option<usize> {
        self.by_row.get(&row.place()).copied()
    }

    /// The rows an intent left.
    pub fn rows(&self, id: usize) -> &[Entry<'a>] {
        self.by_intent.get(&id).map_or(&[], Vec::as_slice)
    }
}
