//! Where reports come from: a running hub's process API, or its store file while no hub runs.
//!
//! Both give the process API's answers, so that whatever is built on them has one form to read.

use crate::{exit::Failure, hub, remote::Remote, stores};
use crossdock_connect::http::percent;
use crossdock_landscape::StoreConfig;
use crossdock_server::api::wire;
use crossdock_store::{
    ExceptionQuery, ProcessKey, ProcessQuery, ReadStore, StoreError,
    sqlite::{Options, SqliteStore},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Rows a page of a search, and pages looked through: more orders than this do not share the beginning of a number.
const PAGE: usize = 200;
const PAGES_MAX: usize = 50;

#[derive(clap::Args, Clone, Debug)]
#[group(id = "source", multiple = false)]
pub struct Args {
    /// The landscape whose store is read, while no hub runs on it [default: the current folder].
    #[arg(long, value_name = "DIR")]
    landscape: Option<PathBuf>,
    /// The store file to read, while no hub runs on it.
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
    /// A running hub, such as http://127.0.0.1:8080.
    #[arg(long)]
    url: Option<String>,
}

#[derive(clap::Args, Clone, Debug)]
pub struct KeyArgs {
    /// The environment variable that holds the API key for --url.
    #[arg(long, value_name = "NAME", default_value = "CROSSDOCK_KEY")]
    pub key_env: String,
}

pub enum Source {
    Store(Arc<dyn ReadStore>),
    Remote(Box<Remote>),
}

/// A process as lists show it.
#[derive(Clone, Debug, Deserialize)]
pub struct Found {
    pub id: String,
    pub site: String,
    pub number: String,
    pub status: String,
    pub stage: String,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Found>,
    #[serde(default)]
    next: Option<u64>,
}

#[derive(Deserialize)]
struct Items<T> {
    items: Vec<T>,
}

impl Source {
    pub fn open(args: &Args, key: &KeyArgs) -> Result<Self, Failure> {
        match (&args.url, &args.store) {
            (Some(url), _) => Ok(Self::Remote(Box::new(Remote::new(url, &key.key_env)?))),
            (None, Some(path)) => store(path),
            (None, None) => store_of(args.landscape.as_deref()),
        }
    }

    /// Orders whose number begins with a text, or that another system knows by it.
    pub async fn orders(&self, text: &str) -> Result<Vec<Found>, Failure> {
        let mut orders = Vec::new();
        let mut before = None;
        for _ in 0..PAGES_MAX {
            let page = self.page(text, before).await?;
            orders.extend(page.items);
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        Ok(orders)
    }

    async fn page(&self, text: &str, before: Option<u64>) -> Result<Page, Failure> {
        match self {
            Self::Store(store) => {
                let query = ProcessQuery {
                    kind: Some("order".into()),
                    text: Some(text.into()),
                    before,
                    limit: PAGE,
                    ..ProcessQuery::default()
                };
                let views = store.processes(query).await.map_err(broken)?;
                let next = views.last().filter(|_| views.len() == PAGE).map(|view| view.no);
                Ok(Page { items: same_form(&views.iter().map(wire::Process::from).collect::<Vec<_>>())?, next })
            }
            Self::Remote(hub) => {
                let before = before.map(|no| format!("&before={no}")).unwrap_or_default();
                let path = format!("/process/v1/processes?kind=order&q={}&limit={PAGE}{before}", percent(text));
                Ok(hub.get(&path).await?.unwrap_or(Page { items: Vec::new(), next: None }))
            }
        }
    }

    /// One process whole: `GET /process/v1/processes/{id}`.
    pub async fn process<T: DeserializeOwned>(&self, key: &ProcessKey) -> Result<Option<T>, Failure> {
        match self {
            Self::Store(store) => {
                let detail = store.process(key).await.map_err(broken)?;
                detail.map(|detail| same_form(&wire::ProcessWhole::from(&detail))).transpose()
            }
            Self::Remote(hub) => hub.get(&path(key, "")).await,
        }
    }

    /// Its journal, oldest first.
    pub async fn journal<T: DeserializeOwned>(&self, key: &ProcessKey) -> Result<Vec<T>, Failure> {
        match self {
            Self::Store(store) => {
                let rows = store.journal(key).await.map_err(broken)?;
                same_form(&rows.iter().map(wire::Transition::from).collect::<Vec<_>>())
            }
            Self::Remote(hub) => Ok(hub.get::<Items<T>>(&path(key, "/events")).await?.map_or_else(Vec::new, |list| list.items)),
        }
    }

    /// What waits for a person, oldest first.
    pub async fn exceptions<T: DeserializeOwned>(&self, class: Option<&str>, system: Option<&str>) -> Result<Vec<T>, Failure> {
        match self {
            Self::Store(store) => {
                let query =
                    ExceptionQuery { class: class.map(Into::into), system: system.map(Into::into), sites: None, limit: PAGE };
                let views = store.exceptions(query).await.map_err(broken)?;
                same_form(&views.iter().map(wire::Exception::from).collect::<Vec<_>>())
            }
            Self::Remote(hub) => {
                let filter =
                    |name: &str, value: Option<&str>| value.map(|v| format!("&{name}={}", percent(v))).unwrap_or_default();
                let path = format!("/process/v1/exceptions?limit={PAGE}{}{}", filter("class", class), filter("system", system));
                Ok(hub.get::<Items<T>>(&path).await?.map_or_else(Vec::new, |list| list.items))
            }
        }
    }
}

/// Where a process is in the API.
pub fn path(key: &ProcessKey, below: &str) -> String {
    format!("/process/v1/processes/{}{below}", percent(&key.to_string()))
}

/// What the API would have answered, read as its callers read it.
fn same_form<T: DeserializeOwned>(answer: &impl Serialize) -> Result<T, Failure> {
    let json = serde_json::to_value(answer).map_err(Failure::fault)?;
    serde_json::from_value(json).map_err(|error| Failure::fault(format!("the store holds what is not understood here: {error}")))
}

fn broken(error: StoreError) -> Failure {
    Failure::fault(format!("the store cannot be read: {error}"))
}

fn store_of(landscape: Option<&Path>) -> Result<Source, Failure> {
    let folder = landscape.unwrap_or_else(|| Path::new("."));
    if landscape.is_none() && !folder.join("crossdock.yaml").is_file() {
        return Err(Failure::usage(
            "this folder is no landscape: say where to look, with --landscape DIR, --store FILE or --url URL",
        ));
    }
    let landscape = hub::landscape(folder).map_err(Failure::usage)?;
    match &landscape.node().store {
        StoreConfig::Sqlite { path } => store(&folder.join(path)),
        // Hubs may run on it meanwhile.
        config @ StoreConfig::Postgres { .. } => {
            let opened =
                stores::open(config, folder, &landscape.node().retention).map_err(|error| Failure::fault(error.to_string()))?;
            Ok(Source::Store(opened))
        }
    }
}

fn store(path: &Path) -> Result<Source, Failure> {
    Ok(Source::Store(Arc::new(open(path)?)))
}

/// Opens a store that is there already; a hub that has it open keeps everybody else out.
pub fn open(path: &Path) -> Result<SqliteStore, Failure> {
    if !path.is_file() {
        return Err(Failure::usage(format!("there is no store at {}", path.display())));
    }
    SqliteStore::open(&Options::new(path)).map_err(|error| match error.to_string() {
        text if text.contains("another hub") => {
            Failure::fault(format!("a hub has {} open; ask it with --url and an API key (see --key-env)", path.display()))
        }
        text => Failure::fault(text),
    })
}
