//! Removes what need not be kept any longer: once an hour, a bounded piece at a time, by one node of those that share a store.
//!
//! What is kept how long the landscape says; what must never go (keys, dedup, effects, whatever is open) the store knows.

use super::{Running, clock};
use crossdock_canonical::{Duration, Timestamp};
use crossdock_store::StoreError;
use std::sync::Arc;
use tokio::sync::watch;

/// How long what is not open is kept; `None`: for ever. Payloads have their end written beside them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Retention {
    /// Raw messages, from when they came.
    pub messages: Option<Duration>,
    /// Pieces of the journal, where it has pieces.
    pub journal: Option<Duration>,
}

const EVERY: Duration = Duration::hours(1);
/// Rows of each table removed at once: nobody should wait for it.
const PIECE: usize = 1_000;
const BETWEEN: Duration = Duration::millis(50);
/// By which it is decided which node does it.
const CHARGE: &str = "retention";

pub(super) fn start(hub: &Arc<Running>, stopped: &watch::Receiver<bool>) {
    let (hub, mut stopped) = (hub.clone(), stopped.clone());
    tokio::spawn(async move {
        let work = async {
            loop {
                if hub.standing.is_in_charge_of(CHARGE)
                    && let Err(error) = once(&hub).await
                {
                    tracing::warn!(%error, "what is past its retention was not all removed: it is tried again in an hour");
                }
                clock::pause(EVERY).await;
            }
        };
        tokio::select! {
            () = work => {}
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
    });
}

async fn once(hub: &Running) -> Result<(), StoreError> {
    let now = hub.clock.now();
    let before = |kept: Option<Duration>| kept.map(|kept| Timestamp(now.0.saturating_sub(kept.0)));
    let folded_before = before(hub.options.retention.messages).unwrap_or(Timestamp(i64::MIN));
    while hub.store.sweep(now, folded_before, PIECE).await? > 0 {
        clock::pause(BETWEEN).await;
    }
    if let Some(before) = before(hub.options.retention.journal) {
        let dropped = hub.store.drop_journal(before).await?;
        if dropped > 0 {
            tracing::info!(dropped, "pieces of the journal past their retention were dropped");
        }
    }
    Ok(())
}
