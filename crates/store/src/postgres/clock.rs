//! The one place of this store that waits and looks at a clock: to space out attempts to connect, and to look now and then for what no
//! notification told of. Nothing that is stored depends on it.
#![expect(clippy::disallowed_methods, reason = "this is the adapter of the monotonic clock for reconnecting and listening")]

use std::time::{Duration, Instant};

pub(super) fn now() -> Instant {
    Instant::now()
}

pub(super) async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}
