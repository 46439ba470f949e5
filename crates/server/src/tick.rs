//! The one place of this crate that waits: live streams look for news at a steady beat, and shutdown has a last moment.
#![expect(clippy::disallowed_methods, reason = "this is the timer adapter of the surfaces")]

use std::time::Duration;

/// How often a stream looks for new journal rows. A person does not notice less; the store does not notice more.
pub const BEAT: Duration = Duration::from_millis(250);

pub async fn beat() {
    tokio::time::sleep(BEAT).await;
}
