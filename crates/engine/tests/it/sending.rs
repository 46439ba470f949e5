//! One effect, as far as the system allows: intent, unclear ends, probes, generations, identities.

use crate::{
    kit::{Lab, SETTLING, Setting, TIMEOUT, step},
    town::{Act, Applied},
    toy::Step,
};
use crossdock_canonical::Duration;
use crossdock_connect::Identity;
use crossdock_engine::{core::Config, simulated::CommitFault};
use crossdock_flows::Answer;
use crossdock_store::{EffectState, ProcessKey};
use crossdock_value::value;

const MINUTE: Duration = Duration::minutes(1);

/// `Lab` checks with every request that its intent is on disk; here it is seen to be there before anything was sent.
#[test]
fn an_intent_is_durable_before_the_send() {
    let mut lab = Lab::new();
    let toy = lab.toy("1", 1, "erp");
    let store = lab.store.clone();
    let until = lab.now + MINUTE;
    let key = toy.clone();
    lab.run(until, move |_| crate::kit::status(&store, &key) == "open");
    let effect = lab.effect(&toy, "one");
    assert_eq!((effect.state, effect.generation, effect.key.len()), (EffectState::Pending, 1, 32));
    assert!(lab.sends("erp").is_empty(), "it left before its intent was committed");
    lab.close(&toy, MINUTE);
    let request = lab.effect(&toy, "one").request.expect("the exact bytes are archived");
    let bytes =
        crossdock_engine::simulated::at_once(crossdock_store::Store::payload(&*lab.store, &toy, &request)).expect("it answers");
    assert!(bytes.is_some_and(|bytes| bytes.starts_with(b"erp.create_order ch/de/1 ")));
}

/// While commits are slow an effect is read from the store as due although its turn has come: it waits in its lane twice, and between
/// the two its call begins and ends.
#[test]
fn what_comes_due_again_while_its_lane_is_busy_is_not_sent_again() {
    let mut lab = Lab::with(Setting::identity(Identity::LookupOnly));
    lab.place("erp").takes = Duration::seconds(2);
    lab.fail_commits([CommitFault::None, CommitFault::Slow(Duration::seconds(15)), CommitFault::Slow(Duration::seconds(5))]);
    let toy = lab.toy("1", 1, "erp");
    lab.note("1", 1);
    lab.run_for(Duration::seconds(1));
    lab.note("1", 2);
    lab.close(&toy, MINUTE);
    assert_eq!((lab.sends("erp").len(), lab.applied("erp")), (1, 1));
    assert_eq!(lab.state(&toy).notes, [1, 2]);
}

#[test]
fn what_happens_once_is_done_once_and_the_next_step_follows_in_the_same_transition() {
    let mut lab = Lab::new();
    let toy = lab.toy("1", 3, "erp");
    lab.close(&toy, MINUTE);
    assert_eq!(lab.sends("erp").len(), 3);
    // Placed with the first intent; each outcome with the next intent.
    assert_eq!(lab.load(&toy).version, 4);
}

#[test]
fn a_lost_answer_is_probed_after_the_settling_time_and_never_resent_before() {
    for identity in [Identity::UniqueReference, Identity::LookupOnly] {
        let mut lab = Lab::with(Setting::identity(identity));
        lab.script("erp", [Act::ApplyAndDrop]);
        lab.place("erp").hidden = Duration(SETTLING.0 - 1);
        let toy = lab.toy("1", 1, "erp");
        lab.close(&toy, MINUTE);
        assert_eq!((lab.sends("erp").len(), lab.probes("erp").len(), lab.applied("erp")), (1, 1, 1), "{identity:?}");
        let (sent, probed) = (lab.sends("erp")[0].until, lab.probes("erp")[0].at);
        assert!(probed - sent >= SETTLING, "{identity:?} was asked {} after the unclear end", probed - sent);
        assert_eq!(lab.effect(&toy, "one").generation, 1);
    }
}

#[test]
fn a_timeout_counts_from_when_it_was_given_up() {
    let mut lab = Lab::new();
    lab.script("erp", [Act::ApplyAndHang]);
    let toy = lab.toy("1", 1, "erp");
    lab.close(&toy, MINUTE);
    let (sent, probed) = (lab.sends("erp")[0].at, lab.probes("erp")[0].at);
    assert!(probed - sent >= Duration(SETTLING.0 + TIMEOUT.0));
    assert_eq!((lab.sends("erp").len(), lab.applied("erp")), (1, 1));
}

