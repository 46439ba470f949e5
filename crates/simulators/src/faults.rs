//! Seeded faults: what may go wrong between a caller and a system, decided before the system sees the call.
//!
//! One set per system, replaceable per operation. Every injected fault is counted by class, so a campaign can show that none
//! was idle.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::rng::Rng;

/// A silence longer than this is for ever: what it holds back is dropped, not kept.
const FOR_EVER_MS: i64 = 365 * 86_400_000;

/// How calls end while a system is out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutageMode {
    /// `503` with `Retry-After`, not applied.
    #[default]
    Unavailable,
    /// The connection ends without an answer, not applied.
    Drop,
}

/// A window in which every call fails, counted from the moment the faults were set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Outage {
    pub after_ms: u64,
    pub for_ms: u64,
    pub mode: OutageMode,
}

/// The probabilities (0 to 1) and sizes of one set of faults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rates {
    /// Every answer comes this much later.
    pub delay_ms: u64,
    /// ... plus up to this much, drawn per call.
    pub delay_jitter_ms: u64,
    /// `500`, not applied.
    pub error_rate: f64,
    /// Applied, and the connection ends without an answer.
    pub apply_then_drop_rate: f64,
    /// Applied, and the answer is a `500` (a `504` from Salesforce).
    pub apply_then_error_rate: f64,
    /// Taken with a `202`, applied this much later; only where the wire format has such an answer.
    pub accept_then_apply_later_rate: f64,
    pub apply_later_ms: u64,
    /// Some lines applied, the others refused in the answer; only where the wire format has such an answer.
    pub partial_success_rate: f64,
    /// `429` with `Retry-After`, not applied.
    pub throttle_rate: f64,
    /// At most so many calls in a second, the rest `429`.
    pub calls_per_second_max: Option<u32>,
    pub retry_after_s: u64,
    /// `401`, not applied; the token in use is revoked where there are tokens.
    pub unauthorized_rate: f64,
}

impl Default for Rates {
    fn default() -> Self {
        Rates {
            delay_ms: 0,
            delay_jitter_ms: 0,
            error_rate: 0.0,
            apply_then_drop_rate: 0.0,
            apply_then_error_rate: 0.0,
            accept_then_apply_later_rate: 0.0,
            apply_later_ms: 2_000,
            partial_success_rate: 0.0,
            throttle_rate: 0.0,
            calls_per_second_max: None,
            retry_after_s: 1,
            unauthorized_rate: 0.0,
        }
    }
}

/// All faults of one system.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// Restarts the fault sequence from this seed.
    pub seed: Option<u64>,
    #[serde(flatten)]
    pub rates: Rates,
    /// Replaces `rates` for one operation, by the name the ledger and the README use.
    pub operations: BTreeMap<String, Rates>,
    pub outages: Vec<Outage>,
    /// A second copy of a notification, later.
    pub duplicate_notifications: f64,
    /// A notification held back so that later ones overtake it.
    pub reorder_notifications: f64,
    /// A notification that is never sent.
    pub drop_notifications: f64,
    /// The longest a duplicated or reordered copy is held back.
    pub notification_spread_ms: u64,
    /// No notification leaves before this instant (ms); more than a year ahead means never.
    pub silent_until: Option<i64>,
}

impl Faults {
    /// Reads the JSON form and refuses what cannot be meant.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let faults: Faults = serde_json::from_slice(text).map_err(|e| format!("faults: {e}"))?;
        let sets = std::iter::once(("", &faults.rates)).chain(faults.operations.iter().map(|(k, v)| (k.as_str(), v)));
        let mut all: Vec<(String, f64)> = vec![
            ("duplicate_notifications".into(), faults.duplicate_notifications),
            ("reorder_notifications".into(), faults.reorder_notifications),
            ("drop_notifications".into(), faults.drop_notifications),
        ];
        for (name, rates) in sets {
            for (field, rate) in [
                ("error_rate", rates.error_rate),
                ("apply_then_drop_rate", rates.apply_then_drop_rate),
                ("apply_then_error_rate", rates.apply_then_error_rate),
                ("accept_then_apply_later_rate", rates.accept_then_apply_later_rate),
                ("partial_success_rate", rates.partial_success_rate),
                ("throttle_rate", rates.throttle_rate),
                ("unauthorized_rate", rates.unauthorized_rate),
            ] {
                all.push((if name.is_empty() { field.into() } else { format!("operations.{name}.{field}") }, rate));
            }
        }
        match all.into_iter().find(|(_, rate)| !(0.0..=1.0).contains(rate)) {
            Some((name, rate)) => Err(format!("faults: {name} is {rate}; a rate lies between 0 and 1")),
            None => Ok(faults),
        }
    }

    fn rates(&self, operation: &str) -> &Rates {
        self.operations.get(operation).unwrap_or(&self.rates)
    }
}

