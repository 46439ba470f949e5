//! Looks after the store: whether it answers, and whether another node has taken a message in.

use super::{Running, clock};
use crate::core::Input;
use crossdock_canonical::Duration;
use std::sync::{Arc, PoisonError};
use tokio::sync::watch;

const EVERY: Duration = Duration::seconds(1);
/// Any name: only whether there is an answer counts.
const ASKED: &str = "lookout";

pub(super) fn start(hub: &Arc<Running>, stopped: &watch::Receiver<bool>) {
    tokio::spawn(until_stopped(stopped.clone(), see_whether_it_answers(hub.clone())));
    tokio::spawn(until_stopped(stopped.clone(), hear_of_arrivals(hub.clone())));
}

async fn until_stopped(mut stopped: watch::Receiver<bool>, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
}

/// Whoever asks whether the hub is ready is told so, before an order is refused.
async fn see_whether_it_answers(hub: Arc<Running>) {
    loop {
        let silent = hub.store.cursor(ASKED).await.err();
        *hub.store_silent.write().unwrap_or_else(PoisonError::into_inner) = silent;
        clock::pause(EVERY).await;
    }
}

/// A message may be taken in by a node that does not own its process: the owner must not learn of it at its next start only.
async fn hear_of_arrivals(hub: Arc<Running>) {
    loop {
        match hub.store.arrivals().await {
            Ok(()) => {
                let _ = hub.inputs.send(Input::Arrived);
            }
            Err(_) => clock::pause(EVERY).await,
        }
    }
}