/// Scenario 3: found by our reference, exactly one.
#[test]
fn unknown_is_not_taken_for_failed() {
    let mut lab = Lab::new();
    lab.script("erp", [Act::ApplyAndFail, Act::ApplyAndDrop]);
    let toy = lab.toy("1", 2, "erp");
    lab.run_for(Duration::seconds(5));
    assert_eq!(lab.effect_state(&toy, "one"), EffectState::Unknown);
    assert!(lab.state(&toy).ended.is_empty(), "the flow heard of an end that nobody knows");
    lab.close(&toy, MINUTE);
    assert_eq!((lab.sends("erp").len(), lab.applied("erp")), (2, 1), "a unique reference holds both, so one was applied once");
}

#[test]
fn only_absent_raises_the_generation_and_it_is_on_disk_before_the_next_send() {
    let mut lab = Lab::new();
    lab.script("erp", [Act::Drop, Act::Fail, Act::Apply]);
    let toy = lab.toy("1", 1, "erp");
    lab.close(&toy, Duration::minutes(2));
    let sends = lab.sends("erp");
    let keys: std::collections::BTreeSet<_> = sends.iter().map(|s| s.key.clone()).collect();
    assert_eq!((sends.len(), keys.len(), lab.applied("erp")), (3, 3, 1), "every generation has its own key");
    assert_eq!(lab.effect(&toy, "one").generation, 3);
}

#[test]
fn a_system_that_cannot_say_is_asked_again_and_nothing_is_resent() {
    let mut lab = Lab::new();
    lab.script("erp", [Act::ApplyAndDrop]);
    lab.place("erp").look_up = Some(503);
    let toy = lab.toy("1", 1, "erp");
    lab.run_for(Duration::minutes(5));
    assert!(lab.probes("erp").len() > 3);
    assert_eq!((lab.sends("erp").len(), lab.effect(&toy, "one").generation), (1, 1));
    lab.place("erp").look_up = None;
    lab.close(&toy, Duration::minutes(2));
    assert_eq!(lab.applied("erp"), 1);
}

#[test]
fn what_stays_unclear_is_parked_and_closes_when_a_person_has_it_asked_again() {
    let mut lab = Lab::new();
    lab.script("erp", [Act::ApplyAndDrop]);
    lab.place("erp").look_up = Some(500);
    let toy = lab.toy("1", 1, "erp");
    lab.run_for(Duration::hours(2));
    assert_eq!(lab.classes(&toy), ["unknown_unresolved"]);
    lab.place("erp").look_up = None;
    assert_eq!(lab.command(&toy, "retry", value!({"step": "one"})), Answer::Taken);
    lab.close(&toy, MINUTE);
    assert_eq!((lab.sends("erp").len(), lab.applied("erp"), lab.classes(&toy).len()), (1, 1, 0));
}

#[test]
fn a_system_with_native_keys_gets_the_same_key_again() {
    let mut lab = Lab::with(Setting { probes: false, ..Setting::identity(Identity::NativeKey) });
    lab.script("erp", [Act::ApplyAndDrop, Act::Turn(None), Act::ApplyAndFail]);
    let toy = lab.toy("1", 1, "erp");
    lab.close(&toy, MINUTE);
    let keys: std::collections::BTreeSet<_> = lab.sends("erp").into_iter().map(|s| s.key).collect();
    assert_eq!((lab.sends("erp").len(), keys.len(), lab.applied("erp")), (4, 1, 1));
}

#[test]
fn a_key_that_the_system_may_have_forgotten_is_not_sent_again() {
    let mut lab =
        Lab::with(Setting { probes: false, key_lifetime: Some(Duration::minutes(10)), ..Setting::identity(Identity::NativeKey) });
    lab.script("erp", [Act::ApplyAndDrop]);
    lab.place("erp").always = Act::Turn(Some(700));
    let toy = lab.toy("1", 1, "erp");
    lab.run_for(Duration::hours(2));
    assert_eq!(lab.classes(&toy), ["unknown_unresolved"]);
    let last = lab.sends("erp").last().expect("it was sent").at;
    assert!(last - crate::kit::T0 < Duration::minutes(10));
}

