//! Polls the systems that are polled. The cursor is stored in the same transaction as the rows it led to, so a row is never skipped
//! and never lost; what comes twice is dropped by its key.

use super::{Running, client::Client, clock, drive};
use crate::core::intake_of;
use crossdock_canonical::{Duration, MarketId, SystemName};
use crossdock_connect::{Exchange, NextPoll};
use crossdock_store::{CursorWrite, ProcessQuery};
use crossdock_value::Value;
use std::sync::Arc;
use tokio::sync::watch;

const EXCHANGES_MAX: usize = 64;

/// Starts a task for each polled system, and the reconciliation cycle.
pub(super) fn start(hub: &Arc<Running>, client: &Arc<Client>, stopped: &watch::Receiver<bool>) {
    for system in hub.wiring.systems.values() {
        if let Some(every) = system.poll_every {
            let (hub, client, system, mut stopped) = (hub.clone(), client.clone(), system.clone(), stopped.clone());
            tokio::spawn(async move {
                loop {
                    let pause = match once(&hub, &client, &system).await {
                        Ok(true) => Duration::millis(1),
                        Ok(false) => every,
                        Err(reason) => {
                            tracing::warn!(system = %system.name, reason, "poll failed");
                            Duration(every.0.max(1_000))
                        }
                    };
                    tokio::select! {
                        _ = stopped.changed() => return,
                        () = clock::pause(pause) => {}
                    }
                }
            });
        }
    }
    if let Some(every) = hub.options.reconcile_every {
        let (hub, mut stopped) = (hub.clone(), stopped.clone());
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = stopped.changed() => return,
                    () = clock::pause(every) => {}
                }
                reconcile_open(&hub, None).await;
            }
        });
    }
}

/// The name of a system's cursor, and of the charge of polling it.
pub(super) fn charge(system: &SystemName) -> Arc<str> {
    format!("poll/{system}").into()
}

/// Polls until no page waits or one fails.
pub(super) async fn all(hub: &Running, client: &Client, system: &crate::System) {
    loop {
        match once(hub, client, system).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(reason) => {
                tracing::warn!(system = %system.name, reason, "poll failed");
                return;
            }
        }
    }
}

/// One poll; whether another page waits.
async fn once(hub: &Running, client: &Client, system: &crate::System) -> Result<bool, String> {
    // What is not taken now is still there at the next poll.
    hub.check_open().map_err(|e| e.to_string())?;
    let _alone = match hub.polls.get(&system.name) {
        Some(turn) => Some(turn.lock().await),
        None => None,
    };
    let name = charge(&system.name);
    if !hub.standing.is_in_charge_of(&name) {
        return Ok(false);
    }
    let seen = hub.store.cursor(&name).await.map_err(|e| e.to_string())?;
    let cursor = match &seen {
        Some(bytes) => crossdock_value::parse(bytes, &crossdock_value::Limits::default()).map_err(|e| e.to_string())?,
        None => Value::Null,
    };
    let mut exchanges: Vec<Exchange> = Vec::new();
    loop {
        if exchanges.len() >= EXCHANGES_MAX {
            return Err(format!("no page after {EXCHANGES_MAX} requests"));
        }
        match system.connector.poll(&cursor, &exchanges, hub.clock.now()) {
            None => return Ok(false),
            Some(NextPoll::Send(request)) => {
                let _turn = hub.turn().await;
                exchanges.push(drive::exchange(client, system, request, Duration::seconds(60)).await)
            }
            Some(NextPoll::Failed(outcome)) => {
                return Err(if outcome.text.is_empty() { outcome.code } else { format!("{}: {}", outcome.code, outcome.text) });
            }
            Some(NextPoll::Page { messages, cursor, more }) => {
                let rows = messages.into_iter().map(|message| intake_of(&system.name, message, hub.clock.now())).collect();
                // Another node may have gone on with it while this one stood still.
                let write = CursorWrite { name, body: crossdock_value::to_json(&cursor), seen: Some(seen.unwrap_or_default()) };
                hub.accept(rows, Some(write)).await.map_err(|e| e.to_string())?;
                return Ok(more);
            }
        }
    }
}

/// Asks the systems about every open process that is this node's, page by page.
pub(super) async fn reconcile_open(hub: &Running, market: Option<&MarketId>) {
    let mut before = None;
    loop {
        let market = market.map(ToString::to_string);
        let query = ProcessQuery { status: Some("open".into()), market, before, limit: 200, ..ProcessQuery::default() };
        let Ok(page) = hub.read.processes(query).await else { return };
        let Some(last) = page.last() else { return };
        before = Some(last.no);
        for process in page {
            if hub.standing.owns(&process.key) {
                hub.reconcile(process.key);
            }
        }
        // Spread, so that a cycle never crowds out orders.
        clock::pause(Duration::millis(250)).await;
    }
}
