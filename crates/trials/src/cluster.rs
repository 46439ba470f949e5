//! PostgreSQL servers of a campaign's own, one or a primary and its synchronous standby: killed, promoted and built anew. They listen on
//! an address that nobody outside reaches, and are gone when it ends, however it ends.

use crate::{address, crash::memory};
use crossdock_canonical::Duration;
use crossdock_engine::shell::clock::{self, Stopwatch};
use std::{
    fs,
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

const INSTALL: &str = "apt-get update && apt-get install --no-install-recommends postgresql-15";
const USER: &str = "crossdock";
pub(crate) const DATABASE: &str = "hub";
/// The server does not run as root; Debian's package brings this user.
const OWNER: &str = "postgres";
const SETTINGS: &str = "shared_buffers = 128MB\nmax_connections = 100\njit = off\nmax_wal_senders = 8\nwal_keep_size = 256MB\n\
     hot_standby = on\ninclude_if_exists = 'trial.conf'\n";
const ACCESS: &str = "local all all trust\nhost all all 127.0.0.0/8 trust\nhost all all 10.0.0.0/8 trust\nhost replication all 127.0.0.0/8 trust\n";
const READY_MAX: Duration = Duration::seconds(60);
const LOOK_EVERY: Duration = Duration::millis(50);

pub(crate) struct Server {
    bin: PathBuf,
    folder: PathBuf,
    pub(crate) address: SocketAddr,
    /// Stops and removes all when its input ends, which it does with this process at the latest.
    keeper: (Child, Option<ChildStdin>),
}

impl Server {
    /// A new server with an empty database, running.
    pub(crate) fn primary(name: &str, address: SocketAddr) -> Result<Self, String> {
        let server = Self::new(name, address)?;
        server.begin()?;
        Ok(server)
    }

    /// The same with its files in memory, for trials that do not ask what a disk keeps.
    pub(crate) fn in_memory(name: &str) -> Result<Self, String> {
        let server = Self::within(&memory(), name, address::own()?)?;
        server.begin()?;
        Ok(server)
    }

    fn begin(&self) -> Result<(), String> {
        self.control(&["initdb", "-U", USER, "-A", "trust", "-E", "UTF8", "--locale", "C.UTF-8", "--no-sync"])?;
        let add = |file: &str, text: &str, whole: bool| {
            let path = self.data().join(file);
            let before = if whole { String::new() } else { fs::read_to_string(&path).unwrap_or_default() };
            fs::write(&path, before + text).map_err(|e| format!("{} cannot be written: {e}", path.display()))
        };
        add("postgresql.conf", SETTINGS, false)?;
        add("pg_hba.conf", ACCESS, true)?;
        self.start()?;
        self.sql("postgres", &format!("CREATE DATABASE {DATABASE}")).map(drop)
    }

    /// A folder and an address, with nothing in it.
    pub(crate) fn new(name: &str, address: SocketAddr) -> Result<Self, String> {
        Self::within(&std::env::temp_dir(), name, address)
    }

    fn within(parent: &Path, name: &str, address: SocketAddr) -> Result<Self, String> {
        let bin = programs()?;
        let folder = parent.join(format!("crossdock-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).map_err(|e| format!("{} cannot be made: {e}", folder.display()))?;
        give(&folder)?;
        let mut keeper = Command::new("sh");
        keeper.args(["-c", "read -r _; \"$@\" >/dev/null 2>&1; rm -rf \"$0\""]).arg(&folder);
        let data = folder.join("data");
        let stop = bin.join("pg_ctl");
        keeper.args(as_owner(&[&stop.to_string_lossy(), "-D", &data.to_string_lossy(), "-m", "immediate", "stop"]));
        // Apart from the terminal's group, so that an interrupted run is tidied up too.
        std::os::unix::process::CommandExt::process_group(&mut keeper, 0);
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut keeper = keeper.spawn().map_err(|e| format!("no shell: {e}"))?;
        let input = keeper.stdin.take();
        Ok(Self { bin, folder, address, keeper: (keeper, input) })
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub(crate) fn start(&self) -> Result<(), String> {
        let (ip, port) = (self.address.ip(), self.address.port());
        let options = format!("-c listen_addresses={ip} -c port={port} -c unix_socket_directories={}", self.folder.display());
        let log = self.folder.join("server.log");
        self.control(&["pg_ctl", "-w", "-t", "120", "-l", &log.to_string_lossy(), "-o", &options, "start"])
    }

    /// In order, as an administrator would.
    pub(crate) fn stop(&self) -> Result<(), String> {
        self.control(&["pg_ctl", "-w", "-m", "fast", "stop"])
    }

    /// `kill -9` to all its processes at once.
    pub(crate) fn kill(&self) -> Result<(), String> {
        let file = fs::read_to_string(self.data().join("postmaster.pid")).map_err(|e| format!("it does not run: {e}"))?;
        let pid = file.lines().next().unwrap_or_default().trim().to_owned();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        run(Command::new("kill").arg("-STOP").arg(&pid))?;
        // A child may have ended since it was listed; the postmaster has not.
        let mut all = Command::new("kill");
        all.arg("-9").arg(&pid).args(children.split_whitespace()).stderr(Stdio::null());
        let _ = all.status();
        Ok(())
    }

    /// Makes a standby the primary; resolves when it takes writes.
    pub(crate) fn promote(&self) -> Result<(), String> {
        self.control(&["pg_ctl", "-w", "-t", "60", "promote"])
    }

    /// Copies a running primary into this folder, anew, and follows it. The primary waits for it from then on.
    pub(crate) async fn follow(&self, primary: &Self) -> Result<(), String> {
        if self.data().exists() {
            fs::remove_dir_all(self.data()).map_err(|e| format!("the old data cannot be removed: {e}"))?;
        }
        let from = format!("host={} port={} user={USER} application_name=standby", primary.address.ip(), primary.address.port());
        self.control(&["pg_basebackup", "-d", &from, "-R", "-X", "stream", "--checkpoint=fast", "--no-sync"])?;
        self.wait_for("")?;
        self.start()?;
        primary.wait_for("standby")?;
        primary.control(&["pg_ctl", "reload"])?;
        let watch = Stopwatch::start();
        let question = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync' AND state = 'streaming'";
        while primary.sql("postgres", question)?.trim() != "1" {
            if watch.elapsed() > READY_MAX {
                return Err("the standby does not follow synchronously".into());
            }
            clock::pause(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// For whom its commits wait, from the next reload or start on.
    fn wait_for(&self, standbys: &str) -> Result<(), String> {
        let text = format!("synchronous_standby_names = '{standbys}'\n");
        fs::write(self.data().join("trial.conf"), text).map_err(|e| format!("the settings cannot be written: {e}"))
    }

    /// Runs statements; the rows of the last, as psql tells them.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> Result<String, String> {
        let program = self.bin.join("psql");
        let mut command = Command::new(program);
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql, &self.url(database)]);
        let done = command.stdin(Stdio::null()).output().map_err(|e| format!("psql does not start: {e}"))?;
        match done.status.success() {
            true => Ok(String::from_utf8_lossy(&done.stdout).into_owned()),
            false => Err(format!("{sql}: {}", String::from_utf8_lossy(&done.stderr).trim())),
        }
    }

    /// Writes all that the hub's database holds into a file, for people.
    pub(crate) fn dump(&self, file: &Path) -> Result<(), String> {
        run(Command::new(self.bin.join("pg_dump")).arg("-d").arg(self.url(DATABASE)).arg("-f").arg(file))
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgresql://{USER}@{}/{database}", self.address)
    }

    /// The hub's database, for who goes there by another address.
    pub(crate) fn url_by(&self, address: SocketAddr) -> String {
        format!("postgresql://{USER}@{address}/{DATABASE}?sslmode=disable")
    }

    /// An address of several servers, of which one is the primary.
    pub(crate) fn url_of(servers: &[&Self]) -> String {
        let hosts: Vec<_> = servers.iter().map(|server| server.address.to_string()).collect();
        format!("postgresql://{USER}@{}/{DATABASE}?target_session_attrs=read-write", hosts.join(","))
    }

    fn control(&self, words: &[&str]) -> Result<(), String> {
        let program = self.bin.join(words[0]);
        let (program, data) = (program.to_string_lossy(), self.data());
        let data = data.to_string_lossy();
        let mut all = vec![&*program, "-D", &data];
        all.extend(&words[1..]);
        let all = as_owner(&all);
        run(Command::new(&all[0]).args(&all[1..]).current_dir(&self.folder))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut input) = self.keeper.1.take() {
            let _ = input.write_all(b"\n");
        }
        let _ = self.keeper.0.wait();
    }
}

/// A command line that runs as the user the server runs as.
pub(crate) fn as_owner(words: &[&str]) -> Vec<String> {
    let prefix: &[&str] = if is_root() { &["runuser", "-u", OWNER, "--"] } else { &[] };
    prefix.iter().chain(words).map(|word| (*word).to_owned()).collect()
}

/// Gives a folder, with all in it, to the user the server runs as.
pub(crate) fn give(folder: &Path) -> Result<(), String> {
    if is_root() { run(Command::new("chown").args(["-R", OWNER]).arg(folder)) } else { Ok(()) }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|told| told.stdout.starts_with(b"0\n"))
}

/// Debian keeps the server's programs off the search path, one folder a major version.
pub(crate) fn programs() -> Result<PathBuf, String> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|version| version.path());
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|path| Some((path.file_name()?.to_str()?.parse().ok()?, path.join("bin"))))
        .filter(|(version, bin)| *version >= 15 && bin.join("initdb").is_file())
        .collect();
    found.sort();
    let on_path = std::env::var_os("PATH").into_iter().flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let on_path = on_path.into_iter().find(|folder: &PathBuf| folder.join("initdb").is_file());
    found.pop().map(|(_, bin)| bin).or(on_path).ok_or_else(|| format!("PostgreSQL 15 or newer is missing: {INSTALL}"))
}

pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let file = file_for_errors()?;
    // Its error output goes to a file: a server that it starts keeps the handle, and a pipe would never end.
    let errors = fs::File::create(&file).map_err(|e| e.to_string())?;
    let done = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors).status();
    let told = fs::read_to_string(&file).unwrap_or_default();
    let _ = fs::remove_file(&file);
    match done {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{:?} ended with {status}: {}", command.get_program(), told.trim())),
        Err(e) => Err(format!("{:?} does not start: {e}", command.get_program())),
    }
}

fn file_for_errors() -> Result<PathBuf, String> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = format!("crossdock-told-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    Ok(std::env::temp_dir().join(name))
}
