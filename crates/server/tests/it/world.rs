//! A hub that records what it is asked, a store in memory, a key for every role, and requests to the router without a socket.

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode},
};
use crossdock_canonical::{SystemName, Timestamp};
use crossdock_connect::{WebhookError, http};
use crossdock_engine::face::{Asked, CommandRequest, Hub, HubError, NodeView, OrderIntake, SystemView};
use crossdock_flows::Answer;
use crossdock_server::{
    App, Auth, Demo, DemoSystem, Principals,
    auth::{
        keys, password,
        principals::Person,
        roles::{Role, Sites},
    },
    random,
};
use crossdock_store::{Accepted, InboxId, MemoryStore};
use crossdock_value::{Value, value};
use http_body_util::BodyExt;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

pub const NOW: &str = "2026-11-24T14:32:20Z";
pub const PASSWORD: &str = "correct horse battery";

static PASSWORD_HASH: LazyLock<String> = LazyLock::new(|| password::hash(PASSWORD, random::system));

#[derive(Default)]
pub struct FakeHub {
    pub clock: AtomicI64,
    pub orders: Mutex<Vec<OrderIntake>>,
    pub commands: Mutex<Vec<CommandRequest>>,
    pub webhooks: Mutex<Vec<(SystemName, http::Request)>>,
    pub systems: Mutex<Vec<SystemView>>,
    pub nodes: Mutex<Vec<NodeView>>,
    /// What the next order, command or webhook fails with.
    pub fails: Mutex<Option<HubError>>,
    pub refuses: Mutex<Option<Answer>>,
    pub unready: Mutex<Option<String>>,
}

impl FakeHub {
    pub fn advance(&self, ms: i64) {
        self.clock.fetch_add(ms, Ordering::Relaxed);
    }

    fn outcome<T>(&self, good: T) -> Result<T, HubError> {
        self.fails.lock().expect("free").take().map_or(Ok(good), Err)
    }
}

impl Hub for FakeHub {
    fn accept_order(&self, order: OrderIntake) -> Asked<'_, Accepted> {
        let mut orders = self.orders.lock().expect("free");
        let known = orders.iter().any(|other| other.number == order.number && other.site == order.site);
        orders.push(order);
        let good = if known { Accepted::Duplicate } else { Accepted::Stored(InboxId(orders.len() as i64)) };
        let outcome = self.outcome(good);
        Box::pin(async move { outcome })
    }

    fn webhook(&self, system: &SystemName, request: http::Request) -> Asked<'_, Vec<Accepted>> {
        let outcome = match request.find_header("x-signature") {
            _ if system.as_str() == "nobody" => Err(HubError::NoSystem(system.clone())),
            Some("right") => self.outcome(vec![Accepted::Stored(InboxId(1)), Accepted::Duplicate]),
            _ => Err(HubError::Webhook(WebhookError::BadSignature)),
        };
        if outcome.is_ok() {
            self.webhooks.lock().expect("free").push((system.clone(), request));
        }
        Box::pin(async move { outcome })
    }

    fn command(&self, command: CommandRequest) -> Asked<'_, Answer> {
        self.commands.lock().expect("free").push(command);
        let answer = self.refuses.lock().expect("free").take().unwrap_or(Answer::Taken);
        let outcome = self.outcome(answer);
        Box::pin(async move { outcome })
    }

    fn systems(&self) -> Vec<SystemView> {
        self.systems.lock().expect("free").clone()
    }

    fn nodes(&self) -> Vec<NodeView> {
        self.nodes.lock().expect("free").clone()
    }

    fn metrics(&self) -> String {
        "# TYPE crossdock_orders_total counter\ncrossdock_orders_total 1\n".into()
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.clock.load(Ordering::Relaxed))
    }

    fn readiness(&self) -> Result<(), HubError> {
        self.unready.lock().expect("free").clone().map_or(Ok(()), |reason| Err(HubError::Overloaded(reason)))
    }
}

/// Simulated systems that remember the faults they were given.
#[derive(Default)]
pub struct FakeDemo {
    pub faults: Mutex<BTreeMap<String, Value>>,
}

impl Demo for FakeDemo {
    fn systems(&self) -> Vec<DemoSystem> {
        ["erp", "wms"]
            .map(|name| DemoSystem { name: name.into(), roles: vec![name.into()], url: "http://127.0.0.1:9".into() })
            .into()
    }

    fn order_kinds(&self) -> Vec<(String, String)> {
        vec![("plain".into(), "Two lines, one card.".into())]
    }

    fn faults(&self, system: &str) -> Asked<'_, Value> {
        let faults = self.faults.lock().expect("free").get(system).cloned().unwrap_or_else(|| value!({}));
        Box::pin(async move { Ok(faults) })
    }

    fn set_faults(&self, system: &str, faults: Value) -> Asked<'_, ()> {
        self.faults.lock().expect("free").insert(system.into(), faults);
        Box::pin(async { Ok(()) })
    }

    fn place_order(&self, kind: &str) -> Asked<'_, String> {
        let order = format!("sfcc/DE/{kind}-1");
        Box::pin(async move { Ok(order) })
    }

    fn ledger_tail(&self, system: &str, _limit: usize) -> Asked<'_, Vec<Value>> {
        let row = value!({"at": NOW, "operation": "sale.create", "system": system, "order": "0001", "amount": "12.50", "currency": "EUR"});
        Box::pin(async move { Ok(vec![row]) })
    }
}

