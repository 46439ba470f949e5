//! One process, one lane: commits that fail, messages that cannot be read, messages for nobody, commands.

use crate::{
    kit::{Lab, Setting, canonical, key, status},
    town::Act,
};
use crossdock_canonical::{Duration, OrderRef, SystemName};
use crossdock_engine::{
    HubError,
    simulated::{CommitFault, at_once},
};
use crossdock_flows::Answer;
use crossdock_store::{Accepted, Addressee, EffectState, ProcessKey, Store};
use crossdock_value::value;

const MINUTE: Duration = Duration::minutes(1);

#[test]
fn memory_does_not_advance_on_a_failed_commit() {
    for fault in [CommitFault::Refused, CommitFault::Vanished] {
        let mut lab = Lab::new();
        lab.fail_commits([fault, fault]);
        let toy = lab.toy("1", 3, "erp");
        lab.close(&toy, MINUTE);
        assert_eq!((lab.sends("erp").len(), lab.load(&toy).version), (3, 4), "{fault:?}");
    }
}

#[test]
fn every_commit_may_fail_once_and_nothing_is_sent_twice() {
    for fault in [CommitFault::Refused, CommitFault::Vanished, CommitFault::ReplyLost] {
        for nth in 0..5 {
            let mut lab = Lab::new();
            let toy = lab.toy("1", 3, "erp");
            lab.fail_commits(std::iter::repeat_n(CommitFault::None, nth).chain([fault]));
            lab.close(&toy, MINUTE);
            assert_eq!((lab.sends("erp").len(), lab.load(&toy).version), (3, 4), "{fault:?} at commit {nth}");
            assert_eq!(lab.core.health(lab.now)[0].in_flight, 0);
        }
    }
}

#[test]
fn a_lost_commit_reply_is_looked_up() {
    let mut lab = Lab::new();
    lab.fail_commits([CommitFault::ReplyLost]);
    let toy = lab.toy("1", 1, "erp");
    lab.close(&toy, MINUTE);
    let handed = lab.handed.lock().expect("one thread").len();
    assert_eq!(handed, 2, "it was committed, so it is not handed in again");
}

#[test]
fn a_core_with_a_stale_epoch_neither_writes_nor_sends() {
    let mut lab = Lab::new();
    let toy = lab.toy("1", 3, "erp");
    let until = lab.now + MINUTE;
    lab.run(until, |sim| !sim.network.arrivals.is_empty());
    // Another node takes the partitions over.
    crossdock_engine::simulated::at_once(lab.store.lease("other", lab.now)).expect("it answers");
    let before = lab.load(&toy).version;
    lab.run_for(MINUTE);
    assert!(!lab.core.owns(toy.partition()) && lab.superseded.contains(&toy.partition()));
    assert_eq!((lab.load(&toy).version, lab.sends("erp").len()), (before, 1));
    lab.crash();
    lab.close(&toy, MINUTE);
    assert_eq!(lab.applied("erp"), 1);
}

