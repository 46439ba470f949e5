//! The hub of a run: the shipped program on a landscape of its own, asked by its interfaces like anybody would.

use super::peer::Peer;
use crate::{address, crash::Scratch, program};
use crossdock_canonical::Duration;
use crossdock_connect::http::{Method, Request};
use crossdock_engine::shell::{client::Client, clock};
use crossdock_server::{
    Auth, Principals,
    auth::roles::{Role, Sites},
};
use crossdock_simulators::{SYSTEMS, serve::Running as Systems};
use crossdock_store::sqlite::{Options, SqliteStore};
use serde::Deserialize;
use serde_json::json;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
};
use tokio::process::{Child, Command};

const START_MAX: Duration = Duration::seconds(60);
const PATIENCE: Duration = Duration::seconds(10);
const PAGE: usize = 200;

/// Where the hub will live.
pub(super) struct Ground {
    pub folder: PathBuf,
    pub address: SocketAddr,
    _scratch: Option<Scratch>,
}

pub(super) struct Hub {
    child: Child,
    pub door: Door,
}

/// Its interfaces, for whoever asks.
#[derive(Clone)]
pub(super) struct Door {
    url: String,
    key: String,
    client: Arc<Client>,
}

/// An order as the hub has it.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub status: String,
    pub stage: String,
    pub waiting_for: String,
    /// Classes and causes of its exceptions.
    pub exceptions: Vec<(String, String)>,
}

impl Found {
    pub fn is_ended(&self) -> bool {
        matches!(self.status.as_str(), "closed" | "cancelled" | "failed")
    }

    /// `silent` only says that an answer is late: the hub goes on trying.
    pub fn waits_for_a_person(&self) -> bool {
        self.exceptions.iter().any(|(class, _)| class != "silent")
    }
}

impl Ground {
    pub fn new(keep: Option<&Path>) -> Result<Self, String> {
        let (folder, scratch) = match keep {
            Some(folder) => (folder.to_owned(), None),
            None => {
                let scratch = Scratch::within(&std::env::temp_dir(), &format!("crossdock-tryton-{}", std::process::id()))?;
                (scratch.path().to_owned(), Some(scratch))
            }
        };
        std::fs::create_dir_all(&folder).map_err(|e| format!("{} cannot be made: {e}", folder.display()))?;
        Ok(Self { folder, address: address::own()?, _scratch: scratch })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn landscape(&self) -> PathBuf {
        self.folder.join("landscape")
    }

    /// Writes the landscape, makes an API key and starts the program.
    pub async fn start(&self, peer: &Peer, tryton: &str, settling: &str, within: i64, systems: &Systems) -> Result<Hub, String> {
        peer.landscape(&self.landscape(), tryton, settling, within).await?;
        self.move_store().map_err(|e| format!("the landscape's node cannot be written: {e}"))?;
        let key = self.key().await?;
        let log = std::fs::File::create(self.folder.join("hub.log")).map_err(|e| format!("no log: {e}"))?;
        let mut command = Command::new(program::crossdock()?);
        command.arg("run").arg("--landscape").arg(self.landscape()).arg("--listen").arg(self.address.to_string());
        for system in SYSTEMS {
            command.env(format!("CROSSDOCK_{}_URL", system.to_uppercase()), systems.url(system).unwrap_or_default());
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        let child = command.spawn().map_err(|e| format!("the hub does not start: {e}"))?;
        let mut hub = Hub { child, door: Door { url: self.url(), key, client: Arc::new(Client::new(8 << 20)) } };
        hub.await_answer().await?;
        Ok(hub)
    }

    /// A landscape holds no foreign files, so the store goes beside it.
    fn move_store(&self) -> std::io::Result<()> {
        let node = self.landscape().join("crossdock.yaml");
        let text = std::fs::read_to_string(&node)?.replace("path: crossdock-demo.db", "path: ../crossdock.db");
        std::fs::write(node, text)
    }

    async fn key(&self) -> Result<String, String> {
        let store = SqliteStore::open(&Options::new(self.folder.join("crossdock.db"))).map_err(|e| e.to_string())?;
        let auth = Auth::new(Principals::default(), false, crossdock_server::random::system).map_err(|e| e.to_string())?;
        auth.load(&store).await.map_err(|problem| problem.detail.to_string())?;
        auth.add_key(&store, "trial", Role::Operator, Sites::All).await.map_err(|problem| problem.detail.to_string())
    }
}

impl Hub {
    async fn await_answer(&mut self) -> Result<(), String> {
        let watch = clock::Stopwatch::start();
        while watch.elapsed() < START_MAX {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("the hub ended at its start: {status}; its log says why"));
            }
            if self.door.orders().await.is_ok() {
                return Ok(());
            }
            clock::pause(Duration::millis(100)).await;
        }
        Err("the hub does not answer".into())
    }

