//! Three hubs on one database: their folder, addresses and roads, and what is done to their processes.

use super::{
    moment::{self, Trap},
    road::Balancer,
    way::{Cut, Layout, Way},
    witness,
};
use crate::{
    cluster::{DATABASE, Server},
    crash::Scratch,
    kill::hub::{Hub, START_MAX, copy},
};
use crossdock_canonical::Duration;
use crossdock_connect::http::{Method, Request};
use crossdock_engine::shell::{
    client::Client,
    clock::{self, Stopwatch},
};
use crossdock_server::{
    Auth, Principals,
    auth::roles::{Role, Sites},
};
use crossdock_simulators::{SYSTEMS, serve::Running as Systems};
use crossdock_store::{KeySource, PostgresOptions, PostgresStore};
use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
};
use tokio::process::Command;

const NAMES: [&str; 3] = ["node-0", "node-1", "node-2"];
pub(super) const NODES: usize = NAMES.len();
const LOOK: Duration = Duration::millis(50);
/// How long the kernel may take to stop a process.
const STANDS_WITHIN: Duration = Duration::seconds(5);
/// How often a balancer asks a node whether it is ready.
const ASK_EVERY: Duration = Duration::millis(200);
const READY_WITHIN: Duration = Duration::seconds(1);

/// What PostgreSQL itself keeps watch over.
const WATCH: &str = "
    CREATE TABLE public.stale (at TIMESTAMPTZ DEFAULT now(), partition INT2, written INT8, held INT8);
    CREATE FUNCTION public.watch() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE held INT8;
    BEGIN
        SELECT l.epoch INTO held FROM crossdock.lease l WHERE l.partition = NEW.partition;
        IF NEW.epoch IS DISTINCT FROM held THEN
            INSERT INTO public.stale (partition, written, held) VALUES (NEW.partition, NEW.epoch, held);
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER watched AFTER INSERT OR UPDATE ON crossdock.effect FOR EACH ROW EXECUTE FUNCTION public.watch()";

pub(super) struct Site {
    pub server: Arc<Server>,
    pub balancer: Balancer,
    /// Where the systems are to listen.
    pub systems: Ipv4Addr,
    /// How ways are cut, for people.
    pub cuts: String,
    pub nodes: Vec<Node>,
    folder: PathBuf,
    program: PathBuf,
    _scratch: Option<Scratch>,
}

pub(super) struct Node {
    pub name: &'static str,
    pub address: SocketAddr,
    pub way: Way,
    pub trap: Trap,
    hub: Option<Hub>,
    /// Whether the balancer sends it anything, and whether it should own partitions.
    pub well: bool,
}

impl Node {
    pub fn pid(&self) -> Result<u32, String> {
        self.hub.as_ref().and_then(Hub::pid).ok_or_else(|| format!("{} does not run", self.name))
    }
}

impl Site {
    pub async fn new(program: &Path, keep: Option<&Path>, apart: Result<(), String>, lookup_only: bool) -> Result<Self, String> {
        let (folder, scratch) = match keep {
            Some(folder) => {
                fs::create_dir_all(folder).map_err(|e| format!("{} cannot be made: {e}", folder.display()))?;
                (folder.to_owned(), None)
            }
            None => {
                let scratch = Scratch::within(&std::env::temp_dir(), &format!("crossdock-nodes-{}", std::process::id()))?;
                (scratch.path().to_owned(), Some(scratch))
            }
        };
        let folder = fs::canonicalize(&folder).map_err(|e| format!("{} is no folder: {e}", folder.display()))?;
        let layout = Layout::new(NODES, apart).await?;
        let (database, systems, cuts) = (layout.database, layout.systems, layout.cuts());
        let starting = tokio::task::spawn_blocking(move || Server::primary("nodes-pg", database));
        let server = Arc::new(starting.await.map_err(|e| e.to_string())??);
        let mut nodes = Vec::new();
        for ((name, trap), (way, address)) in NAMES.into_iter().zip(Trap::all(&NAMES, &folder)?).zip(layout.ways(NODES).await?) {
            nodes.push(Node { name, address, way, trap, hub: None, well: false });
        }
        landscape(&folder, lookup_only).map_err(|e| format!("the landscape cannot be copied: {e}"))?;
        Ok(Self {
            server,
            balancer: Balancer::new().await?,
            systems,
            cuts,
            nodes,
            folder,
            program: program.to_owned(),
            _scratch: scratch,
        })
    }

