//! The rounds: raw and hub by turns, so that whatever else the machine does meets both; then latencies through all six effects at few
//! and many clients, memory, and the store that is full already.

use super::{
    Workload,
    child::{Child, Usage},
    cluster::Cluster,
    load::{Latencies, Load},
    orders::Orders,
    report::{EndToEnd, Filled, InFlight, Report, Round, Summary, load_average},
    watch::Watch,
};
use crate::exit;
use crossdock_canonical::Duration;
use crossdock_engine::shell::clock;
use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

/// Numbers of the benchmark's orders; those of a filled store are below.
const FIRST: u64 = 1_000_000_000;
/// Orders that are not counted, so that connections, caches and files are there.
const WARM_UP: u64 = 512;
/// Clients of the end-to-end latencies, and orders each of them places.
const CLIENTS: [usize; 3] = [1, 8, 64];
const ORDERS_EACH: u64 = 100;
const IN_FLIGHT: u64 = 50_000;
/// How long the systems take while so many are in flight.
const SLOW_MS: i64 = 20_000;
const WAIT_MAX: std::time::Duration = std::time::Duration::from_secs(600);

#[derive(clap::Args)]
pub struct Args {
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
    /// Shoppers at once.
    #[arg(long, default_value_t = 64)]
    clients: usize,
    /// Orders a round.
    #[arg(long, default_value_t = 10_000)]
    orders: u64,
    /// Rounds; the figures are their medians.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Also run on a store that holds this many closed orders, and give the ratio to an empty one.
    #[arg(long, default_value_t = 0)]
    filled: u64,
    /// Also measure the memory with 50,000 orders in flight.
    #[arg(long)]
    in_flight: bool,
    /// Only this workload.
    #[arg(long)]
    workload: Option<Workload>,
    /// What keeps the orders. With `postgres` a server of the benchmark's own is started, SQLite is measured in the same run for
    /// comparison, and so are several hubs on the one database.
    #[arg(long, default_value = "sqlite")]
    store: Engine,
    /// How many hubs share the database, one figure each; 0: only one hub.
    #[arg(long, value_delimiter = ',', default_values_t = [2, 3], requires = "store")]
    nodes: Vec<usize>,
    /// Where the stores are made, and removed at the end; on a disk, because memory syncs for nothing.
    #[arg(long)]
    data: Option<PathBuf>,
}

/// What keeps the orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Engine {
    Sqlite,
    Postgres,
}

pub async fn run(args: Args) -> ExitCode {
    let folder = args.data.clone().unwrap_or_else(std::env::temp_dir).join(format!("crossdock-bench-{}", std::process::id()));
    let measured = measure(&args, &folder).await;
    let _ = fs::remove_dir_all(&folder);
    match measured {
        Ok(report) => {
            if args.json {
                println!("{}", report.to_json());
            } else {
                print!("{report}");
            }
            if report.is_sound() { exit::OK } else { exit::FAULT }
        }
        Err(error) => exit::fault(error),
    }
}

async fn measure(args: &Args, folder: &Path) -> Result<Report, String> {
    fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    on_disk(folder)?;
    let began = load_average();
    let cluster = match args.store {
        Engine::Sqlite => None,
        Engine::Postgres => Some(Cluster::start(folder)?),
    };
    let mut workloads = Vec::new();
    for workload in Workload::ALL.into_iter().filter(|workload| args.workload.is_none_or(|only| only == *workload)) {
        let measured = Bench::measure(args, workload, &folder.join(workload.as_str()), cluster.as_ref()).await;
        workloads.push(measured.map_err(|e| format!("{}: {e}", workload.as_str()))?);
    }
    Ok(Report {
        clients: args.clients,
        orders: args.orders,
        rounds: args.rounds,
        load_average: [began, load_average()],
        workloads,
    })
}

/// Refuses a file system in memory: its syncs cost nothing.
fn on_disk(folder: &Path) -> Result<(), String> {
    let folder = folder.canonicalize().map_err(|e| e.to_string())?;
    let mounts = fs::read_to_string("/proc/mounts").map_err(|e| format!("/proc/mounts: {e}"))?;
    let mounted = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (place, kind) = (words.next()?, words.next()?);
        folder.starts_with(place).then_some((place.len(), kind))
    });
    match mounted.max_by_key(|(length, _)| *length) {
        Some((_, kind @ ("tmpfs" | "ramfs"))) => {
            Err(format!("{} is {kind}, where a sync costs nothing; give a folder on a disk with --data", folder.display()))
        }
        Some(_) | None => Ok(()),
    }
}

/// The processes of one workload.
struct Bench {
    workload: Workload,
    clients: usize,
    stub: Child,
    raw: Child,
    next: u64,
}

/// A hub, or several that share a database, with the store and the shoppers.
struct Hub<'c> {
    nodes: Vec<Child>,
    load: Arc<Load>,
    store: Kept<'c>,
}

/// Where a hub's orders lie.
#[derive(Clone)]
enum Kept<'c> {
    File(PathBuf),
    Database { url: String, key_file: PathBuf, cluster: &'c Cluster },
}

