//! What became of the orders, and what the ledgers and the store show, once no hub runs.

use super::shop::Shop;
use crossdock_engine::shell::clock::Clock;
use crossdock_simulators::{Config, End, Expectation};
use crossdock_store::{ProcessKey, ReadStore};
use crossdock_verify::{HubView, Invariant, Options, Process, Verdict, known_flows, verify};
use serde::Serialize;
use std::collections::BTreeMap;

/// What must have been checked and hold. A run without a single refund cannot show I4; then the report says so and is not good.
const DEMANDED: [Invariant; 11] = [
    Invariant::I1,
    Invariant::I2,
    Invariant::I3,
    Invariant::I4,
    Invariant::I6,
    Invariant::I7,
    Invariant::I8,
    Invariant::I9,
    Invariant::I10,
    Invariant::I12,
    Invariant::I14,
];

/// Findings told of one invariant.
const TOLD_MAX: usize = 5;

#[derive(Debug, Default, Serialize)]
pub struct Judged {
    /// Orders by end: `closed`, `cancelled`, `failed`, `parked CLASS`, `open`, `lost`.
    pub ends: BTreeMap<String, u64>,
    /// Every invariant with its verdict.
    pub invariants: BTreeMap<&'static str, String>,
    pub findings: Vec<String>,
    /// Orders that ended otherwise than their kind demands.
    pub unexpected: Vec<String>,
    /// What was demanded and could not be checked.
    pub unchecked: Vec<&'static str>,
    /// Orders or messages that still moved.
    pub restless: u64,
}

pub(crate) async fn judge(shop: &Shop, store: &dyn ReadStore) -> Result<Judged, String> {
    let ledgers = shop.ledgers();
    let hub = HubView::read(store).await.map_err(|e| format!("the store cannot be read: {e}"))?;
    let report = verify(&ledgers, Some(&hub), Some(&known_flows), &Options::at_rest(Clock::System.now()));
    let mut judged = Judged { restless: hub.inbox_depth, ..Judged::default() };
    for (id, verdict) in &report.invariants {
        judged.invariants.insert(id.id(), verdict.word().to_owned());
        match verdict {
            Verdict::Ok { .. } => {}
            Verdict::Violated { findings, total, .. } => {
                let told = findings.iter().take(TOLD_MAX).map(|finding| format!("{}: {finding}", id.id()));
                judged.findings.extend(told);
                let hidden = total.saturating_sub(TOLD_MAX as u64);
                if hidden > 0 {
                    judged.findings.push(format!("{}: and {hidden} more", id.id()));
                }
            }
            Verdict::NotChecked { .. } if DEMANDED.contains(id) => judged.unchecked.push(id.id()),
            Verdict::NotChecked { .. } => {}
        }
    }
    for expectation in &shop.expectations {
        let process = find(&hub, expectation);
        let end = process.map_or_else(|| "lost".to_owned(), end_of);
        judged.restless += u64::from(end == "open" || end == "lost");
        if !fits(&expectation.expected_end, &end) {
            let (stage, waits) = process.map(|p| (&*p.stage, &*p.waiting_for)).unwrap_or_default();
            let Expectation { site, order, kind, expected_end, .. } = expectation;
            judged.unexpected.push(format!(
                "{site}/{order} ({kind:?}): expected {expected_end:?}, found {end}; stage {stage}; waits for {waits:?}"
            ));
        }
        *judged.ends.entry(end).or_default() += 1;
    }
    Ok(judged)
}

fn find<'a>(hub: &'a HubView, expectation: &Expectation) -> Option<&'a Process> {
    let channel = &Config::default().storefront.channel;
    hub.processes.get(&ProcessKey::new("order", &format!("{channel}/{}/{}", expectation.site, expectation.order)))
}

fn end_of(process: &Process) -> String {
    match (process.is_ended(), process.exceptions.first()) {
        (true, _) => process.status.to_string(),
        (false, Some((_, exception))) => format!("parked {}", exception.class),
        (false, None) => "open".into(),
    }
}

fn fits(expected: &End, end: &str) -> bool {
    match expected {
        End::Closed => end == "closed",
        End::Cancelled => end == "cancelled",
        End::CancelledOrClosed => end == "cancelled" || end == "closed",
        End::Parked(class) => end.strip_prefix("parked ").is_some_and(|found| found == class),
    }
}

impl Judged {
    /// Nothing is wrong and all that was demanded was checked.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty() && self.unchecked.is_empty() && !self.ends.contains_key("lost")
    }

    /// Nothing is wrong in what could be checked; for runs too small to show everything.
    pub fn is_faultless(&self) -> bool {
        self.findings.is_empty() && !self.ends.contains_key("lost")
    }
}