pub struct World {
    pub app: App,
    pub router: Router,
    pub hub: Arc<FakeHub>,
    pub store: Arc<MemoryStore>,
    pub demo: Arc<FakeDemo>,
    keys: BTreeMap<Role, String>,
    /// An operator's key for `sfcc/DE` only.
    pub scoped: String,
}

pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("answers are UTF-8")
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }

    /// The code of a problem, which must be one in every respect.
    pub fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{} {}", self.status, self.text());
        let body = self.json();
        assert_eq!(body["status"], self.status.as_u16());
        let code = body["code"].as_str().expect("a code").to_owned();
        assert_eq!(body["type"], format!("/problems/{code}"));
        assert!(body["title"].as_str().is_some_and(|title| !title.is_empty()));
        assert_eq!(body["request_id"], self.header("x-request-id"));
        code
    }
}

impl World {
    pub fn new() -> Self {
        let hub = Arc::new(FakeHub::default());
        hub.clock.store(Timestamp::parse(NOW).expect("an instant").0, Ordering::Relaxed);
        let store = Arc::new(MemoryStore::new());
        let demo = Arc::new(FakeDemo::default());
        let mut principals = Principals::default();
        let mut texts = BTreeMap::new();
        for role in Role::ALL {
            let (text, key) = keys::make(role.as_str(), role, Sites::All, random::system);
            principals.keys.push(key);
            texts.insert(role, text);
        }
        let only = Sites::Only(BTreeSet::from(["sfcc/DE".to_owned()]));
        let (scoped, key) = keys::make("scoped", Role::Operator, only, random::system);
        principals.keys.push(key);
        principals.people.push(Person {
            name: "anna".into(),
            role: Role::Operator,
            sites: Sites::All,
            password: PASSWORD_HASH.clone(),
        });
        let auth = Auth::new(principals, false, random::system).expect("sound principals");
        let app = App::new(hub.clone(), store.clone(), store.clone(), Arc::new(auth))
            .with_demo(demo.clone())
            .with_landscape("alder-quay");
        Self { router: crossdock_server::router(app.clone()), app, hub, store, demo, keys: texts, scoped }
    }

    /// The same world behind a router of a changed app.
    pub fn with(mut self, change: impl FnOnce(&mut App)) -> Self {
        change(&mut self.app);
        self.router = crossdock_server::router(self.app.clone());
        self
    }

    pub fn key(&self, role: Role) -> &str {
        &self.keys[&role]
    }

    pub async fn send(&self, request: Request<Body>) -> Reply {
        let response = TowerToHyperService::new(self.router.clone()).call(request).await.expect("the router does not fail");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes().to_vec();
        Reply { status: parts.status, headers: parts.headers, body }
    }

    pub async fn get(&self, key: &str, path: &str) -> Reply {
        self.send(request(Method::GET, path, key).body(Body::empty()).expect("a request")).await
    }

    pub async fn post(&self, key: &str, path: &str, json: impl Into<Body>) -> Reply {
        let builder =
            request(Method::POST, path, key).header("content-type", "application/json").header("idempotency-key", "k-1");
        self.send(builder.body(json.into()).expect("a request")).await
    }

    /// Signs in as anna; the session's cookie.
    pub async fn sign_in(&self) -> String {
        let form = format!("name=anna&password={}", PASSWORD.replace(' ', "+"));
        let reply = self.form("", "/sign-in", &form).await;
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.text());
        reply.header("set-cookie").split(';').next().expect("a cookie").to_owned()
    }

    pub async fn page(&self, cookie: &str, path: &str) -> Reply {
        let builder = Request::builder().uri(path).header("cookie", cookie).header("accept", "text/html");
        self.send(builder.body(Body::empty()).expect("a request")).await
    }

    pub async fn form(&self, cookie: &str, path: &str, form: &str) -> Reply {
        let builder = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header("cookie", cookie)
            .header("accept", "text/html")
            .header("content-type", "application/x-www-form-urlencoded");
        self.send(builder.body(Body::from(form.to_owned())).expect("a request")).await
    }

    /// The form token of a session.
    pub async fn form_token(&self, cookie: &str) -> String {
        let page = self.page(cookie, "/").await.text();
        let (_, rest) = page.split_once("name=\"_csrf\" value=\"").expect("a form");
        rest.split('"').next().expect("a value").to_owned()
    }
}

pub fn request(method: Method, path: &str, key: &str) -> axum::http::request::Builder {
    let builder = Request::builder().method(method).uri(path);
    if key.is_empty() { builder } else { builder.header("authorization", format!("Bearer {key}")) }
}

pub fn node(name: &str, available: bool) -> NodeView {
    let now = Timestamp::parse(NOW).expect("an instant");
    NodeView {
        name: name.into(),
        id: format!("{name}/k3x9"),
        address: "10.0.0.1:8080".into(),
        version: "0.1.0".into(),
        is_this: name == "one",
        available,
        partitions: if available { 256 } else { 0 },
        in_flight: 3,
        started_at: now - crossdock_canonical::Duration::hours(2),
        last_heard: now,
        silent_ms: if available { 0 } else { 42_000 },
    }
}

pub fn system(name: &str, role: &str) -> SystemView {
    SystemView {
        name: name.into(),
        roles: vec![role.into()],
        connector: "http-json".into(),
        breaker: "closed".into(),
        trouble: String::new(),
        trouble_since: None,
        in_flight: 1,
        concurrency: 8,
        waiting: 0,
        oldest_waiting: None,
        last_success: Timestamp::parse(NOW),
        calls_last_minute: 12,
        failures_last_minute: 0,
        p50_ms: Some(40),
        p99_ms: Some(1_900),
    }
}