impl Kept<'_> {
    /// Bytes of the file and its log, or of all the cluster's tables.
    fn size(&self) -> u64 {
        match self {
            Self::File(path) => {
                let mut log = path.as_os_str().to_owned();
                log.push("-wal");
                let files = [path.clone(), PathBuf::from(log)];
                files.iter().filter_map(|path| fs::metadata(path).ok()).map(|found| found.len()).sum()
            }
            Self::Database { cluster, .. } => cluster.size(),
        }
    }
}

impl Hub<'_> {
    /// Of all nodes and their database.
    fn usage(&self) -> Result<Usage, String> {
        let mut usage = Usage::default();
        for node in &self.nodes {
            usage += node.usage()?;
        }
        if let Kept::Database { cluster, .. } = &self.store {
            usage += Usage { resident: 0, peak: 0, ..cluster.usage()? };
        }
        Ok(usage)
    }

    async fn idle(&mut self) -> Result<(), String> {
        for node in &mut self.nodes {
            node.ask("idle").await?;
        }
        Ok(())
    }
}

impl Bench {
    async fn measure(args: &Args, workload: Workload, folder: &Path, cluster: Option<&Cluster>) -> Result<Summary, String> {
        fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let stub = Child::start(&["stub"]).await?;
        let raw = Child::start(&["raw", "--workload", workload.as_str(), "--systems", stub.text("systems")]).await?;
        let mut bench = Self { workload, clients: args.clients, stub, raw, next: FIRST };
        let kept = |name: &str| bench_store(folder, &format!("{}_{name}", workload.as_str()), cluster);

        let mut hub = bench.hub(kept("empty")?, 1).await?;
        let mut summary = bench.rounds(&mut hub, args).await?;
        summary.end_to_end = bench.end_to_end(&mut hub).await?;
        summary.idle_bytes = hub.usage()?.resident;
        if args.filled > 0 {
            summary.filled = Some(bench.filled(&mut hub, args, kept("filled")?).await?);
        }
        drop(hub);
        if args.in_flight {
            let mut fresh = bench.hub(kept("flight")?, 1).await?;
            summary.in_flight = Some(bench.in_flight(&mut fresh).await?);
        }
        if cluster.is_some() {
            for count in args.nodes.iter().copied().filter(|count| *count > 0) {
                let mut nodes = bench.hub(kept(&format!("nodes_{count}"))?, count).await?;
                summary.nodes.push((count, bench.rounds(&mut nodes, args).await?));
            }
            let mut embedded = bench.hub(bench_store(folder, "embedded", None)?, 1).await?;
            summary.embedded = Some(Box::new(bench.rounds(&mut embedded, args).await?));
        }
        let seen = bench.stub.ask("count").await?;
        summary.out_of_order = seen["out_of_order"].as_u64().unwrap_or(0);
        summary.repeated = seen["repeated"].as_u64().unwrap_or(0);
        Ok(summary)
    }

    async fn rounds(&mut self, hub: &mut Hub<'_>, args: &Args) -> Result<Summary, String> {
        let mut summary = Summary { workload: self.workload.as_str(), ..Summary::default() };
        self.warm_up(hub).await?;
        for _ in 0..args.rounds {
            summary.rounds.push(self.round(hub, args.orders).await?);
        }
        Ok(summary)
    }

