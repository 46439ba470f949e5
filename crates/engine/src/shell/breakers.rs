//! Stores what the core says of its breakers: one write at a time, in order, so that an older state never replaces a newer one.

use crate::core::BreakerState;
use crossdock_canonical::SystemName;
use std::collections::BTreeMap;
use tokio::sync::mpsc::UnboundedReceiver;

/// Writes each system's latest state until nobody tells of any more.
pub(super) async fn keep<W: Future<Output = ()>>(
    mut changes: UnboundedReceiver<(SystemName, BreakerState)>,
    mut write: impl FnMut(SystemName, BreakerState) -> W,
) {
    let mut batch = Vec::new();
    while changes.recv_many(&mut batch, 64).await > 0 {
        // Of a system only the last counts.
        let latest: BTreeMap<SystemName, BreakerState> = batch.drain(..).collect();
        for (system, state) in latest {
            write(system, state).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossdock_canonical::Timestamp;
    use std::cell::RefCell;
    use tokio::sync::{mpsc, oneshot};

    #[tokio::test]
    async fn a_slow_write_of_an_older_state_does_not_replace_a_newer_one() {
        let (tell, changes) = mpsc::unbounded_channel();
        let (go, slow) = oneshot::channel::<()>();
        let (erp, until) = (SystemName::new("erp"), Timestamp(1));
        let states = |reason: &str| BreakerState::Misconfigured { until, reason: reason.into(), since: until };
        tell.send((erp.clone(), states("first"))).expect("it is read");
        let (stored, mut slow) = (RefCell::new(Vec::new()), Some(slow));
        let keeping = keep(changes, |_, state| {
            let (slow, stored) = (slow.take(), &stored);
            async move {
                if let Some(slow) = slow {
                    slow.await.expect("it is let go");
                }
                stored.borrow_mut().push(state);
            }
        });
        let telling = async {
            tokio::task::yield_now().await;
            tell.send((erp.clone(), states("overtaken"))).expect("it is read");
            tell.send((erp.clone(), BreakerState::Closed)).expect("it is read");
            go.send(()).expect("it waits");
            drop(tell);
        };
        tokio::join!(keeping, telling);
        let stored = stored.into_inner();
        assert_eq!(stored.last(), Some(&BreakerState::Closed));
        assert_eq!(stored.len(), 2, "what was overtaken is not written");
    }
}
