//! Processes speak to each other by durable commands: each is heard once and answered once.

use crate::kit::{Lab, key};
use crossdock_canonical::Duration;
use crossdock_engine::simulated::CommitFault;
use crossdock_store::ProcessKey;

const MINUTE: Duration = Duration::minutes(1);

fn ask(lab: &mut Lab) -> ProcessKey {
    let toy = lab.toy("1", 1, "erp");
    lab.message("1", "toy.ask", Some("q"), br#"{"whom": "ch/de/2"}"#);
    toy
}

fn check(lab: &Lab, toy: &ProcessKey, when: &str) {
    assert_eq!(lab.state(toy).asked["ch/de/2"], "done", "{when}: no answer");
    assert_eq!(lab.state(&key("2")).questions.len(), 1, "{when}: asked once");
    assert_eq!(lab.inbox_depth(), 0, "{when}: something is left over");
}

#[test]
fn a_question_starts_the_other_process_and_its_answer_comes_back() {
    let mut lab = Lab::new();
    let toy = ask(&mut lab);
    lab.run_for(MINUTE);
    check(&lab, &toy, "undisturbed");
}

#[test]
fn question_and_answer_come_once_whatever_commit_fails() {
    for fault in [CommitFault::Refused, CommitFault::ReplyLost, CommitFault::Vanished] {
        for nth in 0..8 {
            let mut lab = Lab::new();
            let toy = ask(&mut lab);
            lab.fail_commits(std::iter::repeat_n(CommitFault::None, nth).chain([fault]));
            lab.run_for(MINUTE);
            check(&lab, &toy, &format!("{fault:?} at commit {nth}"));
        }
    }
}

#[test]
fn question_and_answer_come_once_wherever_the_hub_crashes() {
    let mut steps = 0;
    for nth in 0.. {
        let mut lab = Lab::new();
        let toy = ask(&mut lab);
        let until = lab.now + MINUTE;
        if !lab.run(until, |sim| sim.steps >= nth) {
            break;
        }
        lab.crash();
        lab.run_for(MINUTE);
        check(&lab, &toy, &format!("crash at step {nth}"));
        steps = nth;
    }
    assert!(steps > 10);
}

#[test]
fn a_process_that_a_command_starts_runs_under_its_askers_policy_even_after_a_restart() {
    for nth in 0..40 {
        let mut lab = Lab::new();
        let order = lab.order("1", "ship", "ground", &[crate::kit::step("erp")]);
        let to = crossdock_store::Addressee::Process(order.clone());
        lab.deliver(to, "toy.ask", None, br#"{"whom": "ch/de/2"}"#);
        let until = lab.now + MINUTE;
        lab.run(until, |sim| sim.steps >= nth);
        lab.crash();
        lab.run_for(MINUTE);
        let other = ProcessKey::new("order", "ch/de/2");
        assert_eq!(&*lab.load(&other).row.summary.waiting_for, "test", "crash at step {nth}: it ran without a policy");
        assert_eq!(lab.state(&order).asked["ch/de/2"], "done", "crash at step {nth}");
    }
}
