//! What time brings: timers, deadlines, silence. All of it is in the store, so a restart forgets none.

use crate::{
    kit::{Lab, Setting, T0, key, step},
    town::Act,
    toy::Step,
};
use crossdock_canonical::{Duration, Timestamp};
use crossdock_store::EffectState;

const MINUTE: Duration = Duration::minutes(1);

fn set(lab: &mut Lab, number: &str, name: &str, due: Option<Timestamp>) {
    let due = due.map_or_else(|| "null".to_owned(), |due| due.0.to_string());
    lab.message(number, "toy.timer", None, format!(r#"{{"name": "{name}", "due": {due}}}"#).as_bytes());
}

#[test]
fn a_timer_fires_at_its_time_and_once() {
    let mut lab = Lab::new();
    let toy = lab.toy("1", 1, "erp");
    set(&mut lab, "1", "a", Some(T0 + Duration::seconds(30)));
    set(&mut lab, "1", "b", Some(T0 + Duration::days(3)));
    lab.run_for(Duration::seconds(29));
    assert!(lab.state(&toy).fired.is_empty());
    lab.run_for(Duration::seconds(2));
    assert_eq!(lab.state(&toy).fired, ["a"]);
    lab.run_for(Duration::days(4));
    assert_eq!(lab.state(&toy).fired, ["a", "b"], "beyond the horizon of memory");
}

#[test]
fn timers_survive_a_restart_and_one_that_came_due_meanwhile_fires() {
    let mut lab = Lab::new();
    let toy = lab.toy("1", 1, "erp");
    set(&mut lab, "1", "a", Some(T0 + Duration::seconds(30)));
    set(&mut lab, "1", "b", Some(T0 + Duration::minutes(30)));
    lab.run_for(Duration::seconds(5));
    lab.sim.now = T0 + MINUTE;
    lab.crash();
    lab.run_for(Duration::seconds(1));
    assert_eq!(lab.state(&toy).fired, ["a"]);
    lab.run_for(Duration::minutes(30));
    assert_eq!(lab.state(&toy).fired, ["a", "b"]);
}

#[test]
fn a_moved_timer_fires_only_at_its_new_time_and_a_cancelled_one_never() {
    let mut lab = Lab::new();
    let toy = lab.toy("1", 1, "erp");
    set(&mut lab, "1", "moved", Some(T0 + Duration::seconds(30)));
    set(&mut lab, "1", "cancelled", Some(T0 + Duration::seconds(30)));
    lab.run_for(Duration::seconds(10));
    set(&mut lab, "1", "moved", Some(T0 + Duration::seconds(90)));
    set(&mut lab, "1", "cancelled", None);
    lab.run_for(Duration::seconds(75));
    assert!(lab.state(&toy).fired.is_empty());
    lab.run_for(Duration::seconds(10));
    assert_eq!(lab.state(&toy).fired, ["moved"]);
}

#[test]
fn a_timer_set_while_timers_are_being_read_is_not_late() {
    // With every timer a few steps before or after the reads, one falls into each gap.
    for ms in 0..40 {
        let default = Setting::default();
        let config = crossdock_engine::core::Config { timer_horizon: Duration::seconds(10), ..default.config.clone() };
        let mut lab = Lab::with(Setting { config, ..default });
        let toy = lab.toy("1", 1, "erp");
        lab.run_for(Duration(4_980 + ms));
        let due = lab.now + Duration::seconds(9);
        set(&mut lab, "1", "a", Some(due));
        lab.run_for(Duration::seconds(10));
        assert_eq!(lab.state(&toy).fired, ["a"], "set {ms} ms into the reading");
    }
}

#[test]
fn more_timers_at_one_instant_than_memory_holds_all_fire() {
    let mut lab = Lab::new();
    let due = T0 + Duration::minutes(3);
    for n in 0..21_000 {
        lab.deliver_quietly(n, due);
    }
    lab.run_for(Duration::minutes(2));
    lab.crash();
    lab.run_for(Duration::minutes(20));
    let late = (0..21_000).find(|n| lab.state(&key(&n.to_string())).fired.is_empty());
    assert_eq!(late, None);
}

/// Scenario 6: stuck with no error; flagged within its deadline, naming the missing hop.
#[test]
fn scenario_06_silence_beyond_the_deadline_is_an_exception_that_names_the_hop_and_closes_when_it_answers() {
    let mut lab = Lab::new();
    lab.script("erp", [Act::Accept]);
    lab.place("erp").look_up = Some(503);
    let toy = lab.toy_with("1", vec![Step { deadline_ms: 60_000, ..step("erp") }]);
    lab.run_for(Duration::seconds(61));
    assert!(lab.classes(&toy).is_empty());
    lab.run_for(Duration::seconds(10));
    let (_, silent) = lab.exceptions(&toy).pop().expect("it is flagged");
    assert_eq!((&*silent.class, &*silent.step, &*silent.system), ("silent", "one", "erp"));
    assert!(silent.cause.contains("erp") && silent.cause.contains("one") && silent.cause.contains("65s"), "{}", silent.cause);
    lab.place("erp").look_up = None;
    lab.close(&toy, Duration::minutes(5));
    assert!(lab.classes(&toy).is_empty());
}

#[test]
fn silence_is_noticed_after_a_restart_and_behind_an_open_breaker() {
    let mut lab = Lab::new();
    lab.place("erp").always = Act::Turn(Some(3_000));
    let toys: Vec<_> = (0..3).map(|n| lab.toy_with(&n.to_string(), vec![Step { deadline_ms: 60_000, ..step("erp") }])).collect();
    lab.run_for(Duration::seconds(10));
    lab.crash();
    lab.run_for(Duration::seconds(60));
    for toy in &toys {
        assert_eq!(lab.classes(toy), ["silent"], "{toy}");
        assert_eq!(lab.effect_state(toy, "one"), EffectState::Pending, "it is still tried");
    }
}

#[test]
fn silence_of_another_process_is_noticed_too() {
    let mut lab = Lab::new();
    // Nobody is there to answer: the asked process is blocked by a message that cannot be read.
    lab.message("deaf", "toy.placed", None, b"poison");
    let toy = lab.toy("1", 1, "erp");
    lab.message("1", "toy.ask", None, br#"{"whom": "ch/de/1"}"#);
    lab.run_for(Duration::seconds(5));
    assert_eq!(lab.state(&toy).asked["ch/de/1"], "done", "a process may even ask itself");
}

#[test]
fn a_quick_order_leaves_no_timer_behind() {
    let mut lab = Lab::new();
    let toy = lab.toy("1", 3, "erp");
    lab.close(&toy, MINUTE);
    assert!(lab.load(&toy).timers.is_empty());
    let version = lab.load(&toy).version;
    lab.run_for(Duration::hours(1));
    assert_eq!(lab.load(&toy).version, version);
}

#[test]
fn each_of_several_deadlines_is_noticed() {
    let mut lab = Lab::new();
    lab.place("erp").always = Act::Turn(Some(3_000));
    let script = [60_000, 30_000, 90_000].map(|deadline_ms| Step { deadline_ms, at_once: true, ..step("erp") });
    let toy = lab.toy_with("1", script.to_vec());
    for (after, flagged) in [(30, 0), (36, 1), (60, 1), (66, 2), (96, 3)] {
        let until = T0 + Duration::seconds(after);
        lab.run(until, |_| false);
        assert_eq!(lab.classes(&toy).len(), flagged, "after {after} s");
    }
}

/// The timer is due while the commit that cancels it is under way: it is in the lane's queue already.
#[test]
fn a_timer_cancelled_at_its_very_moment_does_not_fire() {
    let mut lab = Lab::new();
    let toy = lab.toy("1", 1, "erp");
    let due = T0 + Duration::seconds(30);
    set(&mut lab, "1", "a", Some(due));
    lab.run(due - Duration(1), |_| false);
    set(&mut lab, "1", "a", None);
    lab.run_for(MINUTE);
    assert_eq!(lab.state(&toy).fired, Vec::<String>::new());
}
