//! What became of a world: each order against what its kind demands, and the systems' ledgers against the invariants.

use super::world::Run;
use crossdock_engine::simulated::at_once;
use crossdock_simulators::{End, SYSTEMS};
use crossdock_store::{EffectState, ExceptionQuery, MemoryStore, ProcessQuery, ReadStore};
use crossdock_verify::{HubView, Invariant, Options, Verdict, known_flows, parse_all, verify};
use std::collections::{BTreeMap, HashMap};

/// Findings told of one invariant.
const TOLD_MAX: usize = 3;

/// What the hub says of an order.
#[derive(Clone, Debug, Default)]
struct Found {
    status: String,
    stage: String,
    waiting_for: String,
    exceptions: Vec<String>,
}

impl Found {
    fn end(&self) -> String {
        match (self.status.as_str(), self.exceptions.first()) {
            (ended @ ("closed" | "cancelled" | "failed"), _) => ended.to_owned(),
            (_, Some(class)) => format!("parked {class}"),
            (_, None) => "open".to_owned(),
        }
    }
}

/// Whether every order is where its kind demands, no payment is still moving, and no effect is under way or in doubt.
pub(super) fn is_settled(run: &Run) -> bool {
    let waits =
        |state: &str| [EffectState::Pending, EffectState::Accepted, EffectState::Unknown].iter().any(|s| s.as_str() == state);
    let moving = || at_once(run.store.counts()).is_ok_and(|counts| counts.effects.iter().any(|(_, state, ..)| waits(state)));
    if !run.sim.core.is_idle() || moving() {
        return false;
    }
    let found = look(&run.store);
    run.expectations.iter().all(|expectation| {
        let key = run.process(expectation).key.to_string();
        let order = found.get(&("order".to_owned(), key.clone()));
        let payment = found.get(&("payment".to_owned(), key));
        let end = order.map(Found::end).unwrap_or_default();
        fits(&expectation.expected_end, &end)
            && payment
                .is_none_or(|payment| matches!(&*payment.status, "closed" | "cancelled" | "failed") || end.starts_with("parked"))
    })
}

/// Orders by end, and everything that is wrong.
pub(super) fn judge(run: &Run) -> (BTreeMap<String, u64>, Vec<String>) {
    let found = look(&run.store);
    let (mut ends, mut findings) = (BTreeMap::new(), Vec::new());
    for expectation in &run.expectations {
        let key = run.process(expectation).key.to_string();
        let order = found.get(&("order".to_owned(), key.clone())).cloned().unwrap_or_default();
        let end = if order.status.is_empty() { "lost".to_owned() } else { order.end() };
        *ends.entry(end.clone()).or_default() += 1;
        if !fits(&expectation.expected_end, &end) {
            let Found { stage, waiting_for, exceptions, .. } = order;
            let payment = found.get(&("payment".to_owned(), key.clone())).cloned().unwrap_or_default();
            findings.push(format!(
                "{key} ({:?}): expected {:?}, found {end}; stage {stage}; waits for {waiting_for:?}; exceptions {exceptions:?}; \
                 payment {} {:?} {:?}",
                expectation.kind, expectation.expected_end, payment.stage, payment.waiting_for, payment.exceptions
            ));
        }
    }
    for (kind, key) in found.keys().filter(|(kind, _)| kind == "stray") {
        findings.push(format!("a message found no record: {kind} {key}"));
    }
    findings.extend(ledgers(run));
    (ends, findings)
}

/// The systems' ledgers against each other and against the hub.
fn ledgers(run: &Run) -> Vec<String> {
    let world = &run.sim.network.world;
    let texts: Vec<(&str, String)> = SYSTEMS.iter().filter_map(|name| Some((*name, world.ledger(name)?.lines(0)))).collect();
    let ledgers = parse_all(texts.iter().map(|(name, lines)| (*name, lines.as_str())));
    let hub = match at_once(HubView::read(&*run.store)) {
        Ok(hub) => hub,
        Err(error) => return vec![format!("the store cannot be read: {error}")],
    };
    let report = verify(&ledgers, Some(&hub), Some(&known_flows), &Options::at_rest(run.sim.now));
    let mut findings = Vec::new();
    for invariant in Invariant::ALL {
        match report.verdict(invariant) {
            Some(Verdict::Violated { findings: found, total, .. }) => {
                for finding in found.iter().take(TOLD_MAX) {
                    findings.push(format!("{} ({}): {finding}", invariant.id(), invariant.title()));
                }
                if *total > TOLD_MAX as u64 {
                    findings.push(format!("{}: and {} more", invariant.id(), total - TOLD_MAX as u64));
                }
            }
            Some(Verdict::Ok { .. } | Verdict::NotChecked { .. }) | None => {}
        }
    }
    findings
}

fn fits(expected: &End, end: &str) -> bool {
    match expected {
        End::Closed => end == "closed",
        End::Cancelled => end == "cancelled",
        End::CancelledOrClosed => end == "cancelled" || end == "closed",
        End::Parked(class) => end.strip_prefix("parked ").is_some_and(|found| found == class),
    }
}

/// The history of the processes whose key ends so, as people read it.
pub(super) fn print_journal(run: &Run, number: &str) {
    let query = ProcessQuery { limit: usize::MAX, ..ProcessQuery::default() };
    for process in at_once(run.store.processes(query)).unwrap_or_default() {
        if !process.key.key.ends_with(number) {
            continue;
        }
        println!(
            "{} {} {} {}",
            process.key, process.row.summary.status, process.row.summary.stage, process.row.summary.waiting_for
        );
        for row in at_once(run.store.journal(&process.key)).unwrap_or_default() {
            println!("  {} {} {} {}", row.version, row.at, row.action, String::from_utf8_lossy(&row.record));
        }
    }
}

/// Every process as the store has it, by kind and key.
fn look(store: &MemoryStore) -> HashMap<(String, String), Found> {
    let mut processes = HashMap::new();
    let query = ProcessQuery { limit: usize::MAX, ..ProcessQuery::default() };
    for process in at_once(store.processes(query)).unwrap_or_default() {
        let summary = &process.row.summary;
        let found = Found {
            status: summary.status.to_string(),
            stage: summary.stage.to_string(),
            waiting_for: summary.waiting_for.to_string(),
            exceptions: Vec::new(),
        };
        processes.insert((process.key.kind.to_string(), process.key.key.to_string()), found);
    }
    let query = ExceptionQuery { limit: usize::MAX, ..ExceptionQuery::default() };
    for exception in at_once(store.exceptions(query)).unwrap_or_default() {
        let key = (exception.process.key.kind.to_string(), exception.process.key.key.to_string());
        if let Some(process) = processes.get_mut(&key) {
            process.exceptions.push(exception.row.class.to_string());
        }
    }
    processes
}