    pub async fn end(mut self) -> Result<(), String> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Err(format!("the hub had ended by itself: {status}"));
        }
        self.child.kill().await.map_err(|e| format!("the hub cannot be ended: {e}"))
    }
}

impl Door {
    async fn get<T: serde::de::DeserializeOwned>(&self, path: String) -> Result<T, String> {
        let request = Request::new(Method::Get, path).header("authorization", format!("Bearer {}", self.key));
        let answer = self.client.raw(&self.url, request, PATIENCE).await.map_err(|e| e.to_string())?;
        if !answer.is_success() {
            return Err(format!("the hub answers {}", answer.status));
        }
        serde_json::from_slice(&answer.body).map_err(|e| e.to_string())
    }

    /// Every order the hub knows, by `site/number`.
    pub async fn orders(&self) -> Result<BTreeMap<String, Found>, String> {
        #[derive(Deserialize)]
        struct Page {
            items: Vec<Order>,
            next: Option<u64>,
        }
        #[derive(Deserialize)]
        struct Order {
            site: String,
            number: String,
            status: String,
            stage: String,
            waiting_for: String,
        }
        let mut orders = BTreeMap::new();
        let mut before = String::new();
        loop {
            let page: Page = self.get(format!("/process/v1/processes?kind=order&limit={PAGE}{before}")).await?;
            for order in page.items {
                let found =
                    Found { status: order.status, stage: order.stage, waiting_for: order.waiting_for, exceptions: Vec::new() };
                orders.insert(format!("{}/{}", order.site, order.number), found);
            }
            let Some(next) = page.next else { break };
            before = format!("&before={next}");
        }
        self.add_exceptions(&mut orders).await?;
        Ok(orders)
    }

    async fn add_exceptions(&self, orders: &mut BTreeMap<String, Found>) -> Result<(), String> {
        #[derive(Deserialize)]
        struct List {
            items: Vec<Exception>,
        }
        #[derive(Deserialize)]
        struct Exception {
            process: String,
            class: String,
            system: String,
            step: String,
            cause: String,
        }
        let list: List = self.get(format!("/process/v1/exceptions?limit={PAGE}")).await?;
        for exception in list.items {
            // `order:channel/site/number`; a payment's exception is its order's.
            let name = exception.process.split_once('/').map_or("", |(_, name)| name);
            if let Some(order) = orders.get_mut(name) {
                let Exception { class, system, step, cause, .. } = exception;
                order.exceptions.push((class, format!("{system} {step}: {cause}")));
            }
        }
        Ok(())
    }

    /// The shopper asks to cancel, with one key until somebody answers.
    pub async fn cancel(&self, channel: &str, site: &str, number: &str) {
        let body = json!({"channel": channel, "site": site, "reason": "the shopper asked"}).to_string();
        let request = Request::new(Method::Post, format!("/experience/v1/orders/{number}/cancellations"))
            .header("authorization", format!("Bearer {}", self.key))
            .header("idempotency-key", format!("shopper-{number}"))
            .json(body.into_bytes());
        for _ in 0..600 {
            match self.client.raw(&self.url, request.clone(), PATIENCE).await {
                Ok(answer) if answer.is_success() || matches!(answer.status, 409 | 422) => return,
                _ => clock::pause(Duration::millis(200)).await,
            }
        }
    }
}
