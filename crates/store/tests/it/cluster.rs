//! A private PostgreSQL for tests: made from nothing in a temporary folder, reached by a socket in it, gone when the tests end, however
//! they end.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};
use tokio::runtime::{self, Runtime};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

const INSTALL: &str = "apt-get update && apt-get install --no-install-recommends postgresql-15";
const USER: &str = "crossdock";
/// The server does not run as root; Debian's package brings this user.
const OWNER: &str = "postgres";
const OPTIONS: &str = "-c shared_buffers=32MB -c max_connections=60 -c jit=off";
const NO_NETWORK: &str = "-c listen_addresses=";

pub(crate) struct Cluster {
    bin: PathBuf,
    folder: PathBuf,
    network: String,
    /// Stops and removes all when its input ends, which it does with this process at the latest.
    keeper: (Child, Option<ChildStdin>),
}

impl Cluster {
    /// The one that all tests of this program share.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(|_| NO_NETWORK.to_owned()))
    }

    /// One of a test's own, to be stopped and set otherwise.
    pub(crate) fn own() -> Self {
        Self::start(|_| NO_NETWORK.to_owned())
    }

    /// One that is reached by TLS, on a port of this machine, which is told, under the certificates in the file told.
    pub(crate) fn with_tls() -> (Self, u16, PathBuf) {
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        let cluster = Self::start(|folder| {
            certificates(folder);
            let at = |name: &str| folder.join(name).display().to_string();
            let (cert, key) = (at("server.pem"), at("server.key"));
            format!("-c listen_addresses=127.0.0.1 -c port={port} -c ssl=on -c ssl_cert_file={cert} -c ssl_key_file={key}")
        });
        let ca = cluster.folder.join("ca.pem");
        (cluster, port, ca)
    }

    fn start(network: impl FnOnce(&Path) -> String) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let bin = programs();
        let name = format!("crossdock-pg-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a folder for the cluster");
        if is_root() {
            run(Command::new("chown").arg(OWNER).arg(&folder));
        }
        let mut keeper = Command::new("sh");
        keeper.args(["-c", "read -r _; \"$@\" >/dev/null 2>&1; rm -rf \"$0\""]).arg(&folder);
        keeper.args(as_owner(&[&bin.join("pg_ctl").to_string_lossy(), "-D", &data(&folder), "-m", "immediate", "stop"]));
        // Apart from the terminal's group, so that an interrupted test run is tidied up too.
        std::os::unix::process::CommandExt::process_group(&mut keeper, 0);
        let keeper = keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut keeper = keeper.spawn().expect("a shell");
        let input = keeper.stdin.take();
        let network = network(&folder);
        let cluster = Self { bin, folder, network, keeper: (keeper, input) };
        cluster.control(&["initdb", "-U", USER, "-A", "trust", "-E", "UTF8", "--locale", "C.UTF-8", "--no-sync"]);
        cluster.resume();
        cluster
    }

    pub(crate) fn resume(&self) {
        let options = format!("{OPTIONS} {} -c unix_socket_directories={}", self.network, self.folder.display());
        let log = self.folder.join("server.log");
        self.control(&["pg_ctl", "-w", "-l", &log.to_string_lossy(), "-o", &options, "start"]);
    }

    pub(crate) fn stop(&self) {
        self.control(&["pg_ctl", "-w", "-m", "fast", "stop"]);
    }

    /// As a crash of all its processes would: nothing is written down, the next start recovers.
    pub(crate) fn crash(&self) {
        self.control(&["pg_ctl", "-w", "-m", "immediate", "stop"]);
    }

    /// Signals the postmaster and its children.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = std::fs::read_to_string(self.folder.join("data/postmaster.pid")).expect("it runs");
        let pid = pid.lines().next().expect("a number");
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        run(Command::new("kill").arg(format!("-{signal}")).arg(pid).args(children.split_whitespace()));
    }

    fn control(&self, words: &[&str]) {
        let data = data(&self.folder);
        let program = self.bin.join(words[0]);
        let program = program.to_string_lossy();
        let mut all = vec![&*program, "-D", &data];
        all.extend(&words[1..]);
        let all = as_owner(&all);
        run(Command::new(&all[0]).args(&all[1..]).current_dir(&self.folder));
    }

    /// An empty database, dropped with what is returned.
    pub(crate) fn database(&self) -> Database<'_> {
        self.database_with("")
    }

    pub(crate) fn database_with(&self, options: &str) -> Database<'_> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.session("postgres").run(&format!("CREATE DATABASE {name} {options}"));
        Database { cluster: self, name }
    }

    pub(crate) fn session(&self, database: &str) -> Session {
        Session::new(&self.url(database))
    }

    pub(crate) fn url(&self, database: &str) -> String {
        let folder = self.folder.to_string_lossy().replace('/', "%2F");
        format!("postgresql://{USER}@{folder}/{database}")
    }

    /// The file that connections are made by.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join(".s.PGSQL.5432")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(mut input) = self.keeper.1.take() {
            let _ = input.write_all(b"\n");
        }
        let _ = self.keeper.0.wait();
    }
}

