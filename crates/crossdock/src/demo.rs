//! `crossdock demo`: the main job on one machine. The real hub with its SQLite store and console, all systems simulated behind real
//! sockets, orders of many kinds. With `--orders N` it judges the run from the systems' own ledgers and exits with the verdict.

mod faults;
mod judge;
mod panel;

use crate::{exit, fixture, hub, run, stores};
use crossdock_canonical::Duration;
use crossdock_engine::{
    CommandRequest, Hub,
    shell::{
        Options, Running,
        clock::{self, Clock},
        standing::NodeOptions,
    },
};
use crossdock_landscape::{Landscape, Retention, StoreConfig};
use crossdock_server::{
    App, Auth, Principals,
    auth::roles::{Role, Sites},
};
use crossdock_simulators::{
    Config, Expectation, World,
    serve::{self, Running as Systems},
};
use crossdock_store::{FullStore, ProcessKey};
use crossdock_value::{Value, value};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::net::TcpListener;

#[derive(clap::Args)]
pub struct Args {
    /// Place this many orders, wait until they have settled, judge, and exit. Without it orders go on until Ctrl-C.
    #[arg(long)]
    orders: Option<u32>,
    /// Inject faults into the systems, drawn from this seed: lost answers, errors, duplicated and reordered notices, an ERP outage.
    #[arg(long, value_name = "SEED")]
    faults: Option<u64>,
    /// The seed of orders and systems.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Orders placed a second.
    #[arg(long)]
    rate: Option<u32>,
    /// Print the verdict as JSON.
    #[arg(long)]
    json: bool,
    /// Where the hub listens; the next free port is taken if this one is not free.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Keep the store in this folder instead of a temporary one.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Keep the store in this empty PostgreSQL database instead of a file, such as postgresql://user@127.0.0.1:5432/demo.
    #[arg(long, value_name = "URL")]
    postgres: Option<String>,
    /// So many hubs on the one database, each with surfaces of its own. Shoppers go to them by turns.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=16))]
    nodes: u16,
    /// Run on this landscape instead of the demo's own. Systems whose address is `${env:CROSSDOCK_NAME_URL}` are simulated, the
    /// others must be up.
    #[arg(long, value_name = "DIR")]
    landscape: Option<PathBuf>,
}

/// The name of the demo's API key.
const DEMO_KEY: &str = "demo";

/// A demo that is up: hub, surfaces, systems.
pub struct Demo {
    /// The hub whose console is told; with `--nodes`, the first.
    pub hub: Arc<Running>,
    /// All of them.
    pub nodes: Vec<Arc<Running>>,
    pub systems: Arc<Systems>,
    pub store: Arc<dyn FullStore>,
    /// Systems of the landscape that are real ones: nobody keeps a ledger of them here.
    pub real: Vec<String>,
    pub channel: String,
    pub address: SocketAddr,
    pub sign_in: Option<String>,
    /// An operator's API key for the command line.
    pub key: String,
}

pub async fn run(args: Args) -> ExitCode {
    run::logs();
    let folder = match DataFolder::new(args.data.as_deref()) {
        Ok(folder) => folder,
        Err(error) => return exit::fault(format!("no folder for the store: {error}")),
    };
    if args.nodes > 1 && args.postgres.is_none() {
        return exit::usage("--nodes needs --postgres: a file has one hub");
    }
    let demo = match start(&args, folder.path()).await {
        Ok(demo) => demo,
        Err(error) => return exit::fault(error),
    };
    let address = demo.address;
    // On standard error with --json, so that standard output is the verdict alone.
    let say = |text: String| if args.json { eprintln!("{text}") } else { println!("{text}") };
    say(format!("console  http://{address}/"));
    if let Some(token) = &demo.sign_in {
        say(format!("sign in  http://{address}/sign-in  with the token {token}"));
    }
    for system in &demo.real {
        say(format!("{system} is a real one: it is neither broken nor judged here"));
    }
    say(format!("API key  export CROSSDOCK_KEY={}  for `crossdock trace ORDER --url http://{address}` and others", demo.key));
    match args.orders {
        Some(count) => {
            let outcome = judged(&demo, &args, count).await;
            demo.stop();
            outcome
        }
        None => {
            say("orders are being placed; Ctrl-C ends the demo".into());
            tokio::select! {
                () = steady(&demo, args.rate.unwrap_or(2)) => {}
                () = run::stop_signal() => {}
            }
            demo.stop();
            exit::OK
        }
    }
}