#[test]
fn a_message_is_folded_once_however_often_it_comes() {
    let mut lab = Lab::new();
    let toy = lab.toy("1", 1, "erp");
    let answers: Vec<Accepted> = (0..5).map(|_| lab.message("1", "toy.note", Some("m1"), br#"{"n": 7}"#)).collect();
    assert!(matches!(answers[0], Accepted::Stored(_)) && answers[1..].iter().all(|a| *a == Accepted::Duplicate));
    assert_eq!(lab.message("1", "toy.placed", None, b"{}"), Accepted::Duplicate, "a process begins once");
    lab.close(&toy, MINUTE);
    lab.run_for(MINUTE);
    assert_eq!(lab.state(&toy).notes, [7]);
}

/// Scenario 32: parked with payload and reason; others flow; later messages of the same order wait.
#[test]
fn a_poison_message_blocks_only_its_own_process_and_a_retry_mends_it() {
    let mut lab = Lab::new();
    let (sick, well) = (lab.toy("sick", 1, "erp"), lab.toy("well", 1, "erp"));
    lab.run_for(Duration::seconds(1));
    lab.note("sick", 1);
    lab.message("sick", "toy.note", Some("p"), b"poison");
    for n in 2..5 {
        lab.note("sick", n);
        lab.note("well", n);
    }
    lab.run_for(MINUTE);
    assert_eq!((lab.state(&sick).notes, lab.state(&well).notes), (vec![1], vec![2, 3, 4]));
    let (name, exception) = lab.exceptions(&sick).pop().expect("a person is asked");
    assert_eq!((name.as_str(), &*exception.class, exception.payload.is_some()), ("poison", "unreadable", true));
    assert!(lab.core.is_idle(), "what waits for a person is not work");
    // Retried as it is: parked again, nothing overtakes.
    assert_eq!(lab.command(&sick, "retry", value!({})), Answer::Taken);
    lab.run_for(MINUTE);
    assert_eq!((lab.state(&sick).notes, lab.classes(&sick)), (vec![1], vec!["unreadable".to_owned()]));
    lab.mend();
    assert_eq!(lab.command(&sick, "retry", value!({})), Answer::Taken);
    lab.run_for(MINUTE);
    assert_eq!((lab.state(&sick).notes, lab.classes(&sick).len(), lab.inbox_depth()), (vec![1, 1, 2, 3, 4], 0, 0));
}

#[test]
fn a_message_that_breaks_its_contract_waits_for_a_person_and_the_later_ones_with_it() {
    let mut lab = Lab::new();
    let toy = lab.toy("1", 0, "erp");
    lab.note("1", -1);
    lab.note("1", 2);
    lab.run_for(Duration::seconds(5));
    let exceptions = lab.exceptions(&toy);
    let [(_, exception)] = &exceptions[..] else { panic!("{exceptions:?}") };
    assert_eq!((&*exception.class, &*exception.cause), ("contract", "/n: less than 0"));
    assert_eq!(lab.state(&toy).notes, Vec::<i64>::new());
    lab.mend();
    assert_eq!(lab.command(&toy, "retry", value!({})), Answer::Taken);
    lab.run_for(Duration::seconds(5));
    assert_eq!((lab.state(&toy).notes, lab.classes(&toy)), (vec![-1, 2], Vec::new()));
}

#[test]
fn a_poison_message_can_be_skipped_with_a_reason_and_stays_blocked_over_a_restart() {
    let mut lab = Lab::new();
    let toy = lab.toy("1", 1, "erp");
    lab.run_for(Duration::seconds(1));
    lab.message("1", "toy.note", Some("p"), b"poison");
    lab.note("1", 2);
    lab.run_for(Duration::seconds(1));
    lab.crash();
    lab.note("1", 3);
    lab.run_for(MINUTE);
    assert!(lab.state(&toy).notes.is_empty(), "a later message overtook the blocking one");
    assert!(matches!(lab.command(&toy, "skip", value!({})), Answer::Refused { code, .. } if code == "reason_required"));
    assert_eq!(lab.command(&toy, "skip", value!({"reason": "sent by mistake"})), Answer::Taken);
    lab.run_for(MINUTE);
    assert_eq!((lab.state(&toy).notes, lab.classes(&toy).len(), lab.inbox_depth()), (vec![2, 3], 0, 0));
}

#[test]
fn a_skip_whose_commit_fails_is_not_half_done() {
    for fault in [CommitFault::Refused, CommitFault::ReplyLost] {
        let mut lab = Lab::new();
        let toy = lab.toy("1", 1, "erp");
        lab.run_for(Duration::seconds(1));
        lab.message("1", "toy.note", Some("p"), b"poison");
        lab.note("1", 2);
        lab.run_for(Duration::seconds(1));
        lab.fail_commits([fault]);
        assert_eq!(lab.command(&toy, "skip", value!({"reason": "by mistake"})), Answer::Taken, "{fault:?}");
        lab.run_for(MINUTE);
        assert_eq!((lab.state(&toy).notes, lab.inbox_depth()), (vec![2], 0), "{fault:?}");
    }
}

#[test]
fn many_blocked_processes_do_not_fill_the_inbox_window() {
    let default = Setting::default();
    let config = crossdock_engine::core::Config { inbox_window: 16, lanes_max: 8, ..default.config.clone() };
    let mut lab = Lab::with(Setting { config, ..default });
    for n in 0..40 {
        lab.message(&format!("bad-{n}"), "toy.placed", None, b"poison");
        lab.note(&format!("bad-{n}"), n);
    }
    let good = lab.toy("good", 2, "erp");
    lab.close(&good, MINUTE);
    assert_eq!(lab.classes(&key("bad-39")), ["unreadable"]);
    assert_eq!(lab.command(&key("bad-7"), "skip", value!({"reason": "a test order"})), Answer::Taken);
    lab.run_for(MINUTE);
    assert!(lab.classes(&key("bad-7")).is_empty());
    assert_eq!(lab.state(&key("bad-7")).notes, [7], "what waited behind it is heard");
    lab.crash();
    let other = lab.toy("other", 2, "erp");
    lab.close(&other, MINUTE);
}

#[test]
fn a_message_before_its_process_waits_for_it() {
    let mut lab = Lab::new();
    lab.note("1", 5);
    lab.run_for(Duration::seconds(30));
    let toy = lab.toy("1", 1, "erp");
    lab.close(&toy, Duration::seconds(10));
    lab.run_for(Duration::seconds(5));
    assert_eq!((lab.state(&toy).notes, lab.inbox_depth()), (vec![5], 0));
}

#[test]
fn a_message_for_a_process_that_its_order_has_not_begun_waits_with_the_order() {
    let mut lab = Lab::new();
    let reference = OrderRef { channel: "ch".into(), site: "de".into(), number: "1".into() };
    let unplaced = canonical("1", "ship", "ground", &[], "nowhere");
    lab.sim.accept_order(&SystemName::new("hub"), &reference, &unplaced).expect("the memory store answers");
    lab.note("1", 7);
    lab.run_for(Duration::minutes(30));
    let order = ProcessKey::new("order", "ch/de/1");
    assert_eq!(lab.classes(&order), ["no_policy"]);
    let stray = ProcessKey::new("stray", "ch/de/1");
    assert!(at_once(lab.store.load(&stray)).expect("the memory store answers").is_none(), "it went astray while its order waits");
    lab.crash();
    lab.run_for(Duration::minutes(5));
    let toy = lab.toy("1", 0, "erp");
    lab.run_for(Duration::minutes(1));
    assert_eq!(lab.state(&toy).notes, [7], "and is heard when its process begins");
}

#[test]
fn a_message_for_nobody_becomes_an_exception_and_the_next_one_too() {
    let mut lab = Lab::new();
    let theirs = || Addressee::Theirs { system: SystemName::new("erp"), kind: "order".into(), id: "4711".into() };
    lab.note("ghost", 1);
    lab.deliver(theirs(), "shipment.notice", Some("x"), b"{}");
    lab.run_for(Duration::minutes(5));
    let by_key = ProcessKey::new("stray", "ch/de/ghost");
    let by_id = ProcessKey::new("stray", "erp/order/4711");
    assert_eq!(
        (lab.classes(&by_key), lab.classes(&by_id), lab.inbox_depth()),
        (vec!["stray".to_owned()], vec!["stray".to_owned()], 0)
    );
    assert_eq!(lab.command(&by_id, "close", value!({"reason": "a test of theirs"})), Answer::Taken);
    assert!(lab.classes(&by_id).is_empty());
    lab.deliver(theirs(), "shipment.notice", Some("y"), b"{}");
    lab.run_for(Duration::minutes(5));
    assert_eq!(lab.classes(&by_id), ["stray"], "swallowed in silence");
}

#[test]
fn a_message_by_their_id_finds_its_process_when_the_id_is_known() {
    let mut lab = Lab::new();
    lab.place("erp").takes = Duration::seconds(3);
    lab.deliver(
        Addressee::Theirs { system: SystemName::new("erp"), kind: "order".into(), id: "4711".into() },
        "toy.note",
        None,
        br#"{"n": 3}"#,
    );
    let toy = lab.toy("same-id", 1, "erp");
    lab.close(&toy, MINUTE);
    lab.run_for(Duration::seconds(5));
    assert_eq!(lab.state(&toy).notes, [3]);
}

#[test]
fn a_message_by_their_id_waits_as_long_as_nobody_can_ask_their_system_whose_it_is() {
    let mut lab = Lab::new();
    lab.script("erp", [Act::ApplyAndDrop]);
    let erp = lab.place("erp");
    (erp.always, erp.look_up) = (Act::Fail, Some(500));
    let toy = lab.toy("same-id", 1, "erp");
    for n in 0..10 {
        lab.toy(&format!("other-{n}"), 1, "erp");
    }
    lab.deliver(
        Addressee::Theirs { system: SystemName::new("erp"), kind: "order".into(), id: "4711".into() },
        "toy.note",
        None,
        br#"{"n": 3}"#,
    );
    lab.run_for(Duration::minutes(10));
    assert_eq!((lab.breaker("erp").as_str(), lab.inbox_depth()), ("open", 1));
    let erp = lab.place("erp");
    (erp.always, erp.look_up) = (Act::Apply, None);
    lab.close(&toy, Duration::minutes(2));
    lab.run_for(Duration::seconds(5));
    assert_eq!(lab.state(&toy).notes, [3]);
}

#[test]
fn a_command_that_saw_an_older_version_is_a_conflict() {
    let mut lab = Lab::new();
    let toy = lab.toy("1", 1, "erp");
    lab.close(&toy, MINUTE);
    let seen = lab.load(&toy).version;
    let stale = lab.command_at(&toy, "note", value!({}), Some(seen - 1));
    assert_eq!(stale, Err(HubError::Conflict { seen: seen - 1, found: seen }));
    assert_eq!(lab.load(&toy).version, seen + 1, "a conflict is on record");
    assert_eq!(lab.command_at(&toy, "note", value!({}), Some(seen + 1)), Ok(Answer::Taken));
    assert_eq!((lab.state(&toy).notes, lab.inbox_depth()), (vec![0], 0));
}

#[test]
fn a_command_nobody_can_take_is_refused_and_one_for_nobody_is_not_lost() {
    let mut lab = Lab::new();
    let toy = lab.toy("1", 1, "erp");
    lab.close(&toy, MINUTE);
    assert!(matches!(lab.command(&toy, "dance", value!({})), Answer::Refused { code, .. } if code == "unknown_command"));
    let cases = [
        ("retry", value!({}), "nothing_to_retry"),
        ("retry", value!({"step": "nine"}), "no_such_effect"),
        ("retry", value!({"step": "one"}), "already_ended"),
        ("skip", value!({"step": "one", "reason": "x"}), "already_ended"),
        ("skip", value!({"step": "one", "reason": " "}), "reason_required"),
        ("repin", value!({}), "reason_required"),
    ];
    for (name, body, code) in cases {
        let answer = lab.command(&toy, name, body);
        assert!(matches!(&answer, Answer::Refused { code: c, .. } if c == code), "{name}: {answer:?}");
    }
    let nobody = lab.command_at(&key("nobody"), "note", value!({}), None);
    assert_eq!(nobody, Err(HubError::NoProcess(key("nobody"))));
    lab.run_for(MINUTE);
    assert_eq!(lab.inbox_depth(), 0);
}

#[test]
fn skipping_lets_the_flow_go_on_without_the_effect() {
    let mut lab = Lab::new();
    lab.place("erp").always = Act::Turn(None);
    let toy = lab.toy("1", 1, "erp");
    lab.run_for(Duration::minutes(20));
    assert_eq!(lab.command(&toy, "skip", value!({"step": "one", "reason": "booked by hand"})), Answer::Taken);
    assert_eq!((lab.effect_state(&toy, "one"), status(&lab.store, &toy)), (EffectState::Skipped, "closed".to_owned()));
    let before = lab.sends("erp").len();
    lab.run_for(Duration::hours(3));
    assert_eq!(lab.sends("erp").len(), before);
}

#[test]
fn repin_takes_the_policy_of_today_with_a_reason() {
    let mut lab = Lab::new();
    let order = lab.order("1", "ship", "ground", &[crate::kit::step("erp")]);
    lab.close(&order, MINUTE);
    assert_eq!(lab.command(&order, "repin", value!({"reason": "new carrier"})), Answer::Taken);
    assert_eq!(&*lab.load(&order).row.summary.waiting_for, "test", "it decides under a policy");
}

#[test]
fn scenario_31_an_order_keeps_its_policy_and_document_over_a_restart() {
    let mut lab = Lab::new();
    lab.place("erp").takes = Duration::seconds(2);
    let order = lab.order("1", "ship", "ground", &[crate::kit::step("erp"), crate::kit::step("erp")]);
    lab.run_for(Duration::seconds(1));
    lab.crash();
    lab.close(&order, MINUTE);
    let loaded = lab.load(&order);
    assert_eq!(&*loaded.row.summary.waiting_for, "test");
    assert!(loaded.document.is_some() && !loaded.row.policy.is_empty());
}
