//! Pauses at the worst moment: a node has checked its lease and stands still before the call leaves it. When it goes on the call is late,
//! and another node has long been at work for the same order.
//!
//! The program is the shipped one. A shim between it and the kernel (`shim/pause.c`) stops the whole process at the entry of the write
//! that carries a request, if a trap is set for it.

use crate::shim;
use crossdock_canonical::Duration;
use std::{
    fs,
    path::{Path, PathBuf},
};
use tokio::process::Command;

/// What a trap may be set for: a system, and how a request begins that changes something there.
pub(super) const AIMS: [(&str, &str); 9] = [
    ("storefront", "PUT "),
    ("payment", "POST /v1/payment_intents"),
    ("erp", "POST /sales-orders"),
    ("warehouse", "POST /fulfilment-orders"),
    ("inventory", "P"),
    ("fraud", "POST /screenings"),
    ("tax", "POST /transactions"),
    ("giftcard", "POST /authorisations"),
    ("notification", "POST /messages"),
];

/// Where one node is stopped.
pub(super) struct Trap {
    shim: PathBuf,
    /// There while the trap is set: the node takes it away when it steps in.
    file: PathBuf,
    stops: PathBuf,
}

/// A call that went out after its stop.
pub(super) struct Call {
    pub port: u16,
    pub stood: Duration,
    /// When it went on, in milliseconds since 1970.
    pub at: i64,
    /// The kernel took all or some of it.
    pub was_sent: bool,
    /// Its idempotency key, where the system knows any.
    pub key: Option<String>,
}

impl Trap {
    /// Builds the shim, and has a trap for each of these nodes.
    pub fn all(nodes: &[&str], folder: &Path) -> Result<Vec<Self>, String> {
        let shim = shim::build("pause", folder)?;
        let file = |node: &str, what: &str| folder.join(format!("{node}.{what}"));
        Ok(nodes.iter().map(|node| Self { shim: shim.clone(), file: file(node, "trap"), stops: file(node, "stops") }).collect())
    }

    /// Makes a node heed it.
    pub fn put_into(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.shim).env("CROSSDOCK_TRAP", &self.file).env("CROSSDOCK_STOPS", &self.stops);
    }

    pub fn set(&self, port: u16, begins: &str) -> Result<(), String> {
        // Written aside: the node never reads half of it.
        let aside = self.file.with_extension("aside");
        let set = fs::write(&aside, format!("{port} {begins}")).and_then(|()| fs::rename(&aside, &self.file));
        set.map_err(|e| format!("a trap cannot be set at {}: {e}", self.file.display()))
    }

    /// Takes the trap away; `false` if the node was quicker.
    pub fn lift(&self) -> bool {
        fs::remove_file(&self.file).is_ok()
    }

    /// The calls that went out after their stop.
    pub fn calls(&self) -> Vec<Call> {
        let text = fs::read_to_string(&self.stops).unwrap_or_default();
        text.lines().filter_map(read).collect()
    }
}

fn read(line: &str) -> Option<Call> {
    let mut words = line.split(' ');
    let mut number = || words.next()?.parse::<i64>().ok();
    let (port, stood, at, taken) = (number()?, number()?, number()?, number()?);
    let key = words.next().filter(|key| *key != "-").map(str::to_owned);
    Some(Call { port: u16::try_from(port).ok()?, stood: Duration(stood), at, was_sent: taken > 0, key })
}

/// Whether the kernel says that a process stands still.
pub(super) fn has_stopped(pid: u32) -> bool {
    // The second field is the program's name in brackets, which may hold anything.
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    text.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_are_read_as_the_shim_writes_them() {
        let call = read("41869 3050 1796121249270 379 d364f95b").expect("a line of the shim");
        assert_eq!((call.port, call.stood, call.was_sent), (41_869, Duration(3_050), true));
        assert_eq!((call.at, call.key.as_deref()), (1_796_121_249_270, Some("d364f95b")));
        let refused = read("8081 3001 5 -1 -").expect("a line of the shim");
        assert_eq!((refused.was_sent, refused.key), (false, None));
        assert!(read("8081 3001").is_none());
    }

    #[test]
    fn a_process_that_runs_has_not_stopped() {
        assert!(!has_stopped(std::process::id()));
    }
}
