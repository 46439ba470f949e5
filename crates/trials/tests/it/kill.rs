//! Three kills under load. The campaign makes two hundred.

use crossdock_trials::kill::{Setting, campaign};

#[tokio::test(flavor = "multi_thread")]
async fn scenario_27_a_hub_killed_three_times_brings_every_order_to_its_end() {
    let setting = Setting { kills: 3, seed: 5, in_flight: 20, rate: 10, keep: None };
    let report = campaign(&setting).await.unwrap_or_else(|e| panic!("{e}"));
    assert!(report.judged.is_faultless() && report.judged.restless == 0 && report.panics.is_empty(), "{report}");
}
