//! The hub that `--exhaustive` kills: the real engine, store, connectors and inbound interface, on one thread, for one order. It polls
//! once, reconciles never, and ends by itself when the order and its payment have ended.
//!
//! The store keeps threads of its own (one writer, one reader), but the one thread waits for them (`still`), and calls, polls and writes
//! take turns.

use super::still::Still;
use crate::wiring;
use crossdock_canonical::{Duration, Role};
use crossdock_connect::config::SystemConfig;
use crossdock_engine::shell::{
    Options, Running,
    clock::{self, Clock, Stopwatch},
};
use crossdock_server::{App, Auth, Principals};
use crossdock_store::{ProcessQuery, ReadStore, sqlite::SqliteStore};
use crossdock_value::value;
use std::{path::Path, process::ExitCode, sync::Arc};
use tokio::net::TcpListener;

/// Where it listens, told by its parent.
pub(super) const LISTEN: &str = "CROSSDOCK_LISTEN";
/// The one site of the one order.
pub(super) const SITE: &str = "RefArch-DE";
pub(super) const FILE: &str = "hub.db";
/// Longer than one order's life.
const LIFE_MAX: Duration = Duration::seconds(40);
/// Long enough never to come again.
const POLL_EVERY: Duration = Duration::hours(2);
const LOOK_EVERY: Duration = Duration::millis(25);
/// How often in a row everything must be at its end.
const LOOKS: u32 = 4;

pub(super) fn run(folder: &Path) -> ExitCode {
    let ended = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| e.to_string())
        .and_then(|runtime| runtime.block_on(live(folder)));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("kill: the hub with one thread: {reason}");
            ExitCode::FAILURE
        }
    }
}

async fn live(folder: &Path) -> Result<(), String> {
    let environment = |name: &str| std::env::var(name).ok();
    // Polls of other sites would take their turns between those of the order.
    let one_site = |system: &mut SystemConfig| {
        if system.roles.contains(&Role::Storefront) {
            system.settings.insert("sites", value!([SITE]));
        }
    };
    let mut wiring = wiring::demo_at(&environment, POLL_EVERY, &one_site)?;
    for system in wiring.systems.values_mut() {
        system.limits.concurrency = 1;
        // The storefront's poll brings the order; others at the same moment would race with it.
        system.poll_every = system.poll_every.filter(|_| system.roles.contains(&Role::Storefront));
    }
    let options = crossdock_store::sqlite::Options { readers: 1, ..crossdock_store::sqlite::Options::new(folder.join(FILE)) };
    let store = Arc::new(SqliteStore::open(&options).map_err(|e| e.to_string())?);
    let options = Options { reconcile_every: None, takes_turns: true, ..Options::default() };
    let running = Running::start(Arc::new(Still(store.clone())), store.clone(), wiring, Clock::System, options)
        .await
        .map_err(|e| e.to_string())?;
    let auth = Auth::new(Principals::default(), false, crossdock_server::random::system).map_err(|e| e.to_string())?;
    let listen = environment(LISTEN).ok_or(format!("{LISTEN} is not set"))?;
    let listener = TcpListener::bind(&listen).await.map_err(|e| format!("{listen}: {e}"))?;
    let app = App::new(running.clone(), store.clone(), store.clone(), Arc::new(auth));
    tokio::spawn(crossdock_server::serve(listener, crossdock_server::router(app), std::future::pending(), Duration(0)));
    let watch = Stopwatch::start();
    let mut looks = 0;
    while looks < LOOKS {
        if watch.elapsed() > LIFE_MAX {
            return Err("the order did not end".into());
        }
        clock::pause(LOOK_EVERY).await;
        looks = if running.is_idle() && has_ended(&*store).await? { looks + 1 } else { 0 };
    }
    running.stop();
    Ok(())
}

async fn has_ended(store: &dyn ReadStore) -> Result<bool, String> {
    let processes = store.processes(ProcessQuery { limit: 10, ..ProcessQuery::default() }).await.map_err(|e| e.to_string())?;
    let depth = store.inbox_depth().await.map_err(|e| e.to_string())?;
    let ended = |status: &str| matches!(status, "closed" | "cancelled" | "failed");
    Ok(depth == 0 && !processes.is_empty() && processes.iter().all(|process| ended(&process.row.summary.status)))
}