/// Brings everything up.
async fn start(args: &Args, folder: &Path) -> Result<Demo, String> {
    let mut config = Config::default();
    // The market DE captures each shipment, which needs it.
    config.payment.multicapture = true;
    let channel = config.storefront.channel.clone();
    let now: serve::Clock = Arc::new(|| Clock::System.now().0);
    let systems = serve::start(World::new(args.seed, config), serve::Options::new(now))
        .await
        .map_err(|e| format!("a simulator cannot listen: {e}"))?;
    let systems = Arc::new(systems);

    let landscape = match &args.landscape {
        Some(folder) => hub::landscape(folder).map_err(|e| e.to_string())?,
        None => Landscape::from_folder(&fixture::demo_landscape(), &hub::known()).map_err(|report| report.to_string())?,
    };
    let landscape = Arc::new(landscape);
    let urls = systems.clone();
    let environment = move |name: &str| {
        let simulated = name.strip_prefix("CROSSDOCK_").and_then(|name| name.strip_suffix("_URL"));
        simulated.and_then(|system| urls.url(&system.to_ascii_lowercase())).or_else(|| std::env::var(name).ok())
    };
    let real = real(&landscape, &systems, &environment).map_err(|e| e.to_string())?;
    let poll = Duration::millis(if args.orders.is_some() { 200 } else { 1_000 });
    let mut core = crossdock_engine::core::Config::default();
    if args.orders.is_some() && args.faults.is_none() {
        // Nothing holds up what a notice belongs to; who waits for the verdict should not wait for strays.
        core.stray_after = Duration::seconds(15);
    }
    let (mut nodes, mut consoles) = (Vec::new(), Vec::new());
    for number in 1..=args.nodes {
        let store: Arc<dyn FullStore> = match &args.postgres {
            Some(url) => stores::postgres(url, folder.join("crossdock.key")).map_err(|e| e.to_string())?,
            None => stores::open(&StoreConfig::Sqlite { path: "crossdock.db".into() }, folder, &Retention::default())
                .map_err(|e| e.to_string())?,
        };
        let (listener, address) = listen(args.listen).await?;
        let node = NodeOptions {
            name: format!("demo-{number}").into(),
            run: crossdock_server::random::token(crossdock_server::random::system).into(),
            address: address.to_string().into(),
            ..NodeOptions::default()
        };
        let options = Options { core: core.clone(), node, reconcile_every: Some(Duration::minutes(1)), ..Options::default() };
        let wiring = hub::wire(&landscape, &environment, Some(poll)).map_err(|e| e.to_string())?;
        let running =
            Running::start(store.clone(), store.clone(), wiring, Clock::System, options).await.map_err(|e| e.to_string())?;
        nodes.push(running.clone());
        consoles.push((running, store, listener, address));
    }
    let mut told = None;
    for (running, store, listener, address) in consoles {
        let auth = Auth::new(Principals::default(), false, crossdock_server::random::system).map_err(|e| e.to_string())?;
        auth.load(&*store).await.map_err(|e| format!("{e:?}"))?;
        if told.is_none() {
            let sign_in = Some(auth.demo_token());
            // Made anew at every start: the text of an earlier one is known to nobody any more.
            auth.revoke_key(&*store, DEMO_KEY).await.map_err(|problem| problem.detail)?;
            let key = auth.add_key(&*store, DEMO_KEY, Role::Operator, Sites::All).await.map_err(|problem| problem.detail)?;
            told = Some((running.clone(), store.clone(), address, sign_in, key));
        }
        let panel = Arc::new(panel::Panel::new(systems.clone(), channel.clone()));
        let app = App::new(running, store.clone(), store, Arc::new(auth))
            .with_landscape(format!("demo, landscape {:.8}", landscape.hash()))
            .with_demo(panel);
        tokio::spawn(crossdock_server::serve(listener, crossdock_server::router(app), std::future::pending(), Duration(0)));
    }
    let (hub, store, address, sign_in, key) = told.ok_or("there is no hub")?;
    systems.set_hub(Some(format!("http://{address}")));
    Ok(Demo { hub, nodes, systems, store, real, channel, address, sign_in, key })
}

impl Demo {
    /// The hub that the next shopper goes to.
    fn next(&self) -> &Arc<Running> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        &self.nodes[NEXT.fetch_add(1, Ordering::Relaxed) % self.nodes.len()]
    }

    fn stop(&self) {
        self.nodes.iter().for_each(|node| node.stop());
    }
}

