//! System API: how every configured system is doing, and every node of the hub.

use crate::{
    app::App,
    auth::roles::Action,
    route::{Access, Doc, NO_BODY, Route, api},
};
use axum::{extract::State, http::Method};
use crossdock_engine::face::{NodeView, SystemView};
use schemars::JsonSchema;
use serde::Serialize;

pub fn routes() -> Vec<Route> {
    vec![
        api(
            Method::GET,
            "/system/v1/systems",
            Access::To(Action::ReadSystems),
            NO_BODY,
            Doc::new("getSystems", "Health, breaker, backlog and budgets of every system, as the node that answers sees them.")
                .answers::<Systems>(200, "The systems"),
            systems,
        ),
        api(
            Method::GET,
            "/system/v1/nodes",
            Access::To(Action::ReadSystems),
            NO_BODY,
            Doc::new("getNodes", "Every node on the hub's store: whether it is available, and its share of the partitions.")
                .answers::<Nodes>(200, "The nodes"),
            nodes,
        ),
    ]
}

#[derive(Serialize, JsonSchema)]
pub struct Nodes {
    #[schemars(with = "Vec<Node>")]
    items: Vec<NodeView>,
}

/// The schema of `NodeView`, which the engine owns.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used; a test compares it with what is sent")]
struct Node {
    name: String,
    /// Unique to one run of it.
    id: String,
    address: String,
    version: String,
    /// Whether it is the node that answers.
    is_this: bool,
    /// Whether its heart beats, as the node that answers sees it.
    available: bool,
    /// Of 256.
    partitions: u32,
    in_flight: u32,
    started_at: String,
    /// By the node's own clock.
    last_heard: String,
    /// For how long no new heartbeat of it was seen.
    silent_ms: i64,
}

async fn nodes(State(app): State<App>) -> axum::Json<Nodes> {
    axum::Json(Nodes { items: app.hub.nodes() })
}

#[derive(Serialize, JsonSchema)]
pub struct Systems {
    #[schemars(with = "Vec<System>")]
    items: Vec<SystemView>,
}

/// The schema of `SystemView`, which the engine owns.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used; a test compares it with what is sent")]
struct System {
    name: String,
    roles: Vec<String>,
    connector: String,
    breaker: String,
    /// Why the breaker is open, or what is misconfigured; empty when it answers.
    trouble: String,
    trouble_since: Option<String>,
    in_flight: u32,
    concurrency: u32,
    waiting: u64,
    oldest_waiting: Option<String>,
    last_success: Option<String>,
    calls_last_minute: u32,
    failures_last_minute: u32,
    p50_ms: Option<u32>,
    p99_ms: Option<u32>,
}

async fn systems(State(app): State<App>) -> axum::Json<Systems> {
    axum::Json(Systems { items: app.hub.systems() })
}