#[test]
fn without_any_identity_an_unclear_effect_waits_for_a_person() {
    let mut lab = Lab::with(Setting::identity(Identity::None));
    lab.script("erp", [Act::ApplyAndDrop]);
    let toy = lab.toy("1", 1, "erp");
    lab.run_for(Duration::hours(3));
    assert_eq!((lab.sends("erp").len(), lab.classes(&toy)), (1, vec!["unknown_unresolved".to_owned()]));
    assert_eq!(lab.command(&toy, "skip", value!({"step": "one", "reason": "it is there, I looked"})), Answer::Taken);
    lab.close(&toy, MINUTE);
    assert_eq!(lab.sends("erp").len(), 1);
}

#[test]
fn a_person_who_looked_may_have_it_sent_again() {
    let mut lab = Lab::with(Setting::identity(Identity::None));
    lab.script("erp", [Act::Drop]);
    let toy = lab.toy("1", 1, "erp");
    lab.run_for(MINUTE);
    assert_eq!(lab.command(&toy, "retry", value!({"step": "one"})), Answer::Taken);
    lab.close(&toy, MINUTE);
    assert_eq!((lab.sends("erp").len(), lab.applied("erp"), lab.classes(&toy).len()), (2, 1, 0));
}

#[test]
fn refused_is_heard_by_the_flow_and_not_retried() {
    let mut lab = Lab::new();
    lab.script("erp", [Act::Refuse]);
    let toy = lab.toy("1", 1, "erp");
    lab.run_for(Duration::hours(1));
    assert_eq!((lab.sends("erp").len(), lab.probes("erp").len()), (1, 0));
    assert_eq!(lab.state(&toy).ended["one"], "refused");
    assert_eq!(lab.classes(&toy), ["refused"]);
    // A person mends it there and retries: a new generation.
    assert_eq!(lab.command(&toy, "retry", value!({"step": "one"})), Answer::Taken);
    lab.close(&toy, MINUTE);
    assert_eq!((lab.effect(&toy, "one").generation, lab.sends("erp").len(), lab.classes(&toy).len()), (2, 2, 0));
}

#[test]
fn accepted_waits_to_its_deadline_and_is_asked_then() {
    let mut lab = Lab::new();
    lab.script("erp", [Act::Accept]);
    let toy = lab.toy_with("1", vec![Step { deadline_ms: 60_000, ..step("erp") }]);
    lab.run_for(Duration::seconds(59));
    assert_eq!((lab.effect_state(&toy, "one"), lab.probes("erp").len()), (EffectState::Accepted, 0));
    lab.close(&toy, Duration::seconds(10));
    assert_eq!((lab.sends("erp").len(), lab.probes("erp").len()), (1, 1));
}

