//! How hard a system is asked: retries, budget, breaker, concurrency, rate, priority.

use crate::{
    kit::{Lab, Setting, T0, key, step},
    town::{Act, Arrival},
    toy::Step,
};
use crossdock_canonical::{Duration, SystemName, Timestamp};
use crossdock_engine::wiring::{Limits, Retry};
use crossdock_store::EffectState;

fn limits(concurrency: u32, rate: Option<u32>) -> Setting {
    let default = Setting::default();
    Setting { limits: Limits { concurrency, rate, ..default.limits }, ..default }
}

fn most_at_once(arrivals: &[Arrival]) -> usize {
    arrivals.iter().map(|a| arrivals.iter().filter(|b| b.at <= a.at && a.at < b.until).count()).max().unwrap_or(0)
}

fn most_in_a_second(arrivals: &[Arrival]) -> usize {
    arrivals
        .iter()
        .map(|a| arrivals.iter().filter(|b| b.at >= a.at && b.at < a.at + Duration::seconds(1)).count())
        .max()
        .unwrap_or(0)
}

#[test]
fn a_retry_sends_the_same_bytes_under_the_same_key_after_a_jittered_pause() {
    let mut pauses = Vec::new();
    for seed in 0..20 {
        let default = Setting::default();
        let config = crossdock_engine::core::Config { seed, ..default.config.clone() };
        let mut lab = Lab::with(Setting { config, ..default });
        lab.script("erp", [Act::Turn(None), Act::Turn(None), Act::Turn(None)]);
        let toy = lab.toy("1", 1, "erp");
        lab.close(&toy, Duration::minutes(1));
        let sends = lab.sends("erp");
        assert_eq!((sends.len(), lab.effect(&toy, "one").generation, lab.probes("erp").len()), (4, 1, 0));
        assert!(sends.iter().all(|s| s.key == sends[0].key));
        pauses.extend(sends.windows(2).enumerate().map(|(n, pair)| (n, pair[1].at - pair[0].until)));
    }
    for (n, ceiling) in [(0, 400), (1, 800), (2, 1_600)] {
        let of: Vec<i64> = pauses.iter().filter(|(m, _)| *m == n).map(|(_, pause)| pause.0).collect();
        let (least, most) = (of.iter().min().expect("there are"), of.iter().max().expect("there are"));
        assert!(*most <= ceiling + 10, "pause {n} of {most} ms is over its ceiling {ceiling}");
        assert!(*least < ceiling / 4 && *most > ceiling / 2, "pause {n} is not jittered over the whole span: {least} to {most}");
    }
}

#[test]
fn retry_after_is_a_floor_for_the_whole_system() {
    let mut lab = Lab::new();
    lab.script("erp", [Act::Turn(Some(30))]);
    let first = lab.toy("1", 1, "erp");
    lab.run_for(Duration::seconds(1));
    let second = lab.toy("2", 1, "erp");
    lab.run_for(Duration::seconds(28));
    assert_eq!(lab.sends("erp").len(), 1);
    lab.close(&first, Duration::seconds(10));
    lab.close(&second, Duration::seconds(1));
    assert!(lab.sends("erp")[1].at - T0 >= Duration::seconds(30));
}

#[test]
fn what_keeps_failing_is_parked_when_its_time_is_up() {
    let mut lab = Lab::new();
    lab.place("erp").always = Act::Turn(None);
    let toy = lab.toy("1", 1, "erp");
    lab.run_for(Duration::hours(2));
    assert_eq!(lab.effect_state(&toy, "one"), EffectState::Parked);
    assert_eq!(lab.classes(&toy), ["retries_spent"]);
    let last = lab.sends("erp").last().expect("it was sent").at;
    assert!(last - T0 <= Duration::minutes(62));
}

#[test]
fn retries_stay_within_their_budget() {
    // Nine of ten are turned away at random, so the breaker opens seldom and only the budget holds back.
    let retry = Retry { longest_delay: Duration::millis(200), ..Limits::default().retry };
    let mut lab = Lab::with(Setting { limits: Limits { concurrency: 64, retry, ..Limits::default() }, ..Setting::default() });
    lab.script("erp", (0..40_000).map(|n| if n % 4 == 3 { Act::Refuse } else { Act::Turn(None) }));
    for n in 0..600 {
        lab.toy(&n.to_string(), 1, "erp");
    }
    lab.run_for(Duration::seconds(60));
    let sends = lab.sends("erp");
    let first: std::collections::BTreeSet<_> = sends.iter().map(|s| &s.reference).collect();
    let retries = sends.len() - first.len();
    // Twenty for a hundred first calls, ten to begin with, one a second.
    let allowed = first.len() / 5 + 10 + 60;
    assert!(retries <= allowed, "{retries} retries after {} first calls; {allowed} were allowed", first.len());
    assert!(retries > 60, "and they do go on");
}

