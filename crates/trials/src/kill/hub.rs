//! The hub as a child process: the shipped program on a copy of the demo's landscape, killed by number.

use crate::{address, crash::Scratch, program};
use crossdock_canonical::Duration;
use crossdock_engine::shell::clock::{self, Stopwatch};
use crossdock_server::{
    Auth, Principals,
    auth::roles::{Role, Sites},
};
use crossdock_simulators::{SYSTEMS, serve::Running as Systems};
use crossdock_store::{
    FullStore, KeySource, PostgresOptions, PostgresStore,
    sqlite::{Options, SqliteStore},
};
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdout, Command},
};

/// How long a hub may take until it listens, on a busy machine and after any kill.
pub(crate) const START_MAX: Duration = Duration::seconds(60);

/// The landscape's folder and the store's file, in the ground's folder.
const LANDSCAPE: &str = "landscape";
const STORE: &str = "hub.db";
/// The variable that holds a database's address.
const DATABASE: &str = "CROSSDOCK_DATABASE";

/// Where a hub lives across its deaths.
pub(crate) struct Ground {
    folder: PathBuf,
    /// The same at every start, so that notifications find it again.
    pub address: SocketAddr,
    pub program: PathBuf,
    /// The database, when the store is not the file.
    database: Option<String>,
    _scratch: Option<Scratch>,
}

/// A hub that runs, or is about to.
pub(crate) struct Hub {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
}

impl Ground {
    /// A folder with the landscape; `keep` names it and leaves it behind.
    pub fn new(keep: Option<&Path>) -> Result<Self, String> {
        let program = program::crossdock()?;
        let (folder, scratch) = match keep {
            Some(folder) => {
                fs::create_dir_all(folder).map_err(|e| format!("{} cannot be made: {e}", folder.display()))?;
                (folder.to_owned(), None)
            }
            None => {
                let scratch = Scratch::within(&std::env::temp_dir(), &format!("crossdock-kill-{}", std::process::id()))?;
                (scratch.path().to_owned(), Some(scratch))
            }
        };
        let folder = fs::canonicalize(&folder).map_err(|e| format!("{} is no folder: {e}", folder.display()))?;
        landscape(&folder).map_err(|e| format!("the landscape cannot be copied: {e}"))?;
        let address = address::own()?;
        Ok(Self { folder, address, program, database: None, _scratch: scratch })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn store_path(&self) -> PathBuf {
        self.folder.join(STORE)
    }

    pub fn log_path(&self) -> PathBuf {
        self.folder.join("hub.log")
    }

    pub fn key_path(&self) -> PathBuf {
        self.folder.join(format!("{STORE}.key"))
    }

    /// From its next start on the hub's store is a database, under the key that the file has or would have.
    pub fn use_database(&mut self, url: &str) -> Result<(), String> {
        let node = self.folder.join(LANDSCAPE).join("crossdock.yaml");
        let (store, key) = (self.store_path().display().to_string(), self.key_path().display().to_string());
        let database = format!("  kind: postgres\n  url: env:{DATABASE}\n  key_file: {key}\n");
        let changed = fs::read_to_string(&node)
            .and_then(|text| fs::write(&node, text.replace(&format!("  kind: sqlite\n  path: {store}\n"), &database)));
        changed.map_err(|e| format!("{} cannot be changed: {e}", node.display()))?;
        self.database = Some(url.to_owned());
        Ok(())
    }

    /// From its next start on the hub takes orders once more that the storefront gave since an instant.
    pub fn recover_since(&self, since: crossdock_canonical::Timestamp) -> Result<(), String> {
        let file = self.folder.join(LANDSCAPE).join("systems/storefront.yaml");
        let changed = fs::read_to_string(&file).and_then(|text| {
            fs::write(&file, text.replace("  export: [ready]\n", &format!("  export: [ready]\n  recover: {since}\n")))
        });
        changed.map_err(|e| format!("{} cannot be changed: {e}", file.display()))
    }

    /// Opens the store; a file only while no hub runs on it.
    pub fn open(&self) -> Result<Box<dyn FullStore>, String> {
        let opened: Result<Box<dyn FullStore>, _> = match &self.database {
            None => SqliteStore::open(&Options::new(self.store_path())).map(|store| Box::new(store) as _),
            Some(url) => {
                let options = PostgresOptions {
                    answer_within: std::time::Duration::from_secs(30),
                    ..PostgresOptions::new(url, KeySource::File(self.key_path()))
                };
                PostgresStore::open(&options).map(|store| Box::new(store) as _)
            }
        };
        opened.map_err(|e| format!("the store does not open: {e}"))
    }

    /// Makes an API key before the first start.
    pub async fn key(&self) -> Result<String, String> {
        let store = self.open()?;
        let auth = Auth::new(Principals::default(), false, crossdock_server::random::system).map_err(|e| e.to_string())?;
        auth.load(&*store).await.map_err(|problem| problem.detail)?;
        let key = auth.add_key(&*store, "shopper", Role::Machine, Sites::All).await;
        key.map_err(|problem| problem.detail.to_string())
    }

    /// Starts the program; it takes a while until it listens.
    pub fn start(&self, systems: &Systems) -> Result<Hub, String> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_path());
        let log = log.map_err(|e| format!("no log: {e}"))?;
        let mut command = Command::new(&self.program);
        command.arg("run").arg("--landscape").arg(self.folder.join(LANDSCAPE)).arg("--listen").arg(self.address.to_string());
        for system in SYSTEMS {
            command.env(format!("CROSSDOCK_{}_URL", system.to_uppercase()), systems.url(system).unwrap_or_default());
        }
        if let Some(url) = &self.database {
            command.env(DATABASE, url);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        Hub::spawn(command)
    }
}

