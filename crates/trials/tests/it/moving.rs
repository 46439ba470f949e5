//! A small store and one with orders under way, moved with two kills each. The campaign moves two hundred thousand orders.

use crossdock_canonical::Duration;
use crossdock_trials::moving::{Setting, campaign};

#[tokio::test(flavor = "multi_thread")]
async fn a_store_with_orders_under_way_goes_on_in_the_database_where_each_stood() {
    let setting = Setting { orders: 500, seed: 5, kills: 2, live: Duration::seconds(4) };
    let report = campaign(&setting).await.unwrap_or_else(|e| panic!("{e}"));
    assert!(report.is_good() && report.live.under_way > 0 && report.filled.orders == 500, "{report}");
}
