//! How well a system answers: circuit breaker, retry budget, call rate, latencies. Shared by all processes.

use crate::wiring::Limits;
use crossdock_canonical::{Duration, Timestamp};
use serde::{Deserialize, Serialize};
use std::{collections::VecDeque, sync::Arc};

/// Failures in a row that open the breaker.
const FAILURES_TO_OPEN: u32 = 5;
const FIRST_PAUSE: Duration = Duration::seconds(2);
const LONGEST_PAUSE: Duration = Duration::seconds(30);
const RETRIES_AT_FIRST: i64 = 10;
const RETRIES_MOST: i64 = 100;
const RETRY_TURN: Duration = Duration::millis(100);
/// A misconfigured system is tried once in this while, with one call.
const MISCONFIGURED_PAUSE: Duration = Duration::seconds(60);

/// Stored, so that a restart does not storm a system that was down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "breaker")]
pub enum BreakerState {
    Closed,
    /// No calls until then, afterwards one at a time.
    Open {
        until: Timestamp,
        pause: Duration,
        reason: Arc<str>,
        since: Timestamp,
    },
    /// One call is out to see whether it answers again.
    HalfOpen {
        pause: Duration,
        reason: Arc<str>,
        since: Timestamp,
    },
    /// Every call would fail: credentials, contract. One call in a while, or when a person resumes it.
    Misconfigured {
        until: Timestamp,
        reason: Arc<str>,
        since: Timestamp,
    },
}

/// What an ended call says about the system's health (not about the effect).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// It answered, whatever it said.
    Well,
    /// Unavailable, timed out, broken.
    Ill,
    /// Nothing can be told from it.
    Nothing,
    /// It asked for a pause.
    Throttled(Duration),
    Misconfigured,
}

pub(super) struct Health {
    /// Of all nodes together.
    whole: Limits,
    /// This node's share.
    limits: Limits,
    breaker: BreakerState,
    failures_in_a_row: u32,
    /// Not before this, because the system said so.
    paused_until: Timestamp,
    /// Calls allowed, in thousandths; filled by time.
    rate_tokens: i64,
    rate_filled_at: Timestamp,
    /// Retries allowed, in thousandths; filled by first calls and, slowly, by time.
    retry_tokens: i64,
    retry_filled_at: Timestamp,
    /// When the next one that finds the budget spent is told to ask again: they come back one by one.
    retry_turn: Timestamp,
    latencies: VecDeque<u32>,
    /// (second, calls, failures) of the last minute.
    minute: VecDeque<(i64, u32, u32)>,
    last_success: Option<Timestamp>,
    /// When its breaker closed last.
    closed_at: Timestamp,
    changed: bool,
}

/// The n-th of so many nearly equal parts, at least one.
fn cut(whole: u32, place: u32, nodes: u32) -> u32 {
    let nodes = nodes.max(1);
    (whole / nodes + u32::from(place < whole % nodes)).max(1)
}

impl Health {
    pub fn new(limits: Limits) -> Self {
        Self {
            whole: limits,
            limits,
            breaker: BreakerState::Closed,
            failures_in_a_row: 0,
            paused_until: Timestamp(i64::MIN),
            rate_tokens: 0,
            rate_filled_at: Timestamp(i64::MIN),
            retry_tokens: RETRIES_AT_FIRST * 1_000,
            retry_filled_at: Timestamp(i64::MIN),
            retry_turn: Timestamp(i64::MIN),
            latencies: VecDeque::new(),
            minute: VecDeque::new(),
            last_success: None,
            closed_at: Timestamp(i64::MIN),
            changed: false,
        }
    }

    /// Cuts the budgets for the n-th of so many nodes, counted from 0. Together they never have more than the whole, unless there are
    /// more nodes than it has calls: each has at least one, or what waits in its partitions would wait for ever.
    pub fn share(&mut self, place: u32, nodes: u32) {
        self.limits.concurrency = cut(self.whole.concurrency, place, nodes);
        self.limits.rate = self.whole.rate.map(|rate| cut(rate, place, nodes));
    }