    /// Opens the store by the straight road.
    pub async fn open(&self) -> Result<PostgresStore, String> {
        let options = PostgresOptions {
            answer_within: std::time::Duration::from_secs(30),
            ..PostgresOptions::new(self.server.url_by(self.server.address), KeySource::File(self.key_file()))
        };
        let opening = tokio::task::spawn_blocking(move || PostgresStore::open(&options));
        opening.await.map_err(|e| e.to_string())?.map_err(|e| format!("the store does not open: {e}"))
    }

    /// Makes the schema, an API key for all sites and one for a single site, and what watches over the epochs.
    pub async fn prepare(&self) -> Result<(String, String), String> {
        let store = self.open().await?;
        let auth = Auth::new(Principals::default(), false, crossdock_server::random::system).map_err(|e| e.to_string())?;
        auth.load(&store).await.map_err(|problem| problem.detail)?;
        let key = auth.add_key(&store, "shopper", Role::Machine, Sites::All).await.map_err(|problem| problem.detail)?;
        let one = Sites::Only([format!("{}/{}", witness::CHANNEL, witness::ONE_SITE)].into());
        let bound = auth.add_key(&store, "one-site", Role::Machine, one).await.map_err(|problem| problem.detail)?;
        tokio::task::spawn_blocking(move || drop(store)).await.map_err(|e| e.to_string())?;
        self.ask(WATCH).await?;
        Ok((key, bound))
    }

    /// Asks one question, or does one thing; its rows, a line each, columns cut by `|`.
    pub async fn ask(&self, sql: &str) -> Result<Vec<String>, String> {
        let (server, sql) = (self.server.clone(), sql.to_owned());
        let asking = tokio::task::spawn_blocking(move || server.sql(DATABASE, &sql));
        Ok(asking.await.map_err(|e| e.to_string())??.lines().map(str::to_owned).collect())
    }

    /// Asks for one number.
    pub async fn number(&self, sql: &str) -> Result<u64, String> {
        let lines = self.ask(sql).await?;
        lines.first().and_then(|line| line.parse().ok()).ok_or_else(|| format!("{sql}: no number"))
    }

    fn key_file(&self) -> PathBuf {
        self.folder.join("crossdock.key")
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn log_path(&self, at: usize) -> PathBuf {
        self.folder.join(format!("{}.log", self.nodes[at].name))
    }

    /// Starts a node and waits until it listens. One that ends before is started again, as a supervisor would; how often that was.
    pub async fn start(&mut self, at: usize, systems: &Systems) -> Result<u64, String> {
        let (watch, mut again) = (Stopwatch::start(), 0);
        loop {
            let mut hub = self.spawn(at, systems)?;
            match hub.is_up().await {
                Ok(_) => self.nodes[at].hub = Some(hub),
                Err(reason) if watch.elapsed() > START_MAX => return Err(reason),
                Err(_) => {
                    again += 1;
                    clock::pause(LOOK).await;
                    continue;
                }
            }
            self.set_well(at, true);
            return Ok(again);
        }
    }

    fn spawn(&self, at: usize, systems: &Systems) -> Result<Hub, String> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_path(at)).map_err(|e| format!("no log: {e}"))?;
        let node = &self.nodes[at];
        let url = self.server.url_by(node.way.database(self.server.address));
        let mut command = node.way.command(&self.program);
        command.arg("run").arg("--landscape").arg(self.folder.join("landscape"));
        command.args(["--listen", &node.address.to_string(), "--node", node.name]).env("CROSSDOCK_DATABASE", url);
        for system in SYSTEMS {
            command.env(format!("CROSSDOCK_{}_URL", system.to_uppercase()), systems.url(system).unwrap_or_default());
        }
        node.trap.put_into(&mut command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        Hub::spawn(command)
    }

