//! The hub under measurement: the engine, the store with every commit synced, and the real surfaces, in a process of its own.

use super::{Workload, child::Commands, systems};
use crate::stores;
use crossdock_canonical::Duration;
use crossdock_engine::{
    core::Config,
    shell::{
        Options, Running,
        clock::{self, Clock},
    },
};
use crossdock_landscape::{Retention, StoreConfig};
use crossdock_server::{
    App, Auth, Principals,
    auth::{
        keys,
        roles::{Role, Sites},
    },
};
use crossdock_store::FullStore;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::net::TcpListener;

#[derive(clap::Args)]
pub struct Args {
    #[arg(long)]
    workload: Workload,
    /// Where the systems listen, in the order of the steps.
    #[arg(long, value_delimiter = ',')]
    systems: Vec<String>,
    /// The store: a file, or the address of a PostgreSQL database.
    #[arg(long)]
    store: String,
    /// A node of several on one database: its key, which all of them share.
    #[arg(long)]
    key_file: Option<PathBuf>,
}

pub async fn run(args: Args) -> Result<(), String> {
    let wiring = systems::wire(args.workload, &args.systems)?;
    let store = open(&args).map_err(|e| e.to_string())?;
    let core = Config { archive: args.workload == Workload::Full, ..Config::default() };
    let options = Options { core, ..Options::default() };
    let hub = Running::start(store.clone(), store.clone(), wiring, Clock::System, options).await.map_err(|e| e.to_string())?;

    let (text, key) = keys::make("bench", Role::Machine, Sites::All, crossdock_server::random::system);
    let principals = Principals { keys: vec![key], ..Principals::default() };
    let auth = Auth::new(principals, false, crossdock_server::random::system).map_err(|e| e.to_string())?;
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|e| e.to_string())?;
    let address = listener.local_addr().map_err(|e| e.to_string())?;
    let app = App::new(hub.clone(), store.clone(), store.clone(), Arc::new(auth));
    tokio::spawn(crossdock_server::serve(listener, crossdock_server::router(app), std::future::pending(), Duration(0)));

    let mut commands = Commands::start(&serde_json::json!({"url": format!("http://{address}"), "key": text}));
    while let Some(command) = commands.next().await {
        match command.as_str() {
            // The last outcome is on disk and nothing waits.
            "idle" => {
                while !hub.is_idle() {
                    clock::pause(Duration::millis(20)).await;
                }
                commands.answer(&serde_json::json!({}));
            }
            _ => commands.answer(&serde_json::json!({"metrics": crossdock_engine::Hub::metrics(&*hub)})),
        }
    }
    hub.stop();
    Ok(())
}

fn open(args: &Args) -> Result<Arc<dyn FullStore>, stores::OpenError> {
    match &args.key_file {
        Some(key_file) => stores::postgres(&args.store, key_file.clone()),
        None => stores::open(&StoreConfig::Sqlite { path: (&args.store).into() }, Path::new(""), &Retention::default()),
    }
}
