//! One failover, and one outage of a few seconds. The campaign makes twenty.

use crossdock_canonical::Duration;
use crossdock_trials::failover::{Setting, campaign};

fn setting(seed: u64, outage: Option<Duration>) -> Setting {
    Setting { count: 1, seed, in_flight: 20, rate: 9, outage, keep: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_takes_over_and_no_acknowledged_order_is_lost() {
    let report = campaign(&setting(5, None)).await.unwrap_or_else(|e| panic!("{e}"));
    assert!(report.is_good() && report.acknowledged > 0, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_gone_refuses_orders_within_a_second_and_all_resumes_by_itself() {
    let report = campaign(&setting(6, Some(Duration::seconds(4)))).await.unwrap_or_else(|e| panic!("{e}"));
    assert!(report.is_good(), "{report}");
    let refused = report.refused.get(&503).copied().unwrap_or_default();
    assert!(refused.0 > 0 && refused.1 <= 1_000 && report.acknowledged > 0, "{report}");
}