    pub fn set_well(&mut self, at: usize, well: bool) {
        self.nodes[at].well = well;
        self.balancer.set_well(self.nodes.iter().filter(|node| node.well).map(|node| node.address).collect());
    }

    pub async fn kill(&mut self, at: usize) -> Result<(), String> {
        self.set_well(at, false);
        self.nodes[at].hub.take().ok_or("it does not run")?.kill().await
    }

    /// Cuts it off in one direction.
    pub async fn cut(&mut self, at: usize, cut: Cut) -> Result<(), String> {
        self.nodes[at].way.cut(cut).await?;
        self.set_well(at, false);
        Ok(())
    }

    pub async fn mend(&mut self, at: usize) -> Result<(), String> {
        self.nodes[at].way.mend().await?;
        self.set_well(at, true);
        Ok(())
    }

    pub async fn signal(&self, at: usize, signal: &str) -> Result<(), String> {
        let pid = self.nodes[at].pid()?;
        let sent = Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).status().await;
        if sent.is_ok_and(|status| status.success()) { Ok(()) } else { Err(format!("{signal} was not sent to {pid}")) }
    }

    /// Waits until it has stepped into its trap and stands still. When it does not in time, the trap is taken away: `false`.
    pub async fn steps_in(&self, at: usize, within: Duration) -> Result<bool, String> {
        let (watch, node) = (Stopwatch::start(), &self.nodes[at]);
        let pid = node.pid()?;
        while !moment::has_stopped(pid) {
            if watch.elapsed() > within && node.trap.lift() {
                return Ok(false);
            }
            if watch.elapsed().0 > within.0 + STANDS_WITHIN.0 {
                return Err("it has stepped into the trap and does not stand still".into());
            }
            clock::pause(LOOK).await;
        }
        Ok(true)
    }

    /// Stops it as a person would; how long it took to be gone.
    pub async fn stop(&mut self, at: usize) -> Result<Duration, String> {
        let watch = Stopwatch::start();
        self.signal(at, "TERM").await?;
        self.is_gone(at, &watch).await
    }

    /// Stops it as an upgrade does: the balancer leaves it out when it hears from `/readyz` that it goes, and not before.
    pub async fn retire(&mut self, at: usize) -> Result<Duration, String> {
        let watch = Stopwatch::start();
        self.signal(at, "TERM").await?;
        let probe = Client::new(1 << 10);
        let base = format!("http://{}", self.nodes[at].address);
        while probe.raw(&base, Request::new(Method::Get, "/readyz"), READY_WITHIN).await.is_ok_and(|answer| answer.is_success()) {
            clock::pause(ASK_EVERY).await;
        }
        self.is_gone(at, &watch).await
    }

    /// Sends it nothing more and waits until it has ended; how long that took by the watch.
    async fn is_gone(&mut self, at: usize, watch: &Stopwatch) -> Result<Duration, String> {
        self.set_well(at, false);
        let hub = self.nodes[at].hub.take().ok_or("it does not run")?;
        let status = hub.has_ended().await?;
        if status.success() { Ok(watch.elapsed()) } else { Err(format!("it ended with {status}")) }
    }

    /// Waits until all partitions are spread evenly over the nodes that are well; how long that took, `None` when it was not by then.
    pub async fn is_even(&self, within: Duration) -> Result<Option<Duration>, String> {
        let watch = Stopwatch::start();
        let names: Vec<&str> = self.nodes.iter().filter(|node| node.well).map(|node| node.name).collect();
        while watch.elapsed() < within {
            let mut held: BTreeMap<String, Vec<usize>> = BTreeMap::new();
            for line in self.ask("SELECT node, count(*) FROM crossdock.lease GROUP BY node").await? {
                let (id, count) = line.rsplit_once('|').unwrap_or_default();
                let name = id.split('/').next().unwrap_or_default();
                held.entry(name.to_owned()).or_default().push(count.parse().unwrap_or(0));
            }
            // Each by one run of it.
            let counts: Vec<usize> = held.values().filter(|runs| runs.len() == 1).map(|runs| runs[0]).collect();
            let (least, most) = (counts.iter().min().copied().unwrap_or(0), counts.iter().max().copied().unwrap_or(0));
            if held.keys().eq(names.iter().copied()) && counts.len() == names.len() && most - least <= 1 {
                return Ok(Some(watch.elapsed()));
            }
            clock::pause(LOOK).await;
        }
        Ok(None)
    }
}