/// What is done with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Normal,
    /// Applied; the answer is lost.
    DropAnswer,
    /// Applied; the answer says it failed.
    FailAnswer,
    /// Applied later, if the wire format has a way to say so.
    Later,
    /// Partly applied, if the wire format has a way to say so.
    Partial,
    Error,
    Unauthorized,
    Throttled,
    Unavailable,
    Dropped,
}

/// What is done with one notification.
pub struct Delivery {
    pub extra_delay_ms: u64,
    pub copy_after_ms: Option<u64>,
}

/// The fault state of one running system.
#[derive(Debug)]
pub struct Injector {
    faults: Faults,
    set_at: i64,
    rng: Rng,
    counts: BTreeMap<&'static str, u64>,
    second: i64,
    calls_in_second: u32,
}

impl Injector {
    pub fn new(seed: u64, system: &str) -> Self {
        Injector {
            faults: Faults::default(),
            set_at: 0,
            rng: Rng::named(seed, &format!("{system}/faults")),
            counts: BTreeMap::new(),
            second: i64::MIN,
            calls_in_second: 0,
        }
    }

    pub fn set(&mut self, faults: Faults, system: &str, now: i64) {
        if let Some(seed) = faults.seed {
            self.rng = Rng::named(seed, &format!("{system}/faults"));
        }
        self.faults = faults;
        self.set_at = now;
    }

    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    pub fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    pub fn count(&mut self, class: &'static str) {
        *self.counts.entry(class).or_default() += 1;
    }

    /// When the last outage window ends, or when the faults were set.
    pub fn outages_end(&self) -> i64 {
        let last = self.faults.outages.iter().map(|o| o.after_ms.saturating_add(o.for_ms)).max().unwrap_or(0);
        self.set_at.saturating_add_unsigned(last)
    }

    pub fn retry_after_s(&self, operation: &str) -> u64 {
        self.faults.rates(operation).retry_after_s
    }

    pub fn apply_later_ms(&self, operation: &str) -> u64 {
        self.faults.rates(operation).apply_later_ms
    }

    /// Decides one call. Reads (`changes == false`) never fail after they were applied: there is nothing to apply.
    pub fn verdict(&mut self, operation: &str, changes: bool, now: i64) -> Verdict {
        let elapsed = u64::try_from(now - self.set_at).unwrap_or(0);
        let outage = self.faults.outages.iter().find(|o| elapsed >= o.after_ms && elapsed - o.after_ms < o.for_ms);
        if let Some(outage) = outage {
            let (verdict, class) = match outage.mode {
                OutageMode::Unavailable => (Verdict::Unavailable, "outage_unavailable"),
                OutageMode::Drop => (Verdict::Dropped, "outage_dropped"),
            };
            self.count(class);
            return verdict;
        }
        let rates = self.faults.rates(operation);
        if let Some(max) = rates.calls_per_second_max {
            let second = now.div_euclid(1000);
            if second != self.second {
                self.second = second;
                self.calls_in_second = 0;
            }
            self.calls_in_second += 1;
            if self.calls_in_second > max {
                self.count("throttled");
                return Verdict::Throttled;
            }
        }
        let rng = &mut self.rng;
        let (verdict, class) = if rng.chance(rates.throttle_rate) {
            (Verdict::Throttled, "throttled")
        } else if rng.chance(rates.unauthorized_rate) {
            (Verdict::Unauthorized, "unauthorized")
        } else if rng.chance(rates.error_rate) {
            (Verdict::Error, "error_not_applied")
        } else if changes && rng.chance(rates.apply_then_drop_rate) {
            (Verdict::DropAnswer, "applied_then_dropped")
        } else if changes && rng.chance(rates.apply_then_error_rate) {
            (Verdict::FailAnswer, "applied_then_error")
        } else if changes && rng.chance(rates.accept_then_apply_later_rate) {
            (Verdict::Later, "")
        } else if changes && rng.chance(rates.partial_success_rate) {
            (Verdict::Partial, "")
        } else {
            (Verdict::Normal, "")
        };
        if !class.is_empty() {
            self.count(class);
        }
        verdict
    }

