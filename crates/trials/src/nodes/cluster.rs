//! A private PostgreSQL of the campaign's own, on a port of this machine and in a folder that goes with it.

use crate::{address, crash::Scratch};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const USER: &str = "crossdock";
/// The server does not run as root; Debian's package brings this user.
const OWNER: &str = "postgres";

pub(super) struct Cluster {
    bin: PathBuf,
    scratch: Scratch,
    pub address: SocketAddr,
}

impl Cluster {
    /// Made from nothing and started. Blocks for some seconds.
    pub fn start() -> Result<Self, String> {
        let bin = programs()?;
        let scratch = Scratch::within(&std::env::temp_dir(), &format!("crossdock-nodes-pg-{}", std::process::id()))?;
        if is_root() {
            run(Command::new("chown").arg(OWNER).arg(scratch.path()))?;
        }
        let cluster = Self { bin, scratch, address: address::own()? };
        cluster.control(&["initdb", "-U", USER, "-A", "trust", "-E", "UTF8", "--locale", "C.UTF-8", "--no-sync"])?;
        let folder = cluster.scratch.path().display();
        let options = format!(
            "-c shared_buffers=64MB -c max_connections=100 -c jit=off -c listen_addresses={} -c port={} \
             -c unix_socket_directories={folder}",
            cluster.address.ip(),
            cluster.address.port()
        );
        let log = format!("{folder}/server.log");
        cluster.control(&["pg_ctl", "-w", "-l", &log, "-o", &options, "start"])?;
        Ok(cluster)
    }

    /// Where a client connects that goes by this address.
    pub fn url(&self, by: SocketAddr) -> String {
        format!("postgresql://{USER}@{by}/postgres?sslmode=disable")
    }

    /// Asks one question, or does one thing; its rows, a line each, columns cut by `|`.
    pub async fn ask(&self, sql: &str) -> Result<Vec<String>, String> {
        let mut command = tokio::process::Command::new(self.bin.join("psql"));
        command.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-U", USER, "-d", "postgres"]);
        command.arg("-h").arg(self.scratch.path()).arg("-p").arg(self.address.port().to_string()).args(["-c", sql]);
        let done = command.stdin(Stdio::null()).output().await.map_err(|e| format!("psql: {e}"))?;
        if !done.status.success() {
            return Err(format!("{sql}: {}", String::from_utf8_lossy(&done.stderr)));
        }
        Ok(String::from_utf8_lossy(&done.stdout).lines().map(str::to_owned).collect())
    }

    /// Writes all that the database holds into a file, for people.
    pub fn dump(&self, file: &Path) -> Result<(), String> {
        let mut command = Command::new(self.bin.join("pg_dump"));
        command.args(["-U", USER, "-d", "postgres", "-h"]).arg(self.scratch.path());
        run(command.arg("-p").arg(self.address.port().to_string()).arg("-f").arg(file))
    }

    fn control(&self, words: &[&str]) -> Result<(), String> {
        let data = self.scratch.path().join("data").display().to_string();
        let program = self.bin.join(words[0]).display().to_string();
        let prefix: &[&str] = if is_root() { &["runuser", "-u", OWNER, "--"] } else { &[] };
        let mut all: Vec<&str> = prefix.to_vec();
        all.extend([&*program, "-D", &*data]);
        all.extend(&words[1..]);
        run(Command::new(all[0]).args(&all[1..]).current_dir(self.scratch.path()))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The folder goes after it.
        let _ = self.control(&["pg_ctl", "-w", "-m", "immediate", "stop"]);
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|told| told.stdout.starts_with(b"0\n"))
}

/// Debian keeps the server's programs off the search path, one folder a major version.
fn programs() -> Result<PathBuf, String> {
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|version| version.path());
    let mut found: Vec<(u32, PathBuf)> = debian
        .filter_map(|path| Some((path.file_name()?.to_str()?.parse().ok()?, path.join("bin"))))
        .filter(|(version, bin): &(u32, PathBuf)| *version >= 15 && bin.join("initdb").is_file())
        .collect();
    found.sort();
    let on_path = std::env::var_os("PATH").into_iter().flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let on_path = on_path.into_iter().find(|folder: &PathBuf| Path::new(folder).join("initdb").is_file());
    found
        .pop()
        .map(|(_, bin)| bin)
        .or(on_path)
        .ok_or_else(|| "PostgreSQL 15 or newer is missing: apt-get install postgresql-15".into())
}

fn run(command: &mut Command) -> Result<(), String> {
    // The server inherits none of these.
    let done = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    match done {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{command:?}: {status}")),
        Err(error) => Err(format!("{command:?}: {error}")),
    }
}