impl Hub {
    /// Starts a hub whose command line and output are set.
    pub fn spawn(mut command: Command) -> Result<Self, String> {
        let mut child = command.spawn().map_err(|e| format!("the hub does not start: {e}"))?;
        let stdout = child.stdout.take().map(BufReader::new);
        Ok(Self { child, stdout })
    }

    /// The process's number.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until it has ended by itself.
    pub async fn has_ended(mut self) -> Result<std::process::ExitStatus, String> {
        self.child.wait().await.map_err(|e| format!("the hub cannot be waited for: {e}"))
    }

    /// Waits until it says that it listens.
    pub async fn is_up(&mut self) -> Result<Duration, String> {
        let watch = Stopwatch::start();
        let Some(mut stdout) = self.stdout.take() else { return Ok(Duration(0)) };
        let mut line = String::new();
        tokio::select! {
            read = stdout.read_line(&mut line) => {
                if !matches!(read, Ok(count) if count > 0) {
                    let status = self.child.wait().await.map(|status| status.to_string()).unwrap_or_default();
                    return Err(format!("the hub did not come up again: {status}"));
                }
            }
            () = clock::pause(START_MAX) => return Err(format!("the hub did not listen within {} s", START_MAX.0 / 1_000)),
        }
        // It may say more; nobody must be told that nobody listens.
        tokio::spawn(async move {
            let mut rest = String::new();
            while matches!(stdout.read_line(&mut rest).await, Ok(count) if count > 0) {
                rest.clear();
            }
        });
        Ok(watch.elapsed())
    }

    /// `kill -9`, and waits until the kernel has taken everything back. An error if it had ended by itself.
    pub async fn kill(mut self) -> Result<(), String> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Err(format!("the hub had ended by itself: {status}"));
        }
        self.child.kill().await.map_err(|e| format!("the hub cannot be killed: {e}"))
    }
}

/// Copies the demo's landscape, but for where the store is and how often open orders are looked after.
fn landscape(folder: &Path) -> std::io::Result<()> {
    let to = &folder.join(LANDSCAPE);
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../landscapes/demo");
    copy(&from, to)?;
    let node = to.join("crossdock.yaml");
    let store = folder.join(STORE).display().to_string();
    let text =
        fs::read_to_string(&node)?.replace("crossdock-demo.db", &store).replace("reconcile_every: 5m", "reconcile_every: 15s");
    fs::write(node, text)
}

pub(crate) fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() { copy(&entry.path(), &target)? } else { fs::copy(entry.path(), target).map(|_| ())? }
    }
    Ok(())
}
