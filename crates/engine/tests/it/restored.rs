//! A store put back to an older point: what a run that it knows nothing of has sent is found, and not done a second time.

use crate::{
    kit::{Lab, Setting},
    town::{Act, Applied},
};
use crossdock_canonical::Duration;
use crossdock_connect::Identity;
use crossdock_engine::core::Config;
use crossdock_store::EffectState;
use crossdock_value::value;

const MINUTE: Duration = Duration::minutes(1);

fn setting(identity: Identity, key_lifetime: Option<Duration>, restored: bool) -> Setting {
    Setting { config: Config { restored, ..Config::default() }, key_lifetime, ..Setting::identity(identity) }
}

/// What a hub has done in a system in the time that the restored store has lost.
fn lost_time(identity: Identity) -> Vec<Applied> {
    let mut lab = Lab::with(Setting::identity(identity));
    let toy = lab.toy("1", 1, "erp");
    lab.close(&toy, MINUTE);
    lab.place("erp").applied.clone()
}

#[test]
fn what_was_sent_in_the_lost_time_is_found_and_not_sent_again() {
    let hour = Some(Duration::hours(1));
    for (identity, lifetime) in [
        (Identity::UniqueReference, None),
        (Identity::LookupOnly, None),
        (Identity::NativeKey, hour),
        (Identity::NativeKey, None),
    ] {
        let mut lab = Lab::with(setting(identity, lifetime, true));
        lab.place("erp").applied = lost_time(identity);
        let (lost, new) = (lab.toy("1", 1, "erp"), lab.toy("2", 1, "erp"));
        lab.close(&lost, MINUTE);
        lab.close(&new, MINUTE);
        assert_eq!(lab.applied("erp"), 2, "{identity:?}: one was there, the other was not");
        // A key that is kept for ever needs no question.
        let asked = identity != Identity::NativeKey || lifetime.is_some();
        let expected = if asked { (2, 1) } else { (0, 2) };
        assert_eq!((lab.probes("erp").len(), lab.sends("erp").len()), expected, "{identity:?}");
    }
}

#[test]
fn without_the_word_a_system_that_keeps_no_keys_would_be_sent_it_twice() {
    let mut lab = Lab::with(setting(Identity::LookupOnly, None, false));
    lab.place("erp").applied = lost_time(Identity::LookupOnly);
    let toy = lab.toy("1", 1, "erp");
    lab.close(&toy, MINUTE);
    assert_eq!(lab.applied("erp"), 2, "this is what restoring is about");
}

#[test]
fn what_cannot_be_asked_after_waits_for_a_person_who_is_asked_once() {
    let mut lab = Lab::with(setting(Identity::None, None, true));
    let toy = lab.toy("1", 1, "erp");
    lab.run_for(MINUTE);
    assert_eq!((lab.effect_state(&toy, "one"), lab.sends("erp").len()), (EffectState::Parked, 0));
    assert_eq!(lab.classes(&toy), ["unknown_unresolved"]);
    lab.command(&toy, "retry", value!({"step": "one"}));
    lab.close(&toy, MINUTE);
    assert_eq!((lab.sends("erp").len(), lab.applied("erp")), (1, 1));
}

#[test]
fn an_absent_effect_is_sent_once_and_an_unclear_answer_is_asked_after_as_ever() {
    let mut lab = Lab::with(setting(Identity::UniqueReference, None, true));
    lab.script("erp", [Act::ApplyAndDrop]);
    let toy = lab.toy("1", 1, "erp");
    lab.close(&toy, Duration::minutes(3));
    assert_eq!((lab.probes("erp").len(), lab.sends("erp").len(), lab.applied("erp")), (2, 1, 1));
}
