//! System API: how every configured system is doing.

use crate::{
    app::App,
    auth::roles::Action,
    route::{Access, Doc, NO_BODY, Route, api},
};
use axum::{extract::State, http::Method};
use crossdock_engine::face::SystemView;
use schemars::JsonSchema;
use serde::Serialize;

pub fn routes() -> Vec<Route> {
    vec![api(
        Method::GET,
        "/system/v1/systems",
        Access::To(Action::ReadSystems),
        NO_BODY,
        Doc::new("getSystems", "Health, breaker, backlog and budgets of every system.").answers::<Systems>(200, "The systems"),
        systems,
    )]
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
