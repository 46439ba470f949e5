//! The one place where the wall clock is read and time is waited for.

use crossdock_canonical::{Duration, Timestamp};
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

/// Gives the time. Production reads the system's clock; tests set their own.
#[derive(Clone, Debug)]
pub enum Clock {
    System,
    Set(Arc<AtomicI64>),
}

impl Clock {
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => system_now(),
            Self::Set(ms) => Timestamp(ms.load(Ordering::SeqCst)),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the clock's adapter")]
fn system_now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// A word that no other hub of this machine has: of its process, the time, and a count.
pub fn run_of_this_machine() -> String {
    static COUNT: AtomicI64 = AtomicI64::new(0);
    format!("{}-{}-{}", std::process::id(), system_now().0, COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Waits for a while of real time.
#[expect(clippy::disallowed_methods, reason = "the clock's adapter")]
pub async fn pause(length: Duration) {
    tokio::time::sleep(std::time::Duration::from_millis(u64::try_from(length.0).unwrap_or(0))).await;
}

/// A monotonic stopwatch for durations of calls.
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "the clock's adapter")]
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    pub fn elapsed(&self) -> Duration {
        Duration(i64::try_from(self.0.elapsed().as_millis()).unwrap_or(i64::MAX))
    }
}