#[test]
fn the_end_of_an_accepted_effect_may_be_told_and_told_twice() {
    let mut lab = Lab::new();
    lab.script("erp", [Act::Accept]);
    let toy = lab.toy("1", 1, "erp");
    lab.run_for(Duration::seconds(2));
    for id in ["a", "a", "b"] {
        lab.message("1", "effect.settled", Some(id), br#"{"step": "one", "intent": "", "outcome": {"class": "done"}}"#);
    }
    lab.close(&toy, Duration::seconds(5));
    lab.run_for(Duration::hours(1));
    assert_eq!((lab.sends("erp").len(), lab.probes("erp").len(), lab.inbox_depth()), (1, 0, 0));
}

#[test]
fn a_system_may_name_an_accepted_effect_by_our_reference() {
    let mut lab = Lab::new();
    lab.script("shop", [Act::Accept]);
    let toy = lab.toy("1", 1, "shop");
    lab.run_for(Duration::seconds(2));
    lab.message("1", "effect.settled", Some("x"), br#"{"reference": "ch/de/2", "outcome": {"class": "done"}}"#);
    lab.run_for(Duration::seconds(2));
    assert_eq!(lab.effect_state(&toy, "one"), EffectState::Accepted, "that was another's");
    lab.message("1", "effect.settled", Some("y"), br#"{"reference": "ch/de/1", "outcome": {"class": "done"}}"#);
    lab.close(&toy, Duration::seconds(5));
}

#[test]
fn an_end_told_before_the_answer_of_the_call_counts_once() {
    let mut lab = Lab::new();
    lab.place("erp").takes = Duration::seconds(3);
    let toy = lab.toy("1", 2, "erp");
    lab.run_for(Duration::seconds(1));
    lab.message("1", "effect.settled", None, br#"{"step": "one", "intent": "", "outcome": {"class": "done"}}"#);
    lab.close(&toy, MINUTE);
    assert_eq!((lab.sends("erp").len(), lab.applied("erp")), (2, 1), "both steps have one reference, so one application");
    assert_eq!(lab.core.health(lab.now)[0].in_flight, 0);
}

#[test]
fn a_late_reversal_is_heard_after_the_process_closed() {
    let mut lab = Lab::new();
    let toy = lab.toy("1", 1, "erp");
    lab.close(&toy, MINUTE);
    lab.message("1", "effect.settled", Some("r"), br#"{"step": "one", "intent": "", "outcome": {"class": "reversed"}}"#);
    lab.run_for(Duration::seconds(5));
    assert_eq!((lab.effect_state(&toy, "one"), lab.classes(&toy)), (EffectState::Reversed, vec!["reversed".to_owned()]));
}

#[test]
fn reconciliation_finds_what_vanished_and_leaves_what_stands() {
    let mut lab = Lab::new();
    let toys: Vec<_> = (0..3).map(|n| lab.toy(&n.to_string(), 1, "erp")).collect();
    for toy in &toys {
        lab.close(toy, MINUTE);
    }
    lab.place("erp").applied.retain(|a| !a.reference.starts_with("ch/de/1 "));
    lab.crash();
    lab.run_for(MINUTE);
    for toy in &toys {
        lab.reconcile(toy);
    }
    lab.run_for(MINUTE);
    let probes = lab.probes("erp");
    assert_eq!(probes.len(), 3);
    assert!(probes.iter().all(|probe| probe.args == r#"{"step":"one"}"#), "asked with what was asked for: {probes:?}");
    let states: Vec<_> = toys.iter().map(|toy| lab.effect_state(toy, "one")).collect();
    assert_eq!(states, [EffectState::Done, EffectState::Reversed, EffectState::Done]);
    assert_eq!((lab.classes(&toys[1]), lab.sends("erp").len()), (vec!["reversed".to_owned()], 3));
}

#[test]
fn a_late_copy_in_a_system_that_cannot_refuse_repeats_is_found_by_reconciliation() {
    let mut lab = Lab::with(Setting::identity(Identity::LookupOnly));
    // Slower than it said it could be.
    lab.script("erp", [Act::ApplyAndDrop]);
    lab.place("erp").hidden = Duration(SETTLING.0 * 3);
    let toy = lab.toy("1", 1, "erp");
    lab.close(&toy, MINUTE);
    assert_eq!((lab.applied("erp"), lab.classes(&toy)), (2, Vec::<String>::new()));
    lab.run_for(MINUTE);
    for _ in 0..2 {
        lab.reconcile(&toy);
        lab.run_for(MINUTE);
        assert_eq!(lab.classes(&toy), ["applied_twice"]);
    }
    assert_eq!(lab.effect_state(&toy, "one"), EffectState::Done, "one of them is ours");
    lab.place("erp").applied.pop();
    assert_eq!(lab.command(&toy, "skip", value!({"step": "one", "reason": "cancelled the copy"})), Answer::Taken);
    lab.reconcile(&toy);
    lab.run_for(MINUTE);
    assert_eq!((lab.classes(&toy), lab.applied("erp")), (Vec::<String>::new(), 1));
}

/// A system that was slower than it said it could be has an effect twice.
fn applied_twice(setting: Setting) -> (Lab, ProcessKey) {
    let mut lab = Lab::with(Setting { retracts: true, ..setting });
    lab.script("erp", [Act::ApplyAndDrop]);
    lab.place("erp").hidden = Duration(SETTLING.0 * 3);
    let toy = lab.toy("1", 1, "erp");
    lab.close(&toy, MINUTE);
    assert_eq!((lab.applied("erp"), lab.classes(&toy)), (2, Vec::<String>::new()));
    (lab, toy)
}

#[test]
fn a_copy_is_parked_then_taken_back_and_its_exception_closes_when_it_is_gone() {
    let (mut lab, toy) = applied_twice(Setting::identity(Identity::LookupOnly));
    lab.run_for(MINUTE);
    lab.reconcile(&toy);
    lab.run_for(MINUTE);
    let place = lab.place("erp");
    assert_eq!((place.applied.len(), place.taken_back), (1, 1));
    assert_eq!(lab.classes(&toy), Vec::<String>::new());
    assert_eq!((lab.effect_state(&toy, "one"), lab.sends("erp").len()), (EffectState::Done, 2));
    let actions = lab.actions(&toy);
    let of_copies: Vec<&str> =
        actions.iter().map(String::as_str).filter(|a| a.starts_with("audit") || a.starts_with("retract")).collect();
    assert_eq!(of_copies, ["audit one several", "retract copies of one done", "audit one complete"]);
}

#[test]
fn a_copy_that_its_system_keeps_stays_parked_and_is_tried_once_each_time_reconciliation_comes_by() {
    let (mut lab, toy) = applied_twice(Setting::identity(Identity::LookupOnly));
    lab.place("erp").always = Act::Refuse;
    lab.run_for(MINUTE);
    for cycle in 1..=3 {
        lab.reconcile(&toy);
        lab.run_for(MINUTE);
        assert_eq!((lab.classes(&toy), lab.retracts("erp")), (vec!["applied_twice".to_owned()], cycle));
    }
    assert!(lab.exceptions(&toy)[0].1.cause.ends_with("does not cancel the copies: kept"));
    lab.place("erp").always = Act::Apply;
    lab.reconcile(&toy);
    lab.run_for(MINUTE);
    assert_eq!((lab.classes(&toy), lab.place("erp").applied.len()), (Vec::new(), 1));
}

#[test]
fn a_copy_that_comes_after_the_end_is_found_by_the_next_cycle_and_taken_back() {
    let every = Duration::minutes(5);
    let config = Config { reconcile_every: Some(every), ..Config::default() };
    let mut lab = Lab::with(Setting { retracts: true, config, ..Setting::identity(Identity::LookupOnly) });
    let toy = lab.toy("1", 1, "erp");
    lab.close(&toy, MINUTE);
    lab.run_for(Duration::minutes(33));
    assert!(!lab.load(&toy).timers.is_empty(), "it is still asked about");
    lab.crash();
    let copy = Applied { key: "late".into(), ..lab.place("erp").applied[0].clone() };
    lab.place("erp").applied.push(copy);
    lab.run_for(every);
    assert_eq!((lab.applied("erp"), lab.place("erp").taken_back), (1, 1));
    assert_eq!(lab.classes(&toy), Vec::<String>::new());
    lab.run_for(Duration::minutes(40));
    assert!(lab.load(&toy).timers.is_empty(), "nothing can come any more");
    let asked = lab.probes("erp").len();
    lab.run_for(Duration::hours(2));
    assert_eq!(lab.probes("erp").len(), asked);
}

#[test]
fn a_copy_found_while_the_end_is_in_doubt_does_not_hold_up_the_process() {
    let mut lab = Lab::with(Setting::identity(Identity::LookupOnly));
    lab.script("erp", [Act::ApplyAndDrop, Act::ApplyAndDrop]);
    lab.place("erp").hidden = Duration(SETTLING.0 + 300);
    let toy = lab.toy("1", 1, "erp");
    lab.run_for(Duration(SETTLING.0 / 2));
    lab.place("erp").hidden = Duration(0);
    lab.close(&toy, MINUTE);
    assert_eq!((lab.applied("erp"), lab.classes(&toy)), (2, vec!["applied_twice".to_owned()]));
}

#[test]
fn reconciliation_does_not_believe_absent_before_the_settling_time() {
    let mut lab = Lab::new();
    lab.place("erp").hidden = SETTLING;
    let toy = lab.toy("1", 1, "erp");
    lab.close(&toy, Duration::seconds(1));
    lab.reconcile(&toy);
    lab.run_for(MINUTE);
    assert_eq!(lab.effect_state(&toy, "one"), EffectState::Done);
}

#[test]
fn a_mapping_that_fails_parks_the_effect_and_sends_nothing() {
    let mut lab = Lab::new();
    let toy = lab.toy("unmapped", 1, "erp");
    lab.run_for(MINUTE);
    assert_eq!((lab.classes(&toy), lab.sends("erp").len()), (vec!["mapping".to_owned()], 0));
    lab.mend();
    assert_eq!(lab.command(&toy, "retry", value!({"step": "one"})), Answer::Taken);
    lab.close(&toy, MINUTE);
    assert_eq!((lab.sends("erp").len(), lab.effect(&toy, "one").generation), (1, 1));
}

#[test]
fn a_retry_by_a_person_does_not_ask_before_the_settling_time() {
    let mut lab = Lab::with(Setting::identity(Identity::LookupOnly));
    lab.script("erp", [Act::ApplyAndDrop]);
    lab.place("erp").hidden = Duration(SETTLING.0 - 1);
    let toy = lab.toy("1", 1, "erp");
    lab.run_for(Duration::seconds(2));
    assert_eq!(lab.command(&toy, "retry", value!({"step": "one"})), Answer::Taken);
    lab.close(&toy, MINUTE);
    assert_eq!((lab.applied("erp"), lab.sends("erp").len()), (1, 1));
}

#[test]
fn a_restart_asks_only_when_a_lost_send_must_have_become_visible() {
    let mut lab = Lab::with(Setting::identity(Identity::LookupOnly));
    lab.place("erp").hidden = Duration(SETTLING.0 - 1);
    lab.place("erp").takes = Duration::seconds(3);
    let toy = lab.toy("1", 1, "erp");
    let until = lab.now + MINUTE;
    lab.run(until, |sim| !sim.network.arrivals.is_empty());
    lab.crash();
    lab.close(&toy, MINUTE);
    assert_eq!((lab.applied("erp"), lab.sends("erp").len()), (1, 1));
}

#[test]
fn the_same_id_for_two_processes_is_an_exception_and_does_not_spin() {
    let mut lab = Lab::new();
    let (a, b) = (lab.toy("same-id-a", 1, "erp"), lab.toy("same-id-b", 1, "erp"));
    lab.run_for(MINUTE);
    assert_eq!((lab.effect_state(&a, "one"), lab.effect_state(&b, "one")), (EffectState::Done, EffectState::Done));
    let classes = [lab.classes(&a), lab.classes(&b)].concat();
    assert_eq!(classes, ["constraint"]);
    let owner = if lab.classes(&a).is_empty() { &b } else { &a };
    assert_eq!(lab.command(&owner.clone(), "skip", value!({"step": "one", "reason": "merged by the ERP"})), Answer::Taken);
    assert!(lab.classes(&owner.clone()).is_empty());
}

#[test]
fn attempts_and_probes_know_their_arguments_also_after_a_restart() {
    for crash in [false, true] {
        let mut lab = Lab::new();
        lab.script("erp", [Act::Turn(None), Act::ApplyAndDrop]);
        let toy = lab.toy("1", 1, "erp");
        lab.run_for(Duration::seconds(5));
        if crash {
            lab.crash();
        }
        lab.close(&toy, MINUTE);
        let args: Vec<_> = lab.network.arrivals.iter().map(|arrival| arrival.args.as_str()).collect();
        assert_eq!(args, [r#"{"step":"one"}"#; 3], "crash: {crash}");
    }
}

/// The first effect of an order; `Lab` checks with its request that the order and the intent are on disk.
#[test]
fn exported_is_told_only_after_the_order_is_on_disk() {
    let mut lab = Lab::new();
    let order = lab.order("1", "ship", "ground", &[Step { operation: "storefront.export_status".into(), ..step("shop") }]);
    lab.close(&order, MINUTE);
    assert_eq!(lab.sends("shop").len(), 1);
}

/// Else a system that keeps its answers by key would give the old one for ever.
#[test]
fn the_bytes_of_a_new_generation_carry_its_key() {
    let mut lab = Lab::with(Setting::identity(Identity::NativeKey));
    lab.script("erp", [Act::Drop]);
    let toy = lab.toy("1", 1, "erp");
    lab.close(&toy, MINUTE);
    let keys: Vec<String> = lab.sends("erp").into_iter().map(|send| send.key).collect();
    assert_eq!((keys.len(), keys.last()), (2, Some(&lab.effect(&toy, "one").key.to_string())));
    assert_ne!(keys[0], keys[1]);
}
