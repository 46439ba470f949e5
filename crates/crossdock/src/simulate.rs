//! `crossdock simulate`: the systems around the hub, alone, for connectors under development and for other programs' tests.

use crate::exit;
use crossdock_engine::shell::clock::Clock;
use crossdock_simulators::{
    Config, World,
    serve::{self, Options},
};
use std::{collections::BTreeMap, process::ExitCode, sync::Arc};

#[derive(clap::Args)]
pub struct Args {
    /// Print a JSON line for each system: `{"system", "url"}`.
    #[arg(long)]
    json: bool,
    /// The seed of everything the systems do by themselves.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where notifications go, such as `http://127.0.0.1:8080`; without it they wait.
    #[arg(long)]
    hub: Option<String>,
    /// Orders to place in the storefront at the start.
    #[arg(long, default_value_t = 0)]
    orders: u32,
    /// The first of nine ports in a row; free ones otherwise.
    #[arg(long)]
    port: Option<u16>,
}

pub async fn run(args: Args) -> ExitCode {
    let ports: BTreeMap<String, u16> = match args.port {
        Some(first) => {
            crossdock_simulators::SYSTEMS.iter().zip(first..).map(|(system, port)| ((*system).to_owned(), port)).collect()
        }
        None => BTreeMap::new(),
    };
    let clock = Arc::new(|| Clock::System.now().0);
    let world = World::new(args.seed, Config::default());
    let running = match serve::start(world, Options { ports, hub: args.hub, ..Options::new(clock.clone()) }).await {
        Ok(running) => running,
        Err(error) => return exit::fault(format!("a simulator cannot listen: {error}")),
    };
    for system in crossdock_simulators::SYSTEMS {
        let url = running.url(system).unwrap_or_default();
        if args.json {
            println!("{}", serde_json::json!({"system": system, "url": url}));
        } else {
            println!("{system:<14}{url}");
        }
    }
    for _ in 0..args.orders {
        running.world().place_next(clock());
    }
    running.wake();
    match tokio::signal::ctrl_c().await {
        Ok(()) => exit::OK,
        Err(error) => exit::fault(format!("no signal to wait for: {error}")),
    }
}
