//! `crossdock run`: a hub on a landscape.

use crate::{exit, hub, stores};
use crossdock_canonical::Duration;
use crossdock_engine::shell::{
    Options, Running,
    clock::{self, Clock},
    retention::Retention,
    standing::NodeOptions,
};
use crossdock_server::{App, Auth, Principals};
use crossdock_store::FullStore;
use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc};
use tokio::net::TcpListener;

#[derive(clap::Args)]
pub struct Args {
    /// The landscape's folder.
    #[arg(long, default_value = ".")]
    landscape: PathBuf,
    /// Listen here instead of where `crossdock.yaml` says.
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// What people know this node by, where several run on one database; else the machine's name and the number of the process.
    #[arg(long)]
    node: Option<String>,
}

pub async fn run(args: Args) -> ExitCode {
    logs();
    let landscape = match hub::landscape(&args.landscape) {
        Ok(landscape) => Arc::new(landscape),
        Err(error) => return exit::fault(error),
    };
    let node = landscape.node().clone();
    let store = match stores::open(&node.store, &args.landscape, &node.retention) {
        Ok(store) => store,
        Err(error) => return exit::fault(error),
    };
    let wiring = match hub::wire(&landscape, &|name| std::env::var(name).ok(), None) {
        Ok(wiring) => wiring,
        Err(error) => return exit::fault(error),
    };
    let listen = args.listen.unwrap_or(node.listen);
    let options = Options {
        node: NodeOptions {
            name: args.node.unwrap_or_else(own_name).into(),
            run: crossdock_server::random::token(crossdock_server::random::system)[..RUN_DIGITS].into(),
            address: listen.to_string().into(),
            lease: node.lease,
        },
        reconcile_every: Some(node.reconcile_every),
        schedules: hub::schedules(&landscape),
        retention: Retention { messages: node.retention.messages, journal: node.retention.journal },
        inbox_cap: u64::from(node.caps.inbox),
        ..Options::default()
    };
    let running = match Running::start(store.clone(), store.clone(), wiring, Clock::System, options).await {
        Ok(running) => running,
        Err(error) => return exit::fault(error),
    };
    let auth = match Auth::new(Principals::default(), false, crossdock_server::random::system) {
        Ok(auth) => auth,
        Err(error) => return exit::fault(error),
    };
    if let Err(problem) = auth.load(&*store).await {
        return exit::fault(format!("people and keys cannot be read: {problem:?}"));
    }
    let first = auth.first_run_token();
    let listener = match TcpListener::bind(listen).await {
        Ok(listener) => listener,
        Err(error) => return exit::fault(format!("{listen} cannot be listened on: {error}")),
    };
    println!("crossdock {} on http://{listen}/", node.name);
    if running.is_restored() {
        println!("the store was restored to an older point: systems are asked before anything is sent for the first time");
    }
    if let Some(token) = first {
        println!("first sign-in: http://{listen}/sign-in with the token {token}");
    }
    let auth = Arc::new(auth);
    let shared = store.is_shared();
    if shared {
        tokio::spawn(hear_of_keys(auth.clone(), store.clone()));
    }
    let app = App::new(running.clone(), store.clone(), store, auth).with_landscape(format!(
        "{}, landscape {}",
        node.name,
        landscape.hash()
    ));
    // A hub without others has nobody to leave its requests to.
    let drain = if shared { node.drain } else { Duration(0) };
    let ending = {
        let running = running.clone();
        async move {
            tokio::select! {
                () = stop_signal() => {}
                () = running.stopped() => {}
            }
            // Who sends requests learns from `/readyz` that they go elsewhere from now on; until then they are served.
            running.hand_over();
        }
    };
    let served = crossdock_server::serve(listener, crossdock_server::router(app), ending, drain).await;
    running.stop();
    running.ended().await;
    match served {
        Ok(()) if running.is_fenced() => exit::fault("another node has taken over this store"),
        Ok(()) => exit::OK,
        Err(error) => exit::fault(error),
    }
}

/// What makes a node's name its own in this run.
const RUN_DIGITS: usize = 12;
/// How soon people and keys that were added or revoked at another node are known here.
const KEYS_EVERY: Duration = Duration::seconds(2);

fn own_name() -> String {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let machine = Some(machine.trim()).filter(|name| !name.is_empty()).unwrap_or("hub");
    format!("{machine}-{}", std::process::id())
}

async fn hear_of_keys(auth: Arc<Auth>, store: Arc<dyn FullStore>) {
    loop {
        clock::pause(KEYS_EVERY).await;
        if let Err(problem) = auth.load(&*store).await {
            tracing::warn!(reason = %problem.detail, "people and keys cannot be read");
        }
    }
}

/// Structured logs to standard error; `RUST_LOG` sets the level.
pub fn logs() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}

/// Resolves at SIGINT or SIGTERM.
pub async fn stop_signal() {
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}