/// The systems that the landscape has elsewhere than at a simulator.
fn real(landscape: &Landscape, systems: &Systems, environment: &dyn Fn(&str) -> Option<String>) -> Result<Vec<String>, String> {
    let mut real = Vec::new();
    for system in landscape.systems() {
        let config = system.resolve(environment).map_err(|e| e.to_string())?;
        if systems.url(system.name().as_str()).as_deref() != Some(config.url.trim_end_matches('/')) {
            real.push(system.name().to_string());
        }
    }
    Ok(real)
}

/// The wished address, or the next free port after it.
async fn listen(wished: SocketAddr) -> Result<(TcpListener, SocketAddr), String> {
    let mut last = String::new();
    for step in 0..50 {
        let address = SocketAddr::new(wished.ip(), if wished.port() == 0 { 0 } else { wished.port().saturating_add(step) });
        match TcpListener::bind(address).await {
            Ok(listener) => {
                let address = listener.local_addr().map_err(|e| e.to_string())?;
                return Ok((listener, address));
            }
            Err(error) => last = error.to_string(),
        }
    }
    Err(format!("{wished} and the ports after it cannot be listened on: {last}"))
}

/// Orders for as long as the demo runs, each shopper's change of mind included.
async fn steady(demo: &Demo, rate: u32) {
    loop {
        place(demo);
        clock::pause(Duration(1_000 / i64::from(rate.max(1)))).await;
    }
}

/// Places the next order; a shopper who will cancel does so later.
fn place(demo: &Demo) -> Expectation {
    let expectation = demo.systems.world().place_next(demo.hub.now().0);
    demo.systems.wake();
    if let Some(after) = expectation.cancel_after_ms {
        tokio::spawn(cancel(
            demo.next().clone(),
            demo.channel.clone(),
            expectation.clone(),
            Duration(i64::try_from(after).unwrap_or(0)),
        ));
    }
    expectation
}

/// The shopper asks to cancel. He may be faster than the poll that brings his order.
async fn cancel(hub: Arc<Running>, channel: String, expectation: Expectation, after: Duration) {
    clock::pause(after).await;
    let process = ProcessKey::new("order", &format!("{channel}/{}/{}", expectation.site, expectation.order));
    let lines: Vec<Value> = expectation.cancel_lines.iter().map(|line| value!({"line": (line.as_str())})).collect();
    let mut body = value!({"reason": "the shopper asked"});
    if !lines.is_empty() {
        body.insert("lines", Value::from(lines));
    }
    for _ in 0..600 {
        let request = CommandRequest {
            process: process.clone(),
            name: "cancel".into(),
            body: body.clone(),
            idempotency_key: format!("shopper-{}", expectation.order).into(),
            seen_version: None,
            actor: "system:storefront".into(),
        };
        match hub.command(request).await {
            Ok(_) => return,
            Err(_) => clock::pause(Duration::millis(100)).await,
        }
    }
    tracing::warn!(order = expectation.order, "the shopper's cancellation never found its order");
}

/// A run of a fixed number of orders, judged from the systems' ledgers.
async fn judged(demo: &Demo, args: &Args, count: u32) -> ExitCode {
    if let Some(seed) = args.faults {
        faults::begin(&demo.systems, seed, demo.hub.now().0);
    }
    let pause = Duration(1_000 / i64::from(args.rate.unwrap_or(100).max(1)));
    let mut expectations = Vec::new();
    for _ in 0..count {
        expectations.push(place(demo));
        clock::pause(pause).await;
    }
    if args.faults.is_some() {
        faults::end(&demo.systems, &demo.hub).await;
    }
    let verdict = match judge::wait_and_judge(demo, &expectations, args.faults.is_some()).await {
        Ok(verdict) => verdict,
        Err(error) => return exit::fault(error),
    };
    if args.json {
        println!("{}", verdict.to_json());
    } else {
        print!("{verdict}");
    }
    if verdict.is_good() { exit::OK } else { exit::FAULT }
}

/// The store's folder: given, or temporary and removed at the end.
struct DataFolder {
    path: PathBuf,
    temporary: bool,
}

impl DataFolder {
    fn new(given: Option<&Path>) -> std::io::Result<Self> {
        let folder = match given {
            Some(path) => Self { path: path.to_owned(), temporary: false },
            None => Self { path: std::env::temp_dir().join(format!("crossdock-demo-{}", std::process::id())), temporary: true },
        };
        std::fs::create_dir_all(&folder.path)?;
        Ok(folder)
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        if self.temporary {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
