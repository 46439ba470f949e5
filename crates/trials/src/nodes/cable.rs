//! Cables: each node in a network namespace of its own, joined to the campaign's by two of them, one to the database and one to the
//! systems and the balancer. A cable that is cut one way loses every packet that goes this way, and nobody is told.
//!
//! Nothing here can be reached from outside: the campaign, too, is in a network of its own (`move_apart`), which has no way out. A
//! namespace has no name and lives as long as a process in it, so nothing is left behind however the campaign ends.

use std::{
    ffi::OsStr,
    io,
    net::{Ipv4Addr, SocketAddr},
    os::unix::process::CommandExt,
    process::Stdio,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// Where the database and the systems listen, in the campaign's network.
pub(super) const DATABASE: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 1);
pub(super) const SYSTEMS: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 2);
/// Nobody else is in a node's network.
const PORT: u16 = 8080;

/// What a cable leads to: its name, the second number of its addresses, and what is reached by it.
const ENDS: [(&str, u8, Ipv4Addr); 2] = [("database", 0, DATABASE), ("systems", 1, SYSTEMS)];

/// Starts this program anew in a network of its own, where it has one argument more. Comes back only to say why it cannot.
pub(super) fn move_apart(argument: &str) -> String {
    let network = || {
        let mut command = std::process::Command::new("unshare");
        command.args(["--net", "--"]);
        command
    };
    match network().args(["ip", "link", "set", "lo", "up"]).output() {
        Ok(tried) if tried.status.success() => {}
        Ok(tried) => return String::from_utf8_lossy(&tried.stderr).trim().to_owned(),
        Err(error) => return format!("unshare: {error}"),
    }
    let again = |own| network().arg(own).args(std::env::args_os().skip(1)).arg(argument).exec();
    std::env::current_exe().map_or_else(|error| error, again).to_string()
}

/// Readies the network that the campaign has moved into.
pub(super) async fn prepare() -> Result<(), String> {
    run(Command::new("ip").args(["link", "set", "lo", "up"])).await?;
    for (_, _, address) in ENDS {
        run(Command::new("ip").args(["address", "replace", &format!("{address}/32"), "dev", "lo"])).await?;
    }
    Ok(())
}

/// One node's network and its cables.
pub(super) struct Cables {
    at: usize,
    namespace: String,
    /// The first process in the namespace. It ends when its input does, with this process at the latest.
    _keeper: Child,
}

impl Cables {
    pub async fn lay(at: usize) -> Result<Self, String> {
        let mut keeper = Command::new("unshare");
        keeper.args(["--net", "--", "sh", "-c", "ip link set lo up && echo up && read -r _"]);
        let mut keeper = keeper
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| format!("unshare: {e}"))?;
        let mut told = String::new();
        if let Some(stdout) = keeper.stdout.take() {
            BufReader::new(stdout).read_line(&mut told).await.map_err(|e| e.to_string())?;
        }
        let pid = keeper.id().filter(|_| told == "up\n").ok_or("a network namespace cannot be made")?;
        let cables = Self { at, namespace: format!("--net=/proc/{pid}/ns/net"), _keeper: keeper };
        for (end, network, reached) in ENDS {
            let here = format!("{end}-{at}");
            let (ours, theirs) = (format!("10.{network}.{at}.1"), format!("10.{network}.{at}.2"));
            // The network of the leg before may be on its way out still, and this end of the cable with it.
            let _ = run(Command::new("ip").args(["link", "delete", &here])).await;
            let pair = ["link", "add", &here, "type", "veth", "peer", "name", end, "netns", &pid.to_string()];
            run(Command::new("ip").args(pair)).await?;
            run(Command::new("ip").args(["address", "add", &format!("{ours}/30"), "dev", &here])).await?;
            run(Command::new("ip").args(["link", "set", &here, "up"])).await?;
            run(cables.inside("ip").args(["address", "add", &format!("{theirs}/30"), "dev", end])).await?;
            run(cables.inside("ip").args(["link", "set", end, "up"])).await?;
            run(cables.inside("ip").args(["route", "add", &format!("{reached}/32"), "via", &ours])).await?;
        }
        // Whoever cannot cut must know before the first blow.
        cables.cut(true, true).await?;
        cables.mend().await?;
        Ok(cables)
    }

    /// Where the node listens.
    pub fn address(&self) -> SocketAddr {
        let (_, network, _) = ENDS[1];
        SocketAddr::from((Ipv4Addr::new(10, network, u8::try_from(self.at).unwrap_or(0), 2), PORT))
    }

    /// A command that runs in the node's network, as the process that it is started as.
    pub fn inside(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args([&*self.namespace, "--"]).arg(program);
        command
    }

    /// Loses what the node says or, if not `there`, what is said to it: on the cable to the database, or on all.
    pub async fn cut(&self, there: bool, all: bool) -> Result<(), String> {
        for (end, ..) in ENDS.into_iter().take(if all { ENDS.len() } else { 1 }) {
            self.queue(end, there, "blackhole").await?;
        }
        Ok(())
    }

    /// Brings packets through again, both ways.
    pub async fn mend(&self) -> Result<(), String> {
        for ((end, ..), there) in ENDS.into_iter().flat_map(|end| [(end, true), (end, false)]) {
            self.queue(end, there, "noqueue").await?;
        }
        Ok(())
    }

    /// Sets what becomes of packets that leave by one end of a cable: the node's or the campaign's.
    async fn queue(&self, cable: &str, at_node: bool, kind: &str) -> Result<(), String> {
        let (mut command, device) =
            if at_node { (self.inside("tc"), cable.to_owned()) } else { (Command::new("tc"), format!("{cable}-{}", self.at)) };
        run(command.args(["qdisc", "replace", "dev", &device, "root", kind])).await
    }
}

/// Runs a command to its end, silently.
async fn run(command: &mut Command) -> Result<(), String> {
    let told = |e: io::Error| e.to_string();
    let done = command.stdin(Stdio::null()).output().await.map_err(told)?;
    let words = || format!("{:?}", command.as_std());
    if done.status.success() { Ok(()) } else { Err(format!("{}: {}", words(), String::from_utf8_lossy(&done.stderr).trim())) }
}