    async fn hub<'c>(&self, store: Kept<'c>, count: usize) -> Result<Hub<'c>, String> {
        let place = match &store {
            Kept::File(path) => path.to_str().ok_or("the folder's name is not text")?,
            Kept::Database { url, .. } => url,
        };
        let mut args =
            vec!["hub", "--workload", self.workload.as_str(), "--systems", self.stub.text("systems"), "--store", place];
        if let Kept::Database { key_file, .. } = &store {
            args.extend(["--key-file", key_file.to_str().ok_or("the folder's name is not text")?]);
        }
        let mut nodes = Vec::new();
        for _ in 0..count {
            nodes.push(Child::start(&args).await?);
        }
        let urls = nodes.iter().map(|node| node.text("url").to_owned()).collect();
        let orders = nodes.iter().map(|node| Orders::new(self.workload, node.text("key"))).collect();
        let load = Load::new(urls, self.stub.text("url"), orders);
        Ok(Hub { nodes, load, store })
    }

    fn numbers(&mut self, count: u64) -> std::ops::Range<u64> {
        self.next += count;
        self.next - count..self.next
    }

    async fn warm_up(&mut self, hub: &mut Hub<'_>) -> Result<(), String> {
        self.raw(WARM_UP).await?;
        self.through(hub, WARM_UP).await?;
        Ok(())
    }

    /// The same number of orders without the hub and with it.
    async fn round(&mut self, hub: &mut Hub<'_>, orders: u64) -> Result<Round, String> {
        let (raw_seconds, raw_cpu_ms) = self.raw(orders).await?;
        let before = (hub.usage()?, hub.store.size());
        let (seconds, accept) = self.through(hub, orders).await?;
        let after = (hub.usage()?, hub.store.size());
        let each = |bytes: u64| bytes as f64 / orders as f64;
        Ok(Round {
            orders_per_s: orders as f64 / seconds,
            raw_orders_per_s: orders as f64 / raw_seconds,
            cpu_ms: each(after.0.cpu_ms - before.0.cpu_ms),
            raw_cpu_ms: each(raw_cpu_ms),
            accept_p50_ms: accept.percentile(50),
            accept_p99_ms: accept.percentile(99),
            store_bytes: each(after.1.saturating_sub(before.1)),
            written_bytes: each(after.0.written - before.0.written),
        })
    }

    /// Seconds and CPU of the calls without a hub.
    async fn raw(&mut self, orders: u64) -> Result<(f64, u64), String> {
        self.stub.ask("forget").await?;
        let before = self.raw.usage()?;
        let numbers = self.numbers(orders);
        let told = self.raw.ask(&format!("{} {} {}", numbers.start, numbers.end, self.clients)).await?;
        let micros = told["micros"].as_u64().ok_or("the raw caller gave no time")?;
        Ok((micros as f64 / 1e6, self.raw.usage()?.cpu_ms - before.cpu_ms))
    }

    /// Places orders and waits until each has had its sixth effect and the last outcome is on disk; seconds to the last effect.
    async fn through(&mut self, hub: &mut Hub<'_>, orders: u64) -> Result<(f64, Latencies), String> {
        self.stub.ask("forget").await?;
        let numbers = self.numbers(orders);
        let watch = Watch::start();
        let accept = hub.load.place(numbers, self.clients).await?;
        let seconds = self.all_done(orders, watch).await?;
        hub.idle().await?;
        Ok((seconds, accept))
    }

    async fn all_done(&mut self, orders: u64, watch: Watch) -> Result<f64, String> {
        loop {
            let unique = self.stub.ask("count").await?["unique"].as_u64().unwrap_or(0);
            if unique == orders * 6 {
                return Ok(watch.elapsed().as_secs_f64());
            }
            if watch.elapsed() > WAIT_MAX {
                return Err(format!("{} of {} effects are missing", orders * 6 - unique, orders * 6));
            }
            clock::pause(Duration::millis(5)).await;
        }
    }

    async fn end_to_end(&mut self, hub: &mut Hub<'_>) -> Result<Vec<EndToEnd>, String> {
        let mut all = Vec::new();
        for clients in CLIENTS {
            self.stub.ask("forget").await?;
            let numbers = self.numbers(ORDERS_EACH * clients as u64);
            let latencies = hub.load.carry(numbers, clients).await?;
            hub.idle().await?;
            all.push(EndToEnd { clients, p50_ms: latencies.percentile(50), p99_ms: latencies.percentile(99) });
        }
        Ok(all)
    }

    /// The empty store and the full one by turns.
    async fn filled(&mut self, empty: &mut Hub<'_>, args: &Args, store: Kept<'_>) -> Result<Filled, String> {
        let Kept::File(path) = &store else {
            return Err("--filled fills a file: leave it out with --store postgres".into());
        };
        let path = path.to_str().ok_or("the folder's name is not text")?.to_owned();
        let watch = Watch::start();
        let filling = ["fill", "--workload", self.workload.as_str(), "--store", &path, "--orders", &args.filled.to_string()];
        drop(Child::start(&filling).await?);
        let fill_seconds = watch.elapsed().as_secs_f64();
        let mut full = self.hub(store, 1).await?;
        self.warm_up(&mut full).await?;
        let mut filled = Filled { orders: args.filled, fill_seconds, store_bytes: full.store.size(), ..Filled::default() };
        for _ in 0..args.rounds {
            filled.empty.push(self.round(empty, args.orders).await?);
            filled.full.push(self.round(&mut full, args.orders).await?);
        }
        Ok(filled)
    }

    /// Many orders accepted while their systems take long: the memory at its peak. Then the systems mend, and none may be lost.
    async fn in_flight(&mut self, hub: &mut Hub<'_>) -> Result<InFlight, String> {
        self.stub.ask("forget").await?;
        self.stub.ask(&format!("delay {SLOW_MS}")).await?;
        let numbers = self.numbers(IN_FLIGHT);
        let watch = Watch::start();
        hub.load.place(numbers, self.clients).await?;
        let accepted_seconds = watch.elapsed().as_secs_f64();
        let Usage { resident, peak, .. } = hub.usage()?;
        self.stub.ask("delay 0").await?;
        let done_seconds = self.all_done(IN_FLIGHT, watch).await?;
        Ok(InFlight {
            orders: IN_FLIGHT,
            bytes: resident,
            peak_bytes: peak.max(hub.usage()?.peak),
            accepted_seconds,
            done_seconds,
        })
    }
}

/// A store of its own for one hub: a file in `folder`, or a database of the cluster.
fn bench_store<'c>(folder: &Path, name: &str, cluster: Option<&'c Cluster>) -> Result<Kept<'c>, String> {
    Ok(match cluster {
        None => Kept::File(folder.join(format!("{name}.db"))),
        Some(cluster) => Kept::Database { url: cluster.database(name)?, key_file: folder.join(format!("{name}.key")), cluster },
    })
}
