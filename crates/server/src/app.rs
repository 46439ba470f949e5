//! What the surfaces stand on: a running hub, its store, its principals, and in the demo its simulated systems.

use crate::{auth::Auth, route};
use axum::Router;
use crossdock_engine::face::{Asked, Hub};
use crossdock_store::{ReadStore, Store};
use crossdock_value::Value;
use std::sync::{Arc, atomic::AtomicU64};
use tokio::sync::Semaphore;

/// Streams open at the same time, of programs and of console pages together.
const STREAMS_MAX: usize = 512;

#[derive(Clone)]
pub struct App {
    pub hub: Arc<dyn Hub>,
    pub read: Arc<dyn ReadStore>,
    pub store: Arc<dyn Store>,
    pub auth: Arc<Auth>,
    pub demo: Option<Arc<dyn Demo>>,
    /// The retailer's name and the landscape's version, for the foot of the console's rail.
    pub landscape: Arc<str>,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) request_ids: Arc<AtomicU64>,
}

impl App {
    pub fn new(hub: Arc<dyn Hub>, read: Arc<dyn ReadStore>, store: Arc<dyn Store>, auth: Arc<Auth>) -> Self {
        let began = hub.now().0.unsigned_abs();
        Self {
            hub,
            read,
            store,
            auth,
            demo: None,
            landscape: "".into(),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            request_ids: Arc::new(AtomicU64::new(began)),
        }
    }

    pub fn with_demo(mut self, demo: Arc<dyn Demo>) -> Self {
        self.demo = Some(demo);
        self
    }

    /// For example `alder-quay, landscape 9f31c2e`.
    pub fn with_landscape(mut self, name: impl Into<Arc<str>>) -> Self {
        self.landscape = name.into();
        self
    }
}

/// The simulated systems behind the demo, for the page that breaks them.
pub trait Demo: Send + Sync + 'static {
    /// Every simulated system.
    fn systems(&self) -> Vec<DemoSystem>;

    /// The kinds of orders `place_order` knows, with a few words on each.
    fn order_kinds(&self) -> Vec<(String, String)>;

    /// The faults of a system now; an empty object when it works.
    fn faults(&self, system: &str) -> Asked<'_, Value>;

    /// Replaces the faults of a system, in the form of `PUT /_sim/faults`. An empty object mends it.
    fn set_faults(&self, system: &str, faults: Value) -> Asked<'_, ()>;

    /// Places an order of a kind in the simulated storefront; its `channel/site/number`.
    fn place_order(&self, kind: &str) -> Asked<'_, String>;

    /// The last rows of a system's own ledger, newest first.
    fn ledger_tail(&self, system: &str, limit: usize) -> Asked<'_, Vec<Value>>;
}

#[derive(Clone, Debug)]
pub struct DemoSystem {
    pub name: String,
    pub roles: Vec<String>,
    /// Where it listens, for those who want to see its ledger.
    pub url: String,
}

/// The surfaces, ready to be served.
pub fn router(app: App) -> Router {
    route::build(app)
}
