//! What the campaign has seen, for people and as JSON.

use super::witness::Seen;
use crate::kill::judge::Judged;
use crossdock_canonical::Duration;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// Within this the partitions must be spread evenly over the nodes that are left.
const REBALANCED_WITHIN: Duration = Duration::seconds(5);

/// What befalls a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Blow {
    /// `kill -9`, and started again.
    Kill,
    /// `SIGSTOP` for three leases, between the check of the lease and a call.
    Pause,
    /// Nothing of it reaches the database, what that says reaches it.
    CutThere,
    /// What it says reaches the database, no answer comes back.
    CutBack,
    /// Nothing of it reaches anybody, what others say reaches it.
    AloneThere,
    /// What it says reaches everybody, nothing reaches it.
    AloneBack,
    /// `SIGTERM`, and started again.
    Stop,
}

impl Blow {
    pub const ALL: [Self; 7] =
        [Self::Kill, Self::Pause, Self::CutThere, Self::CutBack, Self::AloneThere, Self::AloneBack, Self::Stop];
}

/// How long the partitions took to be spread evenly, of one kind of change.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Times {
    pub count: u64,
    pub sum_ms: i64,
    pub most_ms: i64,
    /// Not within five seconds.
    pub late: u64,
}

impl Times {
    pub(super) fn add(&mut self, took: Duration) {
        self.count += 1;
        self.sum_ms += took.0;
        self.most_ms = self.most_ms.max(took.0);
        self.late += u64::from(took > REBALANCED_WITHIN);
    }

    fn join(&mut self, other: Self) {
        self.count += other.count;
        self.sum_ms += other.sum_ms;
        self.most_ms = self.most_ms.max(other.most_ms);
        self.late += other.late;
    }

    fn mean_ms(&self) -> i64 {
        self.sum_ms / i64::try_from(self.count.max(1)).unwrap_or(1)
    }
}

/// When nodes were paused.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Pauses {
    /// Between the check of the lease and a call, by the system that was about to be called.
    pub before_a_call: BTreeMap<String, u64>,
    /// At any moment, because no such call came.
    pub at_any_moment: u64,
    /// What became of those calls when the node went on.
    pub late: BTreeMap<String, Late>,
}

/// Calls of a node that had stood still for longer than a lease.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Late {
    /// They left the node after all.
    pub sent: u64,
    /// Of these, what the system applied, by its ledger. The others it knew already or refused, or they name no key.
    pub applied: u64,
}

impl Pauses {
    fn join(&mut self, other: Self) {
        add(&mut self.before_a_call, other.before_a_call, |sum, count| *sum += count);
        self.at_any_moment += other.at_any_moment;
        add(&mut self.late, other.late, |sum, late| {
            sum.sent += late.sent;
            sum.applied += late.applied;
        });
    }
}

fn add<K: Ord, V: Default>(to: &mut BTreeMap<K, V>, more: BTreeMap<K, V>, join: fn(&mut V, V)) {
    for (key, value) in more {
        join(to.entry(key).or_default(), value);
    }
}

/// What was applied twice by the system that cannot refuse a repeat.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Copies {
    /// By the system.
    pub left: u64,
    /// By the hub, within a cycle of reconciliation, and parked.
    pub found: u64,
    /// By the system, not cancelled in the end.
    pub standing: u64,
}

/// Of one leg or of several.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Of the first leg; each further one has the next.
    pub seed: u64,
    pub legs: u64,
    /// How nodes were cut off.
    pub cuts: String,
    pub blows: BTreeMap<Blow, u64>,
    pub pauses: Pauses,
    pub copies: Copies,
    pub seen: Seen,
    pub orders: usize,
    /// From the first blow of a leg to its last.
    pub seconds: f64,
    /// From the last blow of a leg until its orders had come to their ends.
    pub settling_s: i64,
    /// Orders under way at all blows together.
    pub under_way: usize,
    /// After a node was struck, and after it came back.
    pub rebalanced: BTreeMap<String, Times>,
    pub stopped_ms_most: i64,
    /// Starts that ended before the node listened, because its database was slow, and were repeated.
    pub started_again: u64,
    /// Orders handed over by the interface, those acknowledged, and how often such a call failed, by status (0: no answer).
    pub posted: usize,
    pub acknowledged: usize,
    pub failed_calls: BTreeMap<u16, u64>,
    /// Effects written under another epoch than their partition's.
    pub stale_writes: u64,
    /// How often a partition changed hands.
    pub epochs: u64,
    pub effects: u64,
    pub audit_rows: u64,
    /// Where an audit chain is broken.
    pub broken: Vec<String>,
    pub judged: Judged,
    pub panics: Vec<String>,
    pub verdict: String,
}

impl Report {
    pub fn is_good(&self) -> bool {
        self.word() == "good"
    }

    /// Nothing is wrong in what could be checked; for runs too small to show everything, on machines too busy to be timed.
    pub fn is_faultless(&self) -> bool {
        self.judged.is_faultless()
            && self.judged.restless == 0
            && self.failed_calls.is_empty()
            && self.acknowledged == self.posted
            && self.stale_writes == 0
            && self.panics.is_empty()
            && self.broken.is_empty()
    }

    /// With what it comes to.
    pub(super) fn with_verdict(self) -> Self {
        Self { verdict: self.word().to_owned(), ..self }
    }

