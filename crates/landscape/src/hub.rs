//! `crossdock.yaml`: this node.

use crate::{
    fault::Faults,
    place::secret_text,
    read::{Section, count, duration, text, word},
    yaml::Node,
};
use crossdock_canonical::Duration;
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

/// The node a hub runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    pub name: Arc<str>,
    pub store: StoreConfig,
    pub listen: SocketAddr,
    pub backbone: Backbone,
    pub caps: Caps,
    /// How often every open process is compared with its systems.
    pub reconcile_every: Duration,
    /// What is not kept for ever.
    pub retention: Retention,
    /// On a store of several nodes: one whose heartbeat stood still for so long is gone, and the others take its work.
    pub lease: Duration,
    /// On a store of several nodes: for how long a node that is told to stop still serves requests, while `/readyz` says that it goes.
    pub drain: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreConfig {
    /// One file, one hub.
    Sqlite { path: PathBuf },
    /// One database, for more than one hub.
    Postgres {
        /// A reference to the address, which may hold a password.
        url: Arc<str>,
        /// The hub's own key, under which the keys of persons are wrapped; the same on every node.
        key_file: PathBuf,
        /// Certificates to trust instead of the public ones, PEM.
        certificates: Option<PathBuf>,
    },
}

impl StoreConfig {
    /// Whether a file of the landscape's folder is the store's: it, and what it keeps beside it (`.key`, `.lock`, `-wal`, `-shm`).
    pub(crate) fn owns(&self, file: &str) -> bool {
        let begins = |path: &Path| path.to_str().is_some_and(|path| file.starts_with(path));
        match self {
            Self::Sqlite { path } => begins(path),
            Self::Postgres { url: _, key_file, certificates } => begins(key_file) || certificates.as_deref().is_some_and(begins),
        }
    }
}

/// Where events go besides the hub's own stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backbone {
    None,
}

/// Beyond these the hub answers 429 and takes nothing more in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Messages accepted and not yet folded.
    pub inbox: u32,
    /// Processes that are open at once.
    pub in_flight: u32,
}

impl Default for Caps {
    fn default() -> Self {
        Self { inbox: 10_000, in_flight: 1_000_000 }
    }
}

/// How long what was stored is kept after its time; `None`: for ever. Keys, dedup, effects and what is open are never removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Documents, requests and answers of processes that have ended.
    pub payloads: Option<Duration>,
    /// Raw messages that were folded.
    pub messages: Option<Duration>,
    /// Whole pieces of the journal, on PostgreSQL.
    pub journal: Option<Duration>,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            name: "hub".into(),
            store: StoreConfig::Sqlite { path: "crossdock.db".into() },
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            backbone: Backbone::None,
            caps: Caps::default(),
            reconcile_every: Duration::minutes(15),
            retention: Retention::default(),
            lease: Duration::seconds(1),
            drain: Duration::seconds(5),
        }
    }
}

pub(crate) fn read(root: &Node, faults: &mut Faults) -> Option<NodeConfig> {
    let mut section = Section::open("crossdock.yaml", root, faults)?;
    let default = NodeConfig::default();
    let config = NodeConfig {
        name: section.or("name", default.name, faults, text),
        store: section.or("store", default.store, faults, store),
        listen: section.or("listen", default.listen, faults, listen),
        backbone: section.or("backbone", default.backbone, faults, word(&[("none", Backbone::None)])),
        caps: section.or("limits", default.caps, faults, caps),
        reconcile_every: section.or("reconcile_every", default.reconcile_every, faults, duration),
        retention: section.or("retention", default.retention, faults, retention),
        lease: section.or("lease", default.lease, faults, duration),
        drain: section.or("drain", default.drain, faults, duration),
    };
    if config.retention.journal.is_some() && matches!(config.store, StoreConfig::Sqlite { .. }) {
        faults
            .add(root.spot, "bad_retention", "a journal in a file is one piece, of which nothing is dropped")
            .suggest(Some("leave `retention.journal` out, or keep the store in PostgreSQL"));
    }
    section.close(faults);
    Some(config)
}

fn store(node: &Node, faults: &mut Faults) -> Option<StoreConfig> {
    let mut section = Section::open("store", node, faults)?;
    let kind = section.need("kind", faults, word(&[("sqlite", Kind::Sqlite), ("postgres", Kind::Postgres)]));
    let path = |text: Arc<str>| PathBuf::from(&*text);
    let config = match kind {
        Some(Kind::Sqlite) => section.need("path", faults, text).map(|file| StoreConfig::Sqlite { path: path(file) }),
        Some(Kind::Postgres) => {
            let url = section.need("url", faults, secret_text);
            let key_file = section.need("key_file", faults, text).map(path);
            let certificates = section.get("certificates", faults, text).map(path);
            url.zip(key_file).map(|(url, key_file)| StoreConfig::Postgres { url, key_file, certificates })
        }
        // What else there is cannot be judged.
        None => return None,
    };
    section.close(faults);
    config
}

#[derive(Clone, Copy)]
enum Kind {
    Sqlite,
    Postgres,
}

fn caps(node: &Node, faults: &mut Faults) -> Option<Caps> {
    let mut section = Section::open("limits", node, faults)?;
    let default = Caps::default();
    let caps = Caps {
        inbox: section.or("inbox", default.inbox, faults, count(1)),
        in_flight: section.or("in_flight", default.in_flight, faults, count(1)),
    };
    section.close(faults);
    Some(caps)
}

fn retention(node: &Node, faults: &mut Faults) -> Option<Retention> {
    let mut section = Section::open("retention", node, faults)?;
    let retention = Retention {
        payloads: section.get("payloads", faults, kept),
        messages: section.get("messages", faults, kept),
        journal: section.get("journal", faults, kept),
    };
    section.close(faults);
    Some(retention)
}

/// Less than a week is a mistyped unit: a notice may come after days, and support is asked after them.
const KEPT_MIN: Duration = Duration::hours(7 * 24);

fn kept(node: &Node, faults: &mut Faults) -> Option<Duration> {
    let kept = duration(node, faults)?;
    if kept < KEPT_MIN {
        faults
            .add(node.spot, "bad_retention", "what was stored must be kept for a week at least")
            .suggest(Some("write 7d or more, such as 400d"));
        return None;
    }
    Some(kept)
}

fn listen(node: &Node, faults: &mut Faults) -> Option<SocketAddr> {
    let given = text(node, faults)?;
    let address = given.parse().ok();
    if address.is_none() {
        faults
            .add(node.spot, "bad_address", format!("`{given}` is not an address to listen on"))
            .suggest(Some("write ip:port, such as 127.0.0.1:8080"));
    }
    address
}