    /// Another node's calls failed: none is made here either, until the time it says. Not stored or told on: it was.
    pub fn warned(&mut self, state: BreakerState, now: Timestamp) {
        let until = match &state {
            BreakerState::Open { until, .. } | BreakerState::Misconfigured { until, .. } => *until,
            BreakerState::Closed | BreakerState::HalfOpen { .. } => return,
        };
        if self.breaker == BreakerState::Closed && until > now {
            // However wrong the other's clock is.
            let until = until.min(now + MISCONFIGURED_PAUSE);
            self.breaker = match state {
                BreakerState::Open { pause, reason, since, .. } => BreakerState::Open { until, pause, reason, since },
                BreakerState::Misconfigured { reason, since, .. } => BreakerState::Misconfigured { until, reason, since },
                other => other,
            };
        }
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    pub fn breaker(&self) -> &BreakerState {
        &self.breaker
    }

    pub fn restore(&mut self, breaker: BreakerState) {
        self.breaker = match breaker {
            // The call that was out is gone with the former run.
            BreakerState::HalfOpen { pause, reason, since } => BreakerState::Open { until: since, pause, reason, since },
            other => other,
        };
    }

    /// The breaker's new state, if it changed since it was last asked.
    pub fn take_change(&mut self) -> Option<BreakerState> {
        std::mem::take(&mut self.changed).then(|| self.breaker.clone())
    }

    /// A person says to try again now.
    pub fn resume(&mut self, now: Timestamp) {
        match &mut self.breaker {
            BreakerState::Open { until, .. } | BreakerState::Misconfigured { until, .. } => *until = now,
            BreakerState::Closed | BreakerState::HalfOpen { .. } => {}
        }
        self.paused_until = now;
    }

    /// Whether a call may leave now; if not, when to ask again (`None`: when a call ends).
    pub fn may_call(&mut self, now: Timestamp, in_flight: u32) -> Result<(), Option<Timestamp>> {
        if in_flight >= self.limits.concurrency {
            return Err(None);
        }
        if now < self.paused_until {
            return Err(Some(self.paused_until));
        }
        match self.breaker {
            BreakerState::Closed => {}
            BreakerState::HalfOpen { .. } => return Err(None),
            BreakerState::Open { until, .. } | BreakerState::Misconfigured { until, .. } if now < until => {
                return Err(Some(until));
            }
            // The last calls before it opened may still be out; the trial waits for them.
            BreakerState::Open { .. } | BreakerState::Misconfigured { .. } if in_flight > 0 => return Err(None),
            BreakerState::Open { .. } | BreakerState::Misconfigured { .. } => {}
        }
        let Some(rate) = self.limits.rate else { return Ok(()) };
        let rate = i64::from(rate.max(1));
        let passed = if self.rate_filled_at.0 == i64::MIN { 1_000 } else { (now - self.rate_filled_at).0.clamp(0, 1_000) };
        self.rate_filled_at = now;
        // No more is saved up than one call, or what a millisecond brings: in no second do more leave than the rate and one.
        self.rate_tokens = (self.rate_tokens + passed * rate).min(rate.max(1_000));
        if self.rate_tokens < 1_000 {
            return Err(Some(now + Duration(((1_000 - self.rate_tokens) / rate).max(1))));
        }
        Ok(())
    }

    /// A call leaves.
    pub fn called(&mut self, now: Timestamp) {
        if self.limits.rate.is_some() {
            self.rate_tokens -= 1_000;
        }
        match &self.breaker {
            BreakerState::Open { pause, reason, since, .. } => {
                self.set(BreakerState::HalfOpen { pause: *pause, reason: reason.clone(), since: *since });
            }
            BreakerState::Misconfigured { reason, since, .. } => {
                self.set(BreakerState::HalfOpen { pause: FIRST_PAUSE, reason: reason.clone(), since: *since });
            }
            BreakerState::Closed | BreakerState::HalfOpen { .. } => {}
        }
        self.second(now).1 += 1;
    }

    /// What is called for the first time pays for a part of a retry.
    pub fn first_call(&mut self) {
        self.retry_tokens = (self.retry_tokens + i64::from(self.limits.retry.budget_percent) * 10).min(RETRIES_MOST * 1_000);
    }

    /// Whether a retry may leave now; if not, when to ask again. One a second is always allowed, so that a system without first calls
    /// is still retried, and so is the trial call of a breaker.
    pub fn spend_retry(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        if let BreakerState::HalfOpen { .. } = self.breaker {
            return Ok(());
        }
        let passed = if self.retry_filled_at.0 == i64::MIN { 0 } else { (now - self.retry_filled_at).0.max(0) };
        self.retry_filled_at = now;
        self.retry_tokens = (self.retry_tokens + passed).min(RETRIES_MOST * 1_000);
        if self.retry_tokens >= 1_000 {
            self.retry_tokens -= 1_000;
            return Ok(());
        }
        let turn = self.retry_turn.max(now + Duration((1_000 - self.retry_tokens).max(1)));
        self.retry_turn = (turn + RETRY_TURN).min(now + LONGEST_PAUSE);
        Err(turn)
    }

    pub fn answered(&mut self, answered: Answered, took: Duration, reason: &str, now: Timestamp) {
        match answered {
            // The trial call told nothing: another one may be tried.
            Answered::Nothing => {
                if let BreakerState::HalfOpen { pause, reason, since } = self.breaker.clone() {
                    self.set(BreakerState::Open { until: now, pause, reason, since });
                }
            }
            Answered::Well => {
                self.failures_in_a_row = 0;
                self.last_success = Some(now);
                if self.latencies.len() >= 512 {
                    self.latencies.pop_front();
                }
                self.latencies.push_back(u32::try_from(took.0).unwrap_or(u32::MAX));
                if self.breaker != BreakerState::Closed {
                    self.close(now);
                    self.retry_tokens = self.retry_tokens.max(RETRIES_AT_FIRST * 1_000);
                }
            }
            Answered::Throttled(pause) => {
                self.paused_until = self.paused_until.max(now + pause);
                self.second(now).2 += 1;
                if let BreakerState::HalfOpen { .. } = self.breaker {
                    self.close(now);
                }
            }
            Answered::Ill => {
                self.failures_in_a_row += 1;
                self.second(now).2 += 1;
                match &self.breaker {
                    BreakerState::HalfOpen { pause, since, .. } => {
                        let pause = Duration((pause.0 * 2).min(LONGEST_PAUSE.0));
                        let since = *since;
                        self.set(BreakerState::Open { until: now + pause, pause, reason: Arc::from(reason), since });
                    }
                    BreakerState::Closed if self.failures_in_a_row >= FAILURES_TO_OPEN => {
                        self.set(BreakerState::Open {
                            until: now + FIRST_PAUSE,
                            pause: FIRST_PAUSE,
                            reason: Arc::from(reason),
                            since: now,
                        });
                    }
                    BreakerState::Closed | BreakerState::Open { .. } | BreakerState::Misconfigured { .. } => {}
                }
            }
            Answered::Misconfigured => {
                self.second(now).2 += 1;
                let since = match &self.breaker {
                    BreakerState::Misconfigured { since, .. } | BreakerState::HalfOpen { since, .. } => *since,
                    BreakerState::Closed | BreakerState::Open { .. } => now,
                };
                self.set(BreakerState::Misconfigured { until: now + MISCONFIGURED_PAUSE, reason: Arc::from(reason), since });
            }
        }
    }

    /// (calls, failures) of the last minute.
    pub fn last_minute(&self, now: Timestamp) -> (u32, u32) {
        let from = now.0.div_euclid(1_000) - 60;
        self.minute
            .iter()
            .filter(|(second, ..)| *second > from)
            .fold((0, 0), |(c, f), (_, calls, failures)| (c + calls, f + failures))
    }

    pub fn last_success(&self) -> Option<Timestamp> {
        self.last_success
    }

    /// A quantile of the latencies of answered calls, in milliseconds.
    pub fn latency(&self, percent: usize) -> Option<u32> {
        let mut sorted: Vec<u32> = self.latencies.iter().copied().collect();
        sorted.sort_unstable();
        let at = (sorted.len().checked_sub(1)? * percent) / 100;
        sorted.get(at).copied()
    }

    /// Since when it can be called; `None` while its breaker is not closed.
    pub fn callable_since(&self) -> Option<Timestamp> {
        (self.breaker == BreakerState::Closed).then_some(self.closed_at)
    }

    fn close(&mut self, now: Timestamp) {
        self.closed_at = now;
        self.set(BreakerState::Closed);
    }

    fn set(&mut self, breaker: BreakerState) {
        self.breaker = breaker;
        self.changed = true;
    }

    fn second(&mut self, now: Timestamp) -> &mut (i64, u32, u32) {
        let second = now.0.div_euclid(1_000);
        if self.minute.back().is_none_or(|(s, ..)| *s != second) {
            self.minute.push_back((second, 0, 0));
            while self.minute.len() > 61 {
                self.minute.pop_front();
            }
        }
        self.minute.back_mut().expect("a second was just pushed if there was none")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_budget_never_exceed_it_as_long_as_there_are_no_more_nodes_than_calls() {
        for whole in 1..40 {
            for nodes in 1..50 {
                let parts: Vec<u32> = (0..nodes).map(|place| cut(whole, place, nodes)).collect();
                assert_eq!(parts.iter().sum::<u32>(), whole.max(nodes), "{whole} over {nodes}: {parts:?}");
            }
        }
    }

    #[test]
    fn another_nodes_warning_opens_a_closed_breaker_until_the_time_it_says_and_no_longer_than_a_minute() {
        let (now, since) = (Timestamp(1_000), Timestamp(900));
        let open = |until| BreakerState::Open { until: Timestamp(until), pause: FIRST_PAUSE, reason: "down".into(), since };
        let mut health = Health::new(Limits::default());
        health.warned(open(999), now);
        assert_eq!(health.may_call(now, 0), Ok(()), "it is over");
        health.warned(open(3_000), now);
        assert_eq!(health.may_call(now, 0), Err(Some(Timestamp(3_000))));
        assert_eq!(health.take_change(), None, "it is the other's to store");
        health.warned(open(9_000), now);
        assert_eq!(health.may_call(now, 0), Err(Some(Timestamp(3_000))), "an open one has its own time");
        assert_eq!(health.may_call(Timestamp(3_000), 0), Ok(()), "then this node tries for itself");
        let mut health = Health::new(Limits::default());
        health.warned(open(i64::MAX), now);
        assert_eq!(health.may_call(now, 0), Err(Some(now + MISCONFIGURED_PAUSE)), "however wrong its clock");
    }
}
