//! The hub dies after every single step of a run, for every kind of system: each effect is applied once, nothing stays open.

use crate::{
    kit::{Lab, SETTLING, Setting, step},
    town::Act,
    toy::Step,
};
use crossdock_canonical::Duration;
use crossdock_connect::Identity;
use crossdock_store::ProcessKey;

fn start(identity: Identity, acts: &[Act]) -> (Lab, ProcessKey) {
    let mut lab = Lab::with(Setting { systems: vec!["a", "b", "c", "shop"], ..Setting::identity(identity) });
    for system in ["a", "b", "c"] {
        lab.script(system, acts.iter().copied());
        lab.place(system).hidden = Duration(SETTLING.0 - 1);
    }
    let script = ["a", "b", "c"].map(|system| Step { deadline_ms: 60_000, ..step(system) });
    let toy = lab.toy_with("1", script.to_vec());
    lab.message("1", "toy.note", Some("n"), br#"{"n": 1}"#);
    (lab, toy)
}

fn crash_everywhere(identity: Identity, acts: &[Act]) -> u64 {
    let steps = {
        let (mut lab, toy) = start(identity, acts);
        lab.close(&toy, Duration::minutes(20));
        lab.steps
    };
    for nth in 0..steps {
        let (mut lab, toy) = start(identity, acts);
        let until = lab.now + Duration::minutes(20);
        lab.run(until, |sim| sim.steps >= nth);
        lab.crash();
        lab.close(&toy, Duration::minutes(20));
        for system in ["a", "b", "c"] {
            assert_eq!(lab.applied(system), 1, "{identity:?} {acts:?}, crash at step {nth}: {system} applied it so often");
        }
        lab.run_for(Duration::seconds(30));
        assert_eq!((lab.state(&toy).notes, lab.inbox_depth()), (vec![1], 0), "{identity:?} {acts:?}, crash at step {nth}");
    }
    steps
}

#[test]
fn a_crash_at_any_step_leaves_each_effect_applied_once() {
    for identity in [Identity::NativeKey, Identity::UniqueReference, Identity::LookupOnly] {
        for acts in [&[][..], &[Act::ApplyAndDrop], &[Act::Drop], &[Act::Turn(None), Act::ApplyAndFail], &[Act::Accept]] {
            let steps = crash_everywhere(identity, acts);
            assert!(steps > 12, "{identity:?} {acts:?}: only {steps} steps");
        }
    }
}

#[test]
fn scenario_27_two_crashes_in_a_row_do_no_more_harm_than_one() {
    for nth in 0..60 {
        let (mut lab, toy) = start(Identity::LookupOnly, &[Act::ApplyAndDrop]);
        for _ in 0..2 {
            let until = lab.now + Duration::minutes(5);
            let steps = lab.steps + nth;
            lab.run(until, |sim| sim.steps >= steps);
            lab.crash();
        }
        lab.close(&toy, Duration::minutes(20));
        assert_eq!(["a", "b", "c"].map(|system| lab.applied(system)), [1; 3], "crashes {nth} steps apart");
    }
}

#[test]
fn one_seed_gives_one_trace() {
    let run = || {
        let (mut lab, toy) = start(Identity::UniqueReference, &[Act::Turn(None), Act::Drop]);
        for n in 0..30 {
            lab.toy(&format!("more-{n}"), 3, ["a", "b", "c"][n % 3]);
        }
        lab.run_for(Duration::seconds(3));
        lab.crash();
        lab.close(&toy, Duration::minutes(20));
        lab.run_for(Duration::minutes(5));
        (lab.trace_hash(), lab.steps)
    };
    assert_eq!(run(), run());
}

/// A lane that is read anew (it was put away, or a commit failed) goes by what this run put on disk, not by when the effect was made.
#[test]
fn what_this_run_found_absent_is_sent_however_often_its_lane_is_read_again() {
    let mut setting = Setting::identity(Identity::UniqueReference);
    setting.config.lanes_max = 0;
    let mut lab = Lab::with(setting);
    lab.place("erp").takes = Duration::seconds(2);
    lab.script("erp", [Act::Drop]);
    let toy = lab.toy("1", 1, "erp");
    lab.run_for(Duration::seconds(1));
    lab.crash();
    lab.close(&toy, Duration::minutes(1));
    assert_eq!((lab.applied("erp"), lab.effect(&toy, "one").generation), (1, 2));
}