    pub fn delay_ms(&mut self, operation: &str) -> u64 {
        let rates = self.faults.rates(operation);
        let (base, jitter) = (rates.delay_ms, rates.delay_jitter_ms);
        let delay = if jitter > 0 { base + self.rng.between(0..=jitter) } else { base };
        if delay > 0 {
            self.count("delayed");
        }
        delay
    }

    /// Decides one notification that would leave at `at`; `None` means it never leaves.
    pub fn delivery(&mut self, at: i64) -> Option<Delivery> {
        let spread = self.faults.notification_spread_ms.max(1);
        if self.rng.chance(self.faults.drop_notifications) {
            self.count("notification_dropped");
            return None;
        }
        let mut delivery = Delivery { extra_delay_ms: 0, copy_after_ms: None };
        if self.rng.chance(self.faults.reorder_notifications) {
            self.count("notification_reordered");
            delivery.extra_delay_ms = self.rng.between(spread / 2..=spread);
        }
        if self.rng.chance(self.faults.duplicate_notifications) {
            self.count("notification_duplicated");
            delivery.copy_after_ms = Some(self.rng.between(1..=spread));
        }
        if let Some(until) = self.faults.silent_until.filter(|until| *until > at) {
            self.count("notification_silenced");
            if until.saturating_sub(at) > FOR_EVER_MS {
                return None;
            }
            delivery.extra_delay_ms = delivery.extra_delay_ms.saturating_add(until.saturating_sub(at).unsigned_abs());
        }
        Some(delivery)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_outside_zero_to_one_names_the_field() {
        let text = br#"{"error_rate":0.1,"operations":{"payment.capture":{"throttle_rate":2}}}"#;
        assert!(Faults::parse(text).unwrap_err().contains("operations.payment.capture.throttle_rate"));
        assert!(Faults::parse(br#"{"outages":[{"after_ms":1,"for_ms":2,"mode":"drop"}]}"#).is_ok());
        assert!(Faults::parse(br#"{"outages":[{"from":1}]}"#).is_err());
        assert!(Faults::parse(br#"{"eror_rate":0.1}"#).is_err(), "a misspelt field is refused");
    }

    #[test]
    fn an_outage_holds_for_its_window_only() {
        let mut injector = Injector::new(1, "erp");
        let outage = Outage { after_ms: 100, for_ms: 50, mode: OutageMode::Unavailable };
        injector.set(Faults { outages: vec![outage], ..Faults::default() }, "erp", 1_000);
        let verdicts: Vec<_> = [1_099, 1_100, 1_149, 1_150].map(|now| injector.verdict("x", true, now)).into();
        assert_eq!(verdicts, [Verdict::Normal, Verdict::Unavailable, Verdict::Unavailable, Verdict::Normal]);
        assert_eq!(injector.counts()["outage_unavailable"], 2);
    }

    #[test]
    fn one_seed_gives_one_sequence_and_about_the_asked_rate() {
        let rates = Rates { apply_then_drop_rate: 0.3, ..Rates::default() };
        let run = |seed| {
            let mut injector = Injector::new(0, "erp");
            injector.set(Faults { seed: Some(seed), rates: rates.clone(), ..Faults::default() }, "erp", 0);
            (0..1000).map(|_| injector.verdict("x", true, 1)).collect::<Vec<_>>()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
        let dropped = run(3).iter().filter(|v| **v == Verdict::DropAnswer).count();
        assert!((250..350).contains(&dropped), "{dropped}");
    }
}