    /// Adds a leg that came after.
    pub(super) fn join(&mut self, leg: Self) {
        let named = |line: String| format!("leg of seed {}: {line}", leg.seed);
        self.legs += leg.legs;
        if self.cuts != leg.cuts {
            self.cuts = format!("{}; {}", self.cuts, leg.cuts);
        }
        add(&mut self.blows, leg.blows, |sum, count| *sum += count);
        self.pauses.join(leg.pauses);
        self.seen.join(leg.seen);
        self.started_again += leg.started_again;
        self.copies.left += leg.copies.left;
        self.copies.found += leg.copies.found;
        self.copies.standing += leg.copies.standing;
        self.orders += leg.orders;
        self.seconds += leg.seconds;
        self.settling_s += leg.settling_s;
        self.under_way += leg.under_way;
        add(&mut self.rebalanced, leg.rebalanced, Times::join);
        self.stopped_ms_most = self.stopped_ms_most.max(leg.stopped_ms_most);
        self.posted += leg.posted;
        self.acknowledged += leg.acknowledged;
        add(&mut self.failed_calls, leg.failed_calls, |sum, count| *sum += count);
        self.stale_writes += leg.stale_writes;
        self.epochs += leg.epochs;
        self.effects += leg.effects;
        self.audit_rows += leg.audit_rows;
        self.broken.extend(leg.broken.into_iter().map(named));
        self.judged.join(leg.judged, named);
        self.panics.extend(leg.panics.into_iter().map(named));
        self.verdict = self.word().to_owned();
    }

    /// What it has taken.
    pub(super) fn minutes(&self) -> f64 {
        (self.seconds + self.settling_s as f64) / 60.0
    }

    fn word(&self) -> &'static str {
        if !self.failed_calls.is_empty() || self.acknowledged != self.posted {
            return "a call of the storefront failed";
        }
        if !self.judged.is_clean() {
            "an invariant does not hold, or was not checked"
        } else if self.stale_writes > 0 {
            "something was written under a stale epoch"
        } else if !self.broken.is_empty() {
            "the audit chain is broken"
        } else if !self.panics.is_empty() {
            "a hub panicked"
        } else if self.judged.restless > 0 {
            "not everything settled"
        } else if self.rebalanced.values().any(|times| times.late > 0) {
            "the partitions were not spread evenly within 5 s"
        } else if self.blows.contains_key(&Blow::Pause) && self.pauses.late.values().all(|late| late.sent == 0) {
            "no call was late, so the pauses prove nothing"
        } else if self.copies.found < self.copies.left {
            "a copy was not found"
        } else if self.copies.standing > 0 {
            "a copy was not cancelled"
        } else {
            "good"
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, legs, orders, seconds, settling_s, .. } = self;
        let blows: u64 = self.blows.values().sum();
        let mean = self.under_way as f64 / blows.max(1) as f64;
        writeln!(f, "{blows} blows of seed {seed} in {seconds:.0} s; {orders} orders, {mean:.0} under way on average")?;
        writeln!(f, "legs: {legs}; until all had settled after the last blows: {settling_s} s")?;
        let kinds: Vec<String> = self.blows.iter().map(|(blow, count)| format!("{blow:?} {count}")).collect();
        writeln!(f, "  {}", kinds.join(", "))?;
        writeln!(f, "cuts: {}", self.cuts)?;
        write!(f, "{}", self.pauses)?;
        let Copies { left, found, standing } = self.copies;
        writeln!(f, "applied twice where repeats are not refused: {left}; found and parked {found}, not cancelled {standing}")?;
        for (after, times) in &self.rebalanced {
            let (mean, Times { count, most_ms, late, .. }) = (times.mean_ms(), times);
            writeln!(f, "evenly spread after {after:<8}{mean:>6} ms on average, {most_ms} at most, of {count}; late {late}")?;
        }
        writeln!(f, "a stop took {} ms at most; {} starts were repeated", self.stopped_ms_most, self.started_again)?;
        write!(f, "{}", self.seen)?;
        if self.posted > 0 {
            let failed: u64 = self.failed_calls.values().sum();
            writeln!(f, "{} orders by the interface, {} acknowledged, {failed} failed calls", self.posted, self.acknowledged)?;
        }
        let Self { effects, epochs, stale_writes, audit_rows, .. } = self;
        writeln!(f, "{effects} effects, {epochs} leases taken, {stale_writes} stale writes; audit of {audit_rows} rows")?;
        for line in &self.broken {
            writeln!(f, "audit chain broken: {line}")?;
        }
        write!(f, "{}", self.judged)?;
        for line in &self.panics {
            writeln!(f, "log: {line}")?;
        }
        writeln!(f, "{}", self.verdict)
    }
}

impl fmt::Display for Pauses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, any) = (self.before_a_call.values().sum::<u64>(), self.at_any_moment);
        if before + any == 0 {
            return Ok(());
        }
        writeln!(f, "pauses between the check of the lease and a call: {before}; at any moment: {any}")?;
        for (system, count) in &self.before_a_call {
            let Late { sent, applied } = self.late.get(system).cloned().unwrap_or_default();
            writeln!(f, "  {system:<14}{count:>4} pauses, {sent} calls sent late, {applied} of them applied")?;
        }
        Ok(())
    }
}
