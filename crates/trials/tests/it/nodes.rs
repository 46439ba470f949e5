//! Three hubs on one PostgreSQL, of which one is killed, one paused past its lease, one cut off and one stopped. The campaign goes on
//! for a quarter of an hour.

use crossdock_trials::nodes::Report;
use std::process::{Command, Stdio};

#[test]
fn three_hubs_bring_every_order_to_its_end_though_one_dies_one_pauses_one_is_cut_off_and_one_stops() {
    // As a program: it moves into a network of its own where the machine lets it.
    let mut campaign = Command::new(env!("CARGO_BIN_EXE_crossdock-trials"));
    campaign.args(["nodes", "--blows", "kill,pause,cut_back,stop", "--seed", "3", "--in-flight", "20", "--rate", "5", "--json"]);
    let ended = campaign.stdin(Stdio::null()).stderr(Stdio::inherit()).output().unwrap();
    let report: Report = serde_json::from_slice(&ended.stdout).unwrap_or_else(|e| panic!("{e}: {}", ended.status));
    assert!(report.is_faultless(), "{report}");
}