#[test]
fn a_spent_budget_only_delays() {
    let mut lab = Lab::new();
    lab.script("erp", (0..150).map(|n| if n % 3 == 2 { Act::Refuse } else { Act::Turn(None) }));
    for n in 0..50 {
        lab.toy(&n.to_string(), 1, "erp");
    }
    lab.run_for(Duration::minutes(30));
    for n in 0..50 {
        assert!(!lab.effect_state(&key(&n.to_string()), "one").is_open(), "toy {n} still waits");
    }
}

#[test]
fn the_breaker_opens_tries_one_and_closes() {
    let mut lab = Lab::new();
    lab.place("erp").always = Act::Turn(None);
    for n in 0..40 {
        lab.toy(&n.to_string(), 1, "erp");
    }
    lab.run_for(Duration::seconds(10));
    assert_eq!(lab.breaker("erp"), "open");
    let before = lab.sends("erp").len();
    lab.run_for(Duration::minutes(10));
    let trials = lab.sends("erp").split_off(before);
    assert!((15..=25).contains(&trials.len()), "{} trials in ten minutes", trials.len());
    assert_eq!(most_at_once(&trials), 1, "one at a time");
    lab.place("erp").always = Act::Apply;
    lab.run_for(Duration::minutes(2));
    assert_eq!((lab.breaker("erp"), lab.applied("erp")), ("closed".to_owned(), 40));
}

#[test]
fn a_restart_does_not_storm_a_system_that_was_down() {
    let mut lab = Lab::new();
    lab.place("erp").always = Act::Turn(None);
    for n in 0..40 {
        lab.toy(&n.to_string(), 1, "erp");
    }
    lab.run_for(Duration::minutes(2));
    let before = lab.sends("erp").len();
    lab.crash();
    assert_eq!(lab.breaker("erp"), "open");
    lab.run_for(Duration::seconds(5));
    assert!(lab.sends("erp").len() - before <= 1, "the stored breaker was forgotten");
    lab.place("erp").always = Act::Apply;
    lab.run_for(Duration::minutes(2));
    assert_eq!(lab.applied("erp"), 40);
}

#[test]
fn misconfigured_stops_the_system_and_burns_nothing() {
    let mut lab = Lab::with(limits(2, None));
    lab.place("erp").always = Act::Reject;
    for n in 0..20 {
        lab.toy(&n.to_string(), 1, "erp");
    }
    lab.run_for(Duration::minutes(9));
    assert_eq!(lab.breaker("erp"), "misconfigured");
    assert!(lab.sends("erp").len() <= 2 + 9, "{} calls with credentials that do not fit", lab.sends("erp").len());
    for n in 0..20 {
        let effect = lab.effect(&key(&n.to_string()), "one");
        assert_eq!((effect.state, effect.attempts), (EffectState::Pending, 0), "an attempt was burnt");
        assert!(lab.classes(&key(&n.to_string())).is_empty());
    }
    lab.place("erp").always = Act::Apply;
    lab.resume(&SystemName::new("erp"));
    lab.run_for(Duration::seconds(5));
    assert_eq!((lab.applied("erp"), lab.breaker("erp")), (20, "closed".to_owned()));
}

#[test]
fn concurrency_is_never_exceeded() {
    let mut lab = Lab::with(limits(3, None));
    lab.script("erp", (0..200).map(|n| [Act::Apply, Act::ApplyAndDrop, Act::Fail, Act::Turn(None)][n % 4]));
    for n in 0..100 {
        lab.toy(&n.to_string(), 1, "erp");
    }
    lab.run_for(Duration::minutes(20));
    for n in 0..100 {
        lab.reconcile(&key(&n.to_string()));
    }
    lab.run_for(Duration::minutes(1));
    assert_eq!(lab.applied("erp"), 100);
    assert!(lab.probes("erp").len() >= 100, "reconciliation asks too, within the same bounds");
    assert_eq!(most_at_once(&lab.network.arrivals), 3);
    assert_eq!(lab.core.health(lab.now)[0].in_flight, 0, "a slot leaked");
}

