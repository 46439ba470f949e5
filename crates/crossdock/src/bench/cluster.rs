//! A PostgreSQL of the benchmark's own, with a server's ordinary settings: made from nothing, reached by a socket in its folder, measured
//! through `/proc`, gone with the handle.

use super::child::Usage;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const INSTALL: &str = "apt-get install postgresql-15";
const USER: &str = "crossdock";
/// The server does not run as root; Debian's package brings this user.
const OWNER: &str = "postgres";
/// A socket's path has at most 107 bytes, so the folder's name is short and in a short place.
const SOCKETS: &str = "/tmp";

pub struct Cluster {
    bin: PathBuf,
    data: PathBuf,
    sockets: PathBuf,
}

impl Cluster {
    /// Makes it below `folder`, which must be on a disk, and starts it.
    pub fn start(folder: &Path) -> Result<Self, String> {
        let sockets = Path::new(SOCKETS).join(format!("crossdock-bench-pg-{}", std::process::id()));
        let cluster = Self { bin: programs()?, data: folder.join("postgres"), sockets };
        for made in [&cluster.data, &cluster.sockets] {
            fs::create_dir_all(made).map_err(|e| format!("{}: {e}", made.display()))?;
            if is_root() {
                // All on the way there must be open to the server's user, which a folder for temporary files is.
                run(Command::new("chown").arg(OWNER).arg(made))?;
            }
        }
        cluster.control(&["initdb", "-U", USER, "-A", "trust", "-E", "UTF8", "--locale", "C.UTF-8"])?;
        let options = format!("-c listen_addresses= -c unix_socket_directories={}", cluster.sockets.display());
        let log = cluster.sockets.join("server.log");
        cluster.control(&["pg_ctl", "-w", "-l", &log.to_string_lossy(), "-o", &options, "start"])?;
        Ok(cluster)
    }

    /// The address of an empty database.
    pub fn database(&self, name: &str) -> Result<String, String> {
        let sockets = self.sockets.to_string_lossy();
        run(Command::new(self.bin.join("createdb")).args(["-h", &sockets, "-U", USER, name]))?;
        Ok(format!("postgresql://{USER}@{}/{name}", sockets.replace('/', "%2F")))
    }

    /// Of all its processes, those that have ended among them.
    pub fn usage(&self) -> Result<Usage, String> {
        let file = self.data.join("postmaster.pid");
        let text = fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        let postmaster = text.lines().next().and_then(|line| line.trim().parse().ok()).ok_or("the server tells no number")?;
        Usage::of_family(postmaster)
    }

    /// Bytes of its tables and their indexes.
    pub fn size(&self) -> u64 {
        size_of(&self.data.join("base"))
    }

    fn control(&self, words: &[&str]) -> Result<(), String> {
        let program = self.bin.join(words[0]);
        let mut command = if is_root() { Command::new("runuser") } else { Command::new(&program) };
        if is_root() {
            command.args(["-u", OWNER, "--"]).arg(&program);
        }
        run(command.arg("-D").arg(&self.data).args(&words[1..]).current_dir(&self.sockets))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.control(&["pg_ctl", "-w", "-m", "immediate", "stop"]) {
            eprintln!("the benchmark's PostgreSQL was not stopped: {error}");
        }
        for made in [&self.data, &self.sockets] {
            // What cannot be removed lies among temporary files.
            let _ = fs::remove_dir_all(made);
        }
    }
}

fn size_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| if entry.path().is_dir() { size_of(&entry.path()) } else { entry.metadata().map_or(0, |of| of.len()) })
        .sum()
}

/// Debian keeps the server's programs off the search path, one folder a major version.
fn programs() -> Result<PathBuf, String> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found =
        versions.filter_map(|version| Some((version.file_name().to_str()?.parse::<u32>().ok()?, version.path().join("bin"))));
    let newest = found.filter(|(version, bin)| *version >= 15 && bin.join("initdb").is_file()).max();
    newest.map(|(_, bin)| bin).ok_or_else(|| format!("PostgreSQL 15 or newer is missing: {INSTALL}"))
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|told| told.stdout.starts_with(b"0\n"))
}

fn run(command: &mut Command) -> Result<(), String> {
    let done = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output();
    let done = done.map_err(|e| format!("{command:?}: {e}"))?;
    if done.status.success() { Ok(()) } else { Err(format!("{command:?}: {}", String::from_utf8_lossy(&done.stderr))) }
}
