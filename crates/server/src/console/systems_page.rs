//! The systems: every dependency, worst first. The home page uses the same rows. Below them the hub's own nodes.

use super::{
    draw::Status,
    shell::{self, Here, Shell, Theme, theme_of},
    words::{self, Tone},
};
use crate::{app::App, auth::roles::Actor, problem::Problem};
use askama::Template;
use axum::{extract::State, http::HeaderMap, response::Response};
use crossdock_canonical::{Duration, Timestamp};
use crossdock_engine::face::{NodeView, SystemView};

/// One system as a table row.
pub struct Row {
    pub name: String,
    pub connector: String,
    pub roles: String,
    pub tone: Tone,
    pub status: Status,
    pub trouble: String,
    pub since: String,
    pub calls: String,
    pub p50: String,
    pub p99: String,
    pub errors: String,
    pub failing: bool,
    pub waiting: String,
    pub waits: bool,
    pub oldest: String,
    pub budget: String,
    pub breaker: String,
    pub last_success: String,
    pub is_channel: bool,
}

/// How a system is doing, in a mark and a word.
pub fn judge(system: &SystemView) -> (Tone, &'static str) {
    match system.breaker.as_str() {
        "open" => (Tone::Failed, "Down"),
        "stopped" | "misconfigured" => (Tone::Failed, "Stopped"),
        "half_open" => (Tone::Waiting, "Trying again"),
        _ if !system.trouble.is_empty() => (Tone::Attention, "In trouble"),
        _ if system.calls_last_minute >= 10 && system.failures_last_minute * 10 >= system.calls_last_minute => {
            (Tone::Attention, "Failing")
        }
        _ => (Tone::Ok, "Working"),
    }
}

pub fn row(system: &SystemView, now: Timestamp) -> Row {
    let (tone, word) = judge(system);
    let ms = |ms: Option<u32>| ms.map_or(String::new(), |ms| words::millis(u64::from(ms)));
    // Tenths of a percent, in whole numbers.
    let rate = u64::from(system.failures_last_minute) * 1_000 / u64::from(system.calls_last_minute.max(1));
    Row {
        name: system.name.clone(),
        connector: system.connector.clone(),
        roles: system.roles.join(", "),
        tone,
        status: Status::new(tone, word),
        trouble: system.trouble.clone(),
        since: system.trouble_since.map_or(String::new(), |since| words::clock(since, now)),
        calls: words::count(u64::from(system.calls_last_minute)),
        p50: ms(system.p50_ms),
        p99: ms(system.p99_ms),
        errors: if system.calls_last_minute == 0 { String::new() } else { format!("{}.{} %", rate / 10, rate % 10) },
        failing: rate >= 20,
        waiting: words::count(system.waiting),
        waits: system.waiting > 0,
        oldest: system.oldest_waiting.map_or(String::new(), |oldest| words::lasting(now - oldest)),
        budget: format!("{} of {}", system.in_flight, system.concurrency),
        breaker: system.breaker.replace('_', " "),
        last_success: system.last_success.map_or_else(|| "none yet".into(), |at| words::clock(at, now)),
        is_channel: system.roles.iter().any(|role| role == "storefront" || role == "marketplace"),
    }
}

/// Rows, worst first, then by name.
pub fn rows(systems: &[SystemView], now: Timestamp) -> Vec<Row> {
    let mut rows: Vec<Row> = systems.iter().map(|system| row(system, now)).collect();
    rows.sort_by(|a, b| (a.tone, &a.name).cmp(&(b.tone, &b.name)));
    rows
}

/// One node of the hub as a table row.
pub struct NodeRow {
    pub id: String,
    pub name: String,
    pub status: Status,
    pub address: String,
    pub partitions: String,
    pub in_flight: String,
    pub version: String,
    pub started: String,
    pub heard: String,
}

/// Those that are away first, then by name.
pub fn node_rows(nodes: &[NodeView], now: Timestamp) -> Vec<NodeRow> {
    let mut nodes: Vec<&NodeView> = nodes.iter().collect();
    nodes.sort_by(|a, b| (a.available, &a.name, &a.id).cmp(&(b.available, &b.name, &b.id)));
    let row = |node: &&NodeView| NodeRow {
        id: node.id.clone(),
        name: if node.is_this { format!("{} (this one)", node.name) } else { node.name.clone() },
        status: if node.available { Status::new(Tone::Ok, "Available") } else { Status::new(Tone::Attention, "Away") },
        address: node.address.clone(),
        partitions: format!("{} of {}", node.partitions, crossdock_store::PARTITIONS),
        in_flight: words::count(u64::from(node.in_flight)),
        version: node.version.clone(),
        started: words::clock(node.started_at, now),
        heard: if node.available { "now".into() } else { format!("{} ago", words::lasting(Duration(node.silent_ms))) },
    };
    nodes.iter().map(row).collect()
}

#[derive(Template)]
#[template(path = "systems.html")]
struct Page {
    shell: Shell,
    headline: String,
    rows: Vec<Row>,
    nodes: Vec<NodeRow>,
}

pub async fn show(State(app): State<App>, actor: Actor, headers: HeaderMap) -> Result<Response, Problem> {
    render(&app, &actor, theme_of(&headers)).await.map(shell::html)
}

pub async fn render(app: &App, actor: &Actor, theme: Theme) -> Result<String, Problem> {
    let shell = Shell::new(app, actor, theme, Here::Systems, "Systems").await?.live("/systems");
    let rows = rows(&app.hub.systems(), shell.now);
    let bad = rows.iter().filter(|row| row.tone < Tone::Waiting).count();
    let headline = match (rows.len(), bad) {
        (0, _) => "No system is configured yet".to_owned(),
        (n, 0) => format!("All {n} systems answer"),
        (n, bad) => format!("{bad} of {n} systems need attention"),
    };
    let nodes = node_rows(&app.hub.nodes(), shell.now);
    shell::render(&Page { shell, headline, rows, nodes })
}
