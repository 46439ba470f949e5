//! What became of the orders, and what the ledgers and the store show, once no hub runs.

use super::shop::Shop;
use crossdock_engine::shell::clock::Clock;
use crossdock_simulators::{Config, End, Expectation};
use crossdock_store::{ProcessKey, ReadStore};
use crossdock_verify::{HubView, Invariant, Options, Process, Verdict, known_flows, verify};
use serde::{Deserialize, Serialize};
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

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Judged {
    /// Orders by end: `closed`, `cancelled`, `failed`, `parked CLASS`, `open`, `lost`.
    pub ends: BTreeMap<String, u64>,
    /// Every invariant with its verdict.
    pub invariants: BTreeMap<String, String>,
    pub findings: Vec<String>,
    /// Orders that ended otherwise than their kind demands.
    pub unexpected: Vec<String>,
    /// What was demanded and could not be checked.
    pub unchecked: Vec<String>,
    /// Orders or messages that still moved.
    pub restless: u64,
}

pub(crate) async fn judge(shop: &Shop, store: &dyn ReadStore) -> Result<Judged, String> {
    judge_with(shop, store, &Options::at_rest(Clock::System.now())).await
}

pub(crate) async fn judge_with(shop: &Shop, store: &dyn ReadStore, options: &Options) -> Result<Judged, String> {
    let ledgers = shop.ledgers();
    let hub = HubView::read(store).await.map_err(|e| format!("the store cannot be read: {e}"))?;
    let report = verify(&ledgers, Some(&hub), Some(&known_flows), options);
    let mut judged = Judged { restless: hub.inbox_depth, ..Judged::default() };
    for (id, verdict) in &report.invariants {
        judged.invariants.insert(id.id().to_owned(), verdict.word().to_owned());
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
            Verdict::NotChecked { .. } if DEMANDED.contains(id) => judged.unchecked.push(id.id().to_owned()),
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

    /// Adds what was judged elsewhere, with a name for what was found there. What was checked in one of them was checked.
    pub(crate) fn join(&mut self, other: Self, named: impl Fn(String) -> String) {
        for (end, count) in other.ends {
            *self.ends.entry(end).or_default() += count;
        }
        for (id, word) in other.invariants {
            // A violation outweighs all, and what was seen to hold outweighs what could not be checked.
            let weight = |word: &str| ["not checked", "ok"].iter().position(|known| *known == word).unwrap_or(usize::MAX);
            let known = self.invariants.entry(id).or_insert_with(|| word.clone());
            if weight(&word) > weight(known) {
                *known = word;
            }
        }
        self.unchecked.retain(|id| other.unchecked.contains(id));
        self.findings.extend(other.findings.into_iter().map(&named));
        self.unexpected.extend(other.unexpected.into_iter().map(&named));
        self.restless += other.restless;
    }

    /// Nothing is wrong in what could be checked; for runs too small to show everything.
    pub fn is_faultless(&self) -> bool {
        self.findings.is_empty() && !self.ends.contains_key("lost")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_checked_in_one_of_two_runs_was_checked_and_a_violation_outweighs_it() {
        let run = |words: [&str; 3], unchecked: &[&str]| Judged {
            invariants: ["I2", "I3", "I4"].into_iter().map(str::to_owned).zip(words.map(str::to_owned)).collect(),
            unchecked: unchecked.iter().map(|id| (*id).to_owned()).collect(),
            ..Judged::default()
        };
        let mut whole = run(["ok", "not checked", "not checked"], &["I3", "I4"]);
        let mut second = run(["violated", "ok", "not checked"], &["I4"]);
        second.findings.push("I2: two orders".into());
        whole.join(second, |line| format!("leg 2: {line}"));
        assert_eq!(whole.invariants.values().collect::<Vec<_>>(), ["violated", "ok", "not checked"]);
        assert_eq!((whole.unchecked, whole.findings), (vec!["I4".to_owned()], vec!["leg 2: I2: two orders".to_owned()]));
    }
}
