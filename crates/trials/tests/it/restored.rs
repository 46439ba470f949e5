//! A hub put back to a backup of some seconds ago, after the systems have gone on.

use crossdock_canonical::Duration;
use crossdock_trials::restore::{Setting, campaign};

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_restored_to_an_older_point_does_nothing_twice_and_misses_no_order() {
    let setting = Setting { seed: 5, live: Duration::seconds(5), keep: None };
    let report = campaign(&setting).await.unwrap_or_else(|e| panic!("{e}"));
    assert!(report.is_good() && report.after_backup > 0 && report.rows_lost > 0, "{report}");
}
