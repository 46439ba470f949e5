//! What goes wrong in a world, drawn from its seed: a few classes of fault for each system, the line, the store, crashes.

use crate::town::Line;
use crossdock_simulators::{Faults, Outage, OutageMode, Rates, SYSTEMS, rng::Rng};

/// Every class that a campaign must have seen.
pub const CLASSES: &[&str] = &[
    "applied_then_dropped",
    "applied_then_error",
    "accepted_then_applied_later",
    "error_not_applied",
    "throttled",
    "unauthorized",
    "outage_unavailable",
    "outage_dropped",
    "delayed",
    "notification_duplicated",
    "notification_reordered",
    "notification_dropped",
    "line_not_connected",
    "line_request_lost",
    "line_receipt_lost",
    "commit_refused",
    "commit_reply_lost",
    "commit_vanished",
    "commit_slow",
    "crash",
];

/// The faults of one world.
pub struct Weather {
    pub systems: Vec<(&'static str, Faults)>,
    pub line: Line,
    pub commit_refused: f64,
    pub commit_reply_lost: f64,
    pub commit_vanished: f64,
    pub commit_slow: f64,
    /// When the hub dies, in ms from the beginning.
    pub crashes: Vec<u64>,
}

impl Weather {
    /// Faults for a world in which orders are placed for `length_ms`.
    pub fn of(seed: u64, length_ms: u64) -> Self {
        let mut rng = Rng::named(seed, "weather");
        let rate = |rng: &mut Rng, most: u64| rng.between(1..=most) as f64 / 100.0;
        let line = Line { not_connected: rate(&mut rng, 3), request_lost: rate(&mut rng, 3), receipt_lost: rate(&mut rng, 10) };
        let systems = SYSTEMS.into_iter().map(|system| (system, faults(&mut rng, length_ms))).collect();
        let crashes = (0..rng.between(0..=3)).map(|_| rng.between(1..=length_ms * 2)).collect();
        Self {
            systems,
            line,
            commit_refused: rate(&mut rng, 2),
            commit_reply_lost: rate(&mut rng, 2),
            commit_vanished: rate(&mut rng, 2),
            commit_slow: rate(&mut rng, 2),
            crashes,
        }
    }
}

/// The faults of one system: up to four kinds at once.
fn faults(rng: &mut Rng, length_ms: u64) -> Faults {
    let mut faults = Faults { notification_spread_ms: 3_000, ..Faults::default() };
    for _ in 0..rng.between(1..=4) {
        let share = rng.between(2..=25) as f64 / 100.0;
        let rates = &mut faults.rates;
        match rng.between(0..=11) {
            0 => rates.error_rate = share,
            1 | 2 => rates.apply_then_drop_rate = share,
            3 => rates.apply_then_error_rate = share,
            4 => rates.throttle_rate = share,
            5 => rates.unauthorized_rate = share / 20.0,
            6 => slow(rng, rates),
            7 => faults.duplicate_notifications = share,
            8 => faults.reorder_notifications = share,
            9 => faults.drop_notifications = share / 2.0,
            10 => {
                rates.accept_then_apply_later_rate = share;
                rates.apply_later_ms = rng.between(500..=20_000);
            }
            _ => {
                let mode = *rng.pick(&[OutageMode::Unavailable, OutageMode::Drop]);
                let after_ms = rng.between(0..=length_ms);
                faults.outages.push(Outage { after_ms, for_ms: rng.between(1_000..=60_000), mode });
            }
        }
    }
    faults
}

/// Some answers come after the caller has given up.
fn slow(rng: &mut Rng, rates: &mut Rates) {
    rates.delay_jitter_ms = *rng.pick(&[200, 2_000, 12_000]);
}
