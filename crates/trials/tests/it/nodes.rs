//! Three hubs on one PostgreSQL: replaced one after another without a call that fails; and one killed, one paused past its lease, one
//! cut off and one stopped. The campaign goes on for a quarter of an hour.

use crossdock_trials::nodes::Report;
use std::process::{Command, Stdio};

/// As a program: it moves into a network of its own where the machine lets it.
fn campaign(of: &[&str]) -> Report {
    let mut campaign = Command::new(env!("CARGO_BIN_EXE_crossdock-trials"));
    campaign.arg("nodes").args(of).args(["--in-flight", "20", "--rate", "5", "--json"]);
    let ended = campaign.stdin(Stdio::null()).stderr(Stdio::inherit()).output().unwrap();
    serde_json::from_slice(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {}", ended.status))
}

/// The ERP takes a repeated order, so that a call which was late shows: as a copy that the hub must find and cancel.
#[test]
fn three_hubs_bring_every_order_to_its_end_though_one_dies_one_pauses_one_is_cut_off_and_one_stops() {
    let report = campaign(&["--lookup-only", "--blows", "kill,pause,cut_back,stop", "--seed", "10"]);
    assert!(report.is_faultless(), "{report}");
    let late = report.pauses.late.get("erp").map_or(0, |late| late.applied);
    assert!(report.copies.left >= late, "{report}");
}

#[test]
fn three_hubs_are_replaced_one_after_another_and_no_call_of_the_storefront_fails() {
    let report = campaign(&["--upgrade", "--count", "1", "--seed", "4"]);
    assert!(report.is_faultless() && report.posted > 0, "{report}");
}