/// The system that cannot refuse a repeat, if there is to be one: it takes every order, and only shows that it has two of them.
pub(super) const TAKES_REPEATS: &str = "erp";
/// What of it.
pub(super) const REPEATED: &str = "erp/sales-orders";
/// How often the systems are asked whether they have what they should have.
pub(super) const RECONCILED_EVERY: Duration = Duration::seconds(15);

/// Copies the demo's landscape, but for where the store is, how often orders are looked after, and perhaps one system's identity class.
fn landscape(folder: &Path, lookup_only: bool) -> std::io::Result<()> {
    let to = &folder.join("landscape");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../landscapes/demo"), to)?;
    let node = to.join("crossdock.yaml");
    let store = format!("kind: postgres\n  url: env:CROSSDOCK_DATABASE\n  key_file: {}", folder.join("crossdock.key").display());
    let text = fs::read_to_string(&node)?
        .replace("kind: sqlite\n  path: crossdock-demo.db", &store)
        .replace("reconcile_every: 5m", &format!("reconcile_every: {}ms\ndrain: 2s", RECONCILED_EVERY.0));
    fs::write(node, text)?;
    for system in fs::read_dir(to.join("systems"))? {
        keep_secrets(&system?.path(), folder)?;
    }
    if !lookup_only {
        return Ok(());
    }
    let system = to.join(format!("systems/{TAKES_REPEATS}.yaml"));
    let text = fs::read_to_string(&system)?;
    let (before, after) = text.split_once(FOUND).ok_or_else(|| std::io::Error::other("the ERP's probe is not as it was"))?;
    fs::write(system, format!("{before}{FOUND_TWICE}{FOUND}{TAKEN_BACK}{after}"))
}

/// Where the demo's ERP says that an order is there.
const FOUND: &str = "          - when: .status == 200
            verdict: complete
";
const FOUND_TWICE: &str = "          - when: .status == 200 and (.body.data | length) > 1
            verdict: several
            records: '[ .body.data[] | { id, gone: (.state == \"cancelled\") } ]'
";
const TAKEN_BACK: &str = "      identity: lookup_only
      retract:
        method: POST
        path: /sales-orders/{.copy}/cancellations
        body:
          external_reference: .reference + \"/copy/\" + .copy
        outcomes:
          - when: .status == 409 and (.body.error.code == \"already_cancelled\" or .body.error.code == \"duplicate_reference\")
            class: done
";

/// Puts a simulator's secrets into files: as they stand, they may only be sent to the loopback, and a node may be elsewhere.
fn keep_secrets(system: &Path, folder: &Path) -> std::io::Result<()> {
    let text = fs::read_to_string(system)?;
    let mut kept = String::new();
    for line in text.lines() {
        match line.split_once(": sim:") {
            Some((field, secret)) => {
                let file = folder.join(format!("{secret}.secret"));
                fs::write(&file, secret)?;
                kept.push_str(&format!("{field}: file:{}\n", file.display()));
            }
            None => kept.extend([line, "\n"]),
        }
    }
    fs::write(system, kept)
}
