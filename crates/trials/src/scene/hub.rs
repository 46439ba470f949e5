//! What the hub of a scene stands on: which store, and how many nodes.

use crate::{cluster::Server, crash::Scratch};
use crossdock_store::{FullStore, KeySource, MemoryStore, Options, PostgresOptions, PostgresStore, SqliteStore};
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

/// Far more than a busy machine takes: a scene must not depend on how long the database did.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hub {
    Memory,
    Sqlite,
    Postgres,
    ThreeNodes,
}

impl Hub {
    /// Whether it is one of several nodes, if only the first.
    pub(super) fn is_shared(self) -> bool {
        matches!(self, Self::Postgres | Self::ThreeNodes)
    }

    /// How many orders or rounds make a crowd: fewer where each takes so many transactions of a database.
    pub fn crowd(self, many: usize) -> usize {
        if self == Self::Memory { many } else { many / 3 }
    }

    fn nodes(self) -> usize {
        if self == Self::ThreeNodes { 3 } else { 1 }
    }
}

/// The way of each node to the one store that they share, empty at first.
pub(super) struct Stores {
    pub ways: Vec<Arc<dyn FullStore>>,
    /// Removed when the store is closed.
    _folder: Option<Scratch>,
}

impl Stores {
    pub fn of(hub: Hub) -> Result<Self, String> {
        match hub {
            Hub::Memory => Ok(Self { ways: vec![Arc::new(MemoryStore::new())], _folder: None }),
            Hub::Sqlite => {
                let folder = Scratch::new()?;
                let options = Options { key: KeySource::Given([7; 32]), ..Options::new(folder.path().join("hub.db")) };
                let store = SqliteStore::open(&options).map_err(|e| e.to_string())?;
                Ok(Self { ways: vec![Arc::new(store)], _folder: Some(folder) })
            }
            Hub::Postgres | Hub::ThreeNodes => {
                let url = database()?;
                let options = PostgresOptions {
                    // A node asks one question at a time.
                    readers: 1,
                    answer_within: PATIENCE,
                    commit_within: PATIENCE,
                    ..PostgresOptions::new(url, KeySource::Given([7; 32]))
                };
                let open = || PostgresStore::open(&options).map(|store| Arc::new(store) as Arc<dyn FullStore>);
                let ways = (0..hub.nodes()).map(|_| open().map_err(|e| e.to_string())).collect::<Result<_, _>>()?;
                Ok(Self { ways, _folder: None })
            }
        }
    }
}

/// An empty database on a server that all scenes of this process share, and that ends with it.
fn database() -> Result<String, String> {
    static SERVER: OnceLock<Result<Server, String>> = OnceLock::new();
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let server = SERVER.get_or_init(|| Server::in_memory("scenes")).as_ref()?;
    let name = format!("scene_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    server.sql("postgres", &format!("CREATE DATABASE {name}"))?;
    Ok(server.url(&name))
}
