//! Trouble with the store under a whole hub: a disk that is full for a while, and a second hub on the same file.
//!
//! A database that is gone is `failover`'s matter.

use crate::{
    address,
    crash::Scratch,
    kill::{
        hub::Ground,
        judge::{Judged, judge},
        shop::Shop,
    },
    wiring,
};
use crossdock_canonical::Duration;
use crossdock_engine::shell::{
    Options, Running,
    clock::{self, Clock, Stopwatch},
};
use crossdock_server::{
    App, Auth, Principals,
    auth::roles::{Role, Sites},
};
use crossdock_simulators::SYSTEMS;
use crossdock_store::{
    crash::Faults,
    sqlite::{self, SqliteStore},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
};
use tokio::net::TcpListener;

const TICK: Duration = Duration::millis(50);
const PATIENCE: Duration = Duration::seconds(60);

/// What a full disk showed.
#[derive(Debug)]
pub struct FullDisk {
    /// Orders acknowledged before it was full, while it was, and when there was room again.
    pub before: usize,
    pub meanwhile: usize,
    pub after: usize,
    /// Answers by status while it was full, 0 for none, and the slowest in milliseconds.
    pub refused: BTreeMap<u16, (u64, i64)>,
    pub judged: Judged,
}

/// A hub in this process, on a disk that is full for a while under steady orders.
pub async fn full_disk(seed: u64) -> Result<FullDisk, String> {
    let scratch = Scratch::new()?;
    let name = format!("trouble-{seed}");
    let faults = Faults::register(&name).map_err(|e| e.to_string())?;
    let options = sqlite::Options {
        vfs: Some(name),
        on_fatal: Arc::new(|message| panic!("a full disk ends nothing: {message}")),
        ..sqlite::Options::new(scratch.path().join("hub.db"))
    };
    let store = Arc::new(SqliteStore::open(&options).map_err(|e| e.to_string())?);
    let auth = Auth::new(Principals::default(), false, crossdock_server::random::system).map_err(|e| e.to_string())?;
    let key = auth.add_key(&*store, "shopper", Role::Machine, Sites::All).await.map_err(|problem| problem.detail.to_string())?;
    let address = address::own()?;
    let mut shop = Shop::open(seed, format!("http://{address}"), key).await?;
    let systems = shop.systems.clone();
    let urls: BTreeMap<String, String> = SYSTEMS
        .iter()
        .map(|system| (format!("CROSSDOCK_{}_URL", system.to_uppercase()), systems.url(system).unwrap_or_default()))
        .collect();
    let wiring = wiring::demo_at(&|name: &str| urls.get(name).cloned(), Duration::millis(200), &|_| ())?;
    let options = Options { reconcile_every: Some(Duration::seconds(10)), ..Options::default() };
    let running =
        Running::start(store.clone(), store.clone(), wiring, Clock::System, options).await.map_err(|e| e.to_string())?;
    let listener = TcpListener::bind(address).await.map_err(|e| format!("{address}: {e}"))?;
    let app = App::new(running.clone(), store.clone(), store.clone(), Arc::new(auth));
    tokio::spawn(crossdock_server::serve(listener, crossdock_server::router(app), std::future::pending(), Duration(0)));

    let acknowledged = |shop: &Shop| shop.posts.lock().unwrap_or_else(PoisonError::into_inner).acknowledged.len();
    shop.post(5)?;
    until("orders are taken", || acknowledged(&shop) == 5).await?;
    faults.set_full(true);
    shop.post(5)?;
    let refusals = || shop.posts.lock().unwrap_or_else(PoisonError::into_inner).refused.clone();
    until("orders are refused", || refusals().values().map(|(count, _)| count).sum::<u64>() >= 15).await?;
    let (meanwhile, refused) = (acknowledged(&shop) - 5, refusals());
    faults.set_full(false);
    until("what was refused is taken", || acknowledged(&shop) == 10).await?;
    shop.post(5)?;
    until("orders are taken again", || acknowledged(&shop) == 15).await?;
    let watch = Stopwatch::start();
    let judged = loop {
        let judged = judge(&shop, &*store).await?;
        if (judged.restless == 0 && running.is_idle()) || watch.elapsed() > PATIENCE {
            break judged;
        }
        clock::pause(Duration::millis(500)).await;
    };
    running.stop();
    Ok(FullDisk { before: 5, meanwhile, after: acknowledged(&shop) - 5 - meanwhile, refused, judged })
}

/// A second hub on the file of one that runs: what it said, and whether the first is still there.
pub async fn second_hub() -> Result<(String, bool), String> {
    let ground = Ground::new(None)?;
    let key = ground.key().await?;
    let shop = Shop::open(1, ground.url(), key).await?;
    let mut first = ground.start(&shop.systems)?;
    first.is_up().await?;
    let mut second = ground.start(&shop.systems)?;
    let said = match second.is_up().await {
        Ok(_) => "it started".to_owned(),
        Err(ended) => {
            let log = std::fs::read_to_string(ground.log_path()).unwrap_or_default();
            format!("{ended}: {}", log.lines().last().unwrap_or_default())
        }
    };
    Ok((said, first.kill().await.is_ok()))
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) -> Result<(), String> {
    let watch = Stopwatch::start();
    while !is_so() {
        if watch.elapsed() > PATIENCE {
            return Err(format!("never: {what}"));
        }
        clock::pause(TICK).await;
    }
    Ok(())
}