pub(crate) struct Database<'c> {
    cluster: &'c Cluster,
    pub(crate) name: String,
}

impl Database<'_> {
    pub(crate) fn url(&self) -> String {
        self.cluster.url(&self.name)
    }

    pub(crate) fn session(&self) -> Session {
        self.cluster.session(&self.name)
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        // A test may have stopped the server; then the folder goes with the cluster.
        if let Some(session) = Session::try_new(&self.cluster.url("postgres")) {
            session.run(&format!("DROP DATABASE {} WITH (FORCE)", self.name));
        }
    }
}

/// A connection of the test's own.
pub(crate) struct Session {
    runtime: Runtime,
    client: Client,
}

impl Session {
    pub(crate) fn new(url: &str) -> Self {
        Self::try_new(url).expect("a connection")
    }

    fn try_new(url: &str) -> Option<Self> {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let (client, connection) = runtime.block_on(tokio_postgres::connect(url, NoTls)).ok()?;
        runtime.spawn(connection);
        let session = Self { runtime, client };
        session.run("SET search_path = crossdock, public; SET client_min_messages = error");
        Some(session)
    }

    /// Runs statements; the rows of the last, as text.
    pub(crate) fn run(&self, sql: &str) -> Vec<Vec<String>> {
        self.try_run(sql).unwrap_or_else(|e| panic!("{sql}: {e:?}"))
    }

    pub(crate) fn try_run(&self, sql: &str) -> Result<Vec<Vec<String>>, tokio_postgres::Error> {
        let messages = self.runtime.block_on(self.client.simple_query(sql))?;
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|at| row.get(at).unwrap_or_default().to_owned()).collect()),
            _ => None,
        });
        Ok(rows.collect())
    }

    /// The one value that a question has for an answer.
    pub(crate) fn one(&self, sql: &str) -> String {
        self.run(sql).first().and_then(|row| row.first()).cloned().unwrap_or_else(|| panic!("{sql}: no row"))
    }

    /// Waits until a question is answered with `t`.
    pub(crate) fn until(&self, sql: &str) {
        // Each round is a question over a socket, and there are enough of them for a slow machine.
        for _ in 0..200_000 {
            if self.one(&format!("SELECT ({sql})::text")) == "true" {
                return;
            }
        }
        panic!("never: {sql}");
    }
}

/// A root of trust and a certificate of this machine under it, by the program that Debian's PostgreSQL brings along.
fn certificates(folder: &Path) {
    let openssl = |words: &str| {
        run(Command::new("openssl").args(words.split_whitespace()).current_dir(folder));
    };
    std::fs::write(folder.join("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").expect("writes");
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {key} -days 2 -subj /CN=test-root -keyout ca.key -out ca.pem"));
    openssl(&format!("req {key} -subj /CN=localhost -keyout server.key -out server.csr"));
    openssl("x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem");
    if is_root() {
        run(Command::new("chown").arg(OWNER).args(["server.key", "server.pem"]).current_dir(folder));
    }
}

fn data(folder: &Path) -> String {
    folder.join("data").to_string_lossy().into_owned()
}

/// A command line that runs as the user the server runs as.
fn as_owner(words: &[&str]) -> Vec<String> {
    let prefix: &[&str] = if is_root() { &["runuser", "-u", OWNER, "--"] } else { &[] };
    prefix.iter().chain(words).map(|word| (*word).to_owned()).collect()
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|told| told.stdout.starts_with(b"0\n"))
}

/// Debian keeps the server's programs off the search path, one folder a major version.
fn programs() -> PathBuf {
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|version| version.path());
    let mut found: Vec<(u32, PathBuf)> = debian
        .filter_map(|path| {
            let version = path.file_name()?.to_str()?.parse().ok()?;
            Some((version, path.join("bin")))
        })
        .filter(|(version, bin)| *version >= 15 && bin.join("initdb").is_file())
        .collect();
    found.sort();
    let on_path = std::env::var_os("PATH").into_iter().flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let on_path = on_path.into_iter().find(|folder| folder.join("initdb").is_file());
    found.pop().map(|(_, bin)| bin).or(on_path).unwrap_or_else(|| panic!("PostgreSQL 15 or newer is missing: {INSTALL}"))
}

fn run(command: &mut Command) {
    let done = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output().expect("runs");
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}
