//! Effects that the flow no longer calls for: what may have been applied is asked after, nothing is sent anew.

use crate::{
    kit::{Lab, SETTLING, Setting},
    town::Act,
};
use crossdock_canonical::Duration;
use crossdock_connect::Identity;
use crossdock_flows::Answer;
use crossdock_store::{EffectState, ProcessKey};
use crossdock_value::value;

const SECOND: Duration = Duration::seconds(1);

impl Lab {
    fn no_longer_wants(&mut self, step: &str) {
        self.message("1", "toy.drop", None, format!(r#"{{"step": "{step}"}}"#).as_bytes());
    }

    fn wants_again(&mut self, step: &str) {
        self.message("1", "toy.want", None, format!(r#"{{"step": "{step}"}}"#).as_bytes());
    }

    fn is_withdrawn(&self, process: &ProcessKey) -> bool {
        self.effect(process, "one").is_withdrawn() && self.state(process).withdrawn == ["one"]
    }
}

#[test]
fn what_was_never_applied_and_is_no_longer_wanted_is_never_sent_again() {
    // How the call ends before the flow thinks otherwise, with what the effect is known by.
    let cases = [
        (Act::Drop, Identity::UniqueReference, 1),
        (Act::Drop, Identity::LookupOnly, 1),
        (Act::Fail, Identity::NativeKey, 1),
        (Act::Turn(Some(60)), Identity::UniqueReference, 0),
        (Act::Turn(None), Identity::None, 0),
    ];
    for (act, identity, probes) in cases {
        let mut lab = Lab::with(Setting::identity(identity));
        lab.script("erp", [act]);
        let toy = lab.toy("1", 1, "erp");
        lab.run_for(Duration::millis(15));
        lab.no_longer_wants("one");
        lab.run_for(Duration::minutes(10));
        assert!(lab.is_withdrawn(&toy), "{act:?} {identity:?}: {:?} {:?}", lab.effects(&toy), lab.exceptions(&toy));
        assert_eq!((lab.sends("erp").len(), lab.probes("erp").len(), lab.applied("erp")), (1, probes, 0), "{act:?} {identity:?}");
        assert_eq!(lab.classes(&toy), Vec::<String>::new(), "{act:?} {identity:?}");
    }
}

#[test]
fn what_no_slot_was_free_for_is_not_sent_once_it_is_no_longer_wanted() {
    let mut setting = Setting::default();
    setting.limits.concurrency = 1;
    let mut lab = Lab::with(setting);
    lab.place("erp").takes = Duration::seconds(2);
    lab.toy("0", 1, "erp");
    lab.run_for(Duration::millis(100));
    let toy = lab.toy("1", 1, "erp");
    lab.run_for(Duration::millis(100));
    lab.no_longer_wants("one");
    lab.run_for(Duration::minutes(1));
    assert!(lab.is_withdrawn(&toy), "{:?}", lab.effects(&toy));
    assert_eq!(lab.sends("erp").len(), 1);
}

#[test]
fn what_was_applied_is_found_though_it_is_no_longer_wanted() {
    let mut lab = Lab::new();
    lab.script("erp", [Act::ApplyAndDrop]);
    let toy = lab.toy("1", 1, "erp");
    lab.run_for(SECOND);
    lab.no_longer_wants("one");
    lab.run_for(Duration::minutes(5));
    assert_eq!(lab.effect_state(&toy, "one"), EffectState::Done);
    assert_eq!((lab.sends("erp").len(), lab.applied("erp")), (1, 1));
    assert_eq!(lab.state(&toy).ended["one"], "done", "the flow hears of it, to undo it");
}

#[test]
fn after_a_crash_an_unwanted_effect_is_asked_after_even_where_its_key_could_be_repeated() {
    let mut lab = Lab::with(Setting::identity(Identity::NativeKey));
    lab.place("erp").takes = Duration::seconds(2);
    lab.script("erp", [Act::Drop]);
    let toy = lab.toy("1", 1, "erp");
    lab.run_for(Duration::millis(500));
    lab.no_longer_wants("one");
    lab.run_for(Duration::millis(500));
    lab.crash();
    lab.run_for(SETTLING);
    lab.run_for(Duration::minutes(1));
    assert!(lab.is_withdrawn(&toy), "{:?}", lab.effects(&toy));
    assert_eq!((lab.sends("erp").len(), lab.applied("erp")), (1, 0));
    let probes = lab.probes("erp");
    assert!(
        !probes.is_empty() && probes.iter().all(|probe| probe.args == r#"{"step":"one"}"#),
        "asked with what was asked for: {probes:?}"
    );
}

#[test]
fn what_cannot_be_asked_after_is_left_to_a_person_and_not_repeated() {
    let mut lab = Lab::with(Setting { probes: false, ..Setting::identity(Identity::NativeKey) });
    lab.script("erp", [Act::Drop]);
    let toy = lab.toy("1", 1, "erp");
    lab.run_for(Duration::millis(15));
    lab.no_longer_wants("one");
    lab.run_for(Duration::minutes(5));
    assert_eq!((lab.effect_state(&toy, "one"), lab.classes(&toy)), (EffectState::Parked, vec!["unknown_unresolved".to_owned()]));
    assert_eq!(lab.sends("erp").len(), 1);
}

#[test]
fn called_for_again_it_is_sent_and_applied_once() {
    for act in [Act::Drop, Act::Turn(Some(60))] {
        let mut lab = Lab::new();
        lab.script("erp", [act]);
        let toy = lab.toy("1", 1, "erp");
        lab.run_for(Duration::millis(15));
        lab.no_longer_wants("one");
        lab.run_for(Duration::minutes(10));
        assert!(lab.is_withdrawn(&toy), "{act:?}");
        lab.wants_again("one");
        lab.close(&toy, Duration::minutes(5));
        assert_eq!((lab.sends("erp").len(), lab.applied("erp")), (2, 1), "{act:?}");
    }
}

/// The flow has heard its refusal and names it no more; a person's word is enough.
#[test]
fn a_refused_effect_that_a_person_has_retried_is_sent_though_the_flow_has_its_end() {
    let mut lab = Lab::new();
    lab.script("erp", [Act::Refuse, Act::Turn(None)]);
    let toy = lab.toy("1", 1, "erp");
    lab.run_for(SECOND);
    assert_eq!(lab.effect_state(&toy, "one"), EffectState::Refused);
    assert_eq!(lab.command(&toy, "retry", value!({"step": "one"})), Answer::Taken);
    lab.run_for(Duration::minutes(5));
    assert_eq!((lab.effect_state(&toy, "one"), lab.applied("erp")), (EffectState::Done, 1));
    let keys: std::collections::BTreeSet<_> = lab.sends("erp").into_iter().map(|send| send.key).collect();
    assert_eq!(keys.len(), 2, "its bytes carry the key of their generation");
}

#[test]
fn silence_is_flagged_though_the_effect_is_no_longer_wanted() {
    let mut lab = Lab::new();
    lab.script("erp", [Act::ApplyAndDrop]);
    lab.place("erp").look_up = Some(503);
    let toy = lab.toy("1", 1, "erp");
    lab.run_for(SECOND);
    lab.no_longer_wants("one");
    lab.run_for(Duration::minutes(30));
    assert_eq!(lab.classes(&toy), ["silent"]);
}