#[test]
fn the_rate_is_never_exceeded() {
    let mut lab = Lab::with(limits(64, Some(10)));
    for n in 0..100 {
        lab.toy(&n.to_string(), 1, "erp");
    }
    lab.run_for(Duration::seconds(15));
    assert_eq!(lab.applied("erp"), 100, "ten a second are used");
    assert!(most_in_a_second(&lab.sends("erp")) <= 11, "{} in one second", most_in_a_second(&lab.sends("erp")));
}

#[test]
fn one_slow_system_does_not_hold_up_another() {
    let mut lab = Lab::with(limits(1, None));
    lab.place("erp").always = Act::ApplyAndHang;
    lab.toy("slow", 1, "erp");
    lab.toy("slower", 1, "erp");
    let quick = lab.toy("quick", 3, "shop");
    lab.close(&quick, Duration::seconds(1));
}

fn once(operation: &str) -> Vec<Step> {
    vec![Step { operation: operation.into(), ..step("erp") }]
}

#[test]
fn a_backlog_drains_by_urgency() {
    let mut lab = Lab::with(limits(1, None));
    lab.script("erp", [Act::Turn(Some(15))]);
    lab.order("first", "ship", "ground", &once("erp.create_order"));
    lab.run_for(Duration::seconds(1));
    // The least urgent first, so that the order of arrival says nothing.
    let backlog = [
        ("status", "ship", "ground", "storefront.export_status"),
        ("create", "ship", "ground", "erp.create_order"),
        ("express", "ship", "Express 24h", "erp.create_order"),
        ("pickup", "pickup", "store", "wms.release"),
        ("void", "ship", "ground", "payment.void"),
    ];
    for (number, delivery, method, operation) in backlog {
        lab.order(number, delivery, method, &once(operation));
        lab.run_for(Duration::seconds(1));
    }
    lab.run_for(Duration::minutes(1));
    let drained: Vec<String> = lab.sends("erp").iter().skip(1).map(|s| s.reference["ch/de/".len()..].to_owned()).collect();
    let first = drained.iter().position(|n| n == "first").expect("it is retried");
    let others: Vec<&str> = drained.iter().enumerate().filter(|(n, _)| *n != first).map(|(_, s)| s.as_str()).collect();
    assert_eq!(others, ["void", "pickup", "express", "create", "status"]);
}

#[test]
fn nothing_starves_behind_what_is_more_urgent() {
    let mut lab = Lab::with(limits(1, None));
    lab.place("erp").takes = Duration::seconds(1);
    lab.order("status", "ship", "ground", &once("storefront.export_status"));
    lab.order("void-0", "ship", "ground", &once("payment.void"));
    // One more urgent call a second, for ever: exactly what the system can do.
    for n in 1..300 {
        lab.order(&format!("void-{n}"), "ship", "ground", &once("payment.void"));
        lab.run_for(Duration::seconds(1));
        if n == 1 {
            lab.order("late", "ship", "ground", &once("storefront.export_status"));
        }
    }
    let sent = |number: &str| lab.sends("erp").iter().find(|s| s.reference == format!("ch/de/{number}")).map(|s| s.at);
    let late: Timestamp = sent("late").expect("it was starved");
    assert!(late - T0 < Duration::seconds(130), "it waited {}", late - T0);
}

#[test]
fn a_backlog_beyond_the_window_is_not_lost() {
    let default = Setting { limits: Limits { concurrency: 4, ..Limits::default() }, ..Setting::default() };
    let config = crossdock_engine::core::Config { window: 16, inbox_window: 24, lanes_max: 10, ..default.config.clone() };
    let mut lab = Lab::with(Setting { config, ..default });
    lab.script("erp", [Act::Turn(Some(60))]);
    for n in 0..300 {
        lab.toy(&n.to_string(), 2, "erp");
    }
    lab.run_for(Duration::seconds(30));
    assert!(lab.core.lanes_in_memory() <= 10 + 4 + 2, "{} lanes in memory", lab.core.lanes_in_memory());
    assert!(lab.core.inbox_depth().0 <= 24);
    lab.run_for(Duration::minutes(5));
    assert_eq!(lab.sends("erp").len(), 601);
    for n in 0..300 {
        assert_eq!(crate::kit::status(&lab.store, &key(&n.to_string())), "closed", "toy {n}");
    }
}
