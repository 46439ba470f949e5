//! Three hubs on one PostgreSQL, of which one is killed, one paused past its lease, one cut off and one stopped. The campaign goes on
//! for a quarter of an hour.

use crossdock_trials::nodes::{Blow, Setting, campaign};

#[tokio::test(flavor = "multi_thread")]
async fn three_hubs_bring_every_order_to_its_end_though_one_dies_one_pauses_one_is_cut_off_and_one_stops() {
    let blows = Some(vec![Blow::Kill, Blow::Pause, Blow::CutBack, Blow::Stop]);
    let setting = Setting { blows, count: 0, upgrade: false, seed: 3, in_flight: 20, rate: 5, keep: None };
    let report = campaign(&setting).await.unwrap_or_else(|e| panic!("{e}"));
    assert!(report.is_faultless(), "{report}");
}
