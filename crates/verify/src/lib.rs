//! Checks the hub from the systems' side: what each system says it did is compared with the other systems first, and with what the
//! hub says second. The invariants are those of the failure model (I1 to I14); `checks` has one module for each subject.
//!
//! It judges what has come to rest: the hub is read page by page, and a run in full motion gives findings that the next minute would
//! not. It repairs nothing, calls no system and shares no rule with what it checks: the words of ledgers (`vocabulary`), how rows
//! belong to intents (`trace`) and the sums are worked out anew here. Only the flows' `apply` is run, because I8 is about it (`fold`).

mod checks;
mod fold;
mod hub;
mod ledger;
mod report;
mod trace;
mod vocabulary;
mod world;

pub use fold::{Fold, Recorded, compare, flow, known_flows};
pub use hub::{HubView, Process, Transition};
pub use ledger::{Ledger, Ledgers, Row, parse_all};
pub use report::{Finding, Invariant, Report, Verdict};

use crossdock_canonical::{Duration, Timestamp};
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet};

/// What the checker must be told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The time of the check, on the clock that the hub and the ledgers use.
    pub now: Timestamp,
    /// How long something may take to settle. Zero at the end of a run: everything must have come to rest.
    pub settle: Duration,
    /// How far the systems' clocks may differ.
    pub clock_skew: Duration,
    /// By how much an ERP's total may differ from the storefront's, in units of the currency.
    pub total_tolerance: Decimal,
    /// Sites (`channel/site`) whose policy captures before anything ships.
    pub captures_at_accept: BTreeSet<String>,
    /// Systems that cannot refuse a repeat (identity `lookup_only`): a copy there is a finding only until the hub has found it too.
    pub take_repeats: BTreeSet<String>,
    /// Whether every placed order must be known to the hub, and not only those it took: true where the run is over.
    pub all_placed: bool,
    /// A digest of the audit chain's heads that was kept outside, with the number of rows it covered.
    pub checkpoint: Option<(u64, String)>,
}

impl Options {
    /// For the end of a run, when everything has come to rest.
    pub fn at_rest(now: Timestamp) -> Self {
        Self {
            now,
            settle: Duration(0),
            clock_skew: Duration(0),
            total_tolerance: Decimal::ZERO,
            captures_at_accept: BTreeSet::new(),
            take_repeats: BTreeSet::new(),
            all_placed: true,
            checkpoint: None,
        }
    }
}

/// How to fold a process's events again, [`known_flows`] where the hub's own flows ran; `None` leaves that part of I8 unchecked.
pub type Refold<'a> = &'a dyn Fn(&Recorded<'_>) -> Fold;

/// Runs every check. Without a hub the ledgers are compared with each other alone.
pub fn verify(ledgers: &Ledgers, hub: Option<&HubView>, refold: Option<Refold<'_>>, options: &Options) -> Report {
    let keys = world::World::keys(ledgers, hub);
    let world = world::World::new(ledgers, hub, options, &keys);
    let mut notes = Vec::new();
    let invariants = Invariant::ALL.into_iter().map(|id| (id, checks::run(id, &world, refold, &mut notes))).collect();
    Report { invariants, counts: counts(&world), notes }
}

fn counts(world: &world::World<'_>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    let mut add = |name: String, by: usize| *counts.entry(name).or_insert(0) += by as u64;
    for (system, ledger) in world.ledgers {
        add(format!("ledger rows {system}"), ledger.rows.len());
    }
    add("orders placed".into(), world.orders.iter().filter(|order| order.has("order.placed")).count());
    for process in world.hub.into_iter().flat_map(|hub| hub.processes.values()) {
        let parked = if process.is_parked() && !process.is_ended() { " parked" } else { "" };
        add(format!("{} {}{parked}", process.key.kind, process.status), 1);
    }
    counts
}
