//! Break something: the demo's page that sets faults of simulated systems and places orders. Without a demo there is no page.

use super::{
    draw::{Amount, Mark},
    shell::{self, Here, Shell, Theme, theme_of},
    words::{self, Tone},
};
use crate::{
    app::{App, Demo},
    auth::roles::Actor,
    input::{Form, Path, Query},
    problem::{Code, Problem},
};
use askama::Template;
use axum::{
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Redirect, Response},
};
use crossdock_value::{Decimal, Value, value};
use serde::Deserialize;
use std::sync::Arc;

/// A way to break a system: what it is called, what to watch, and the faults that do it.
struct Breakage {
    id: &'static str,
    name: &'static str,
    watch: &'static str,
    faults: fn() -> Value,
}

fn always() -> Decimal {
    Decimal::ONE
}

fn half() -> Decimal {
    Decimal::new(5, 1)
}

const BREAKAGES: [Breakage; 6] = [
    Breakage {
        id: "down",
        name: "is down",
        watch: "Answers 503 to everything until mended. Orders queue; the storefront does not notice. The breaker opens.",
        faults: || value!({"outages": [{"after_ms": 0, "for_ms": 86_400_000, "mode": "unavailable"}]}),
    },
    Breakage {
        id: "drop",
        name: "does it, then hangs up",
        watch: "Applies every call and drops the answer. Watch unknown outcomes, probes, and nothing done twice.",
        faults: || value!({"apply_then_drop_rate": (always())}),
    },
    Breakage {
        id: "errors",
        name: "fails every second call",
        watch: "500 without applying. Watch retries with the same key, spread out.",
        faults: || value!({"error_rate": (half())}),
    },
    Breakage {
        id: "slow",
        name: "is slow",
        watch: "Every answer takes three to six seconds. Watch its lane wait and the others go on.",
        faults: || value!({"delay_ms": 3_000, "delay_jitter_ms": 3_000}),
    },
    Breakage {
        id: "throttle",
        name: "throttles",
        watch: "429 with Retry-After above one call a second. Watch the hub keep to it.",
        faults: || value!({"calls_per_second_max": 1, "retry_after_s": 2}),
    },
    Breakage {
        id: "echo",
        name: "tells everything twice, out of order",
        watch: "Each notification twice, late ones first. Watch the end state and the count of effects stay the same.",
        faults: || value!({"duplicate_notifications": (always()), "reorder_notifications": (half()), "notification_spread_ms": 5_000}),
    },
];

struct SystemPart {
    name: String,
    roles: String,
    url: String,
    /// What is broken now; empty when it works.
    broken: String,
    mark: Mark,
    choices: Vec<Choice>,
    waiting: String,
}

struct Choice {
    id: &'static str,
    name: &'static str,
    watch: &'static str,
    on: bool,
}

struct LedgerRow {
    at: String,
    operation: String,
    order: String,
    amount: Amount,
    state: String,
}

#[derive(Template)]
#[template(path = "break.html")]
struct Page {
    shell: Shell,
    broken: usize,
    said: String,
    systems: Vec<SystemPart>,
    kinds: Vec<(String, String)>,
    ledger_of: String,
    ledger: Vec<LedgerRow>,
    orders: String,
    exceptions: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wish {
    ledger: Option<String>,
    placed: Option<String>,
}

fn demo(app: &App) -> Result<&Arc<dyn Demo>, Problem> {
    app.demo.as_ref().ok_or_else(|| Problem::new(Code::NotFound, "Only the demo has systems that may be broken."))
}

pub async fn show(
    State(app): State<App>,
    actor: Actor,
    headers: HeaderMap,
    Query(wish): Query<Wish>,
) -> Result<Response, Problem> {
    render(&app, &actor, theme_of(&headers), &wish).await.map(shell::html)
}

pub async fn render(app: &App, actor: &Actor, theme: Theme, wish: &Wish) -> Result<String, Problem> {
    let demo = demo(app)?;
    let ledger_of = wish.ledger.clone().filter(|name| demo.systems().iter().any(|system| system.name == *name));
    let live = ledger_of.as_ref().map_or_else(|| "/break".into(), |name| format!("/break?ledger={}", words::encode(name)));
    let shell = Shell::new(app, actor, theme, Here::Break, "Break something").await?.live(&live);
    let health = app.hub.systems();
    let mut systems = Vec::new();
    for system in demo.systems() {
        let faults = demo.faults(&system.name).await?;
        let on = BREAKAGES.iter().find(|breakage| contains(&faults, &(breakage.faults)()));
        let broken = match on {
            Some(breakage) => breakage.name.to_owned(),
            None if is_quiet(&faults) => String::new(),
            None => "has faults of its own".into(),
        };
        let waiting = health.iter().find(|view| view.name == system.name).map_or(0, |view| view.waiting);
        systems.push(SystemPart {
            mark: Mark(if broken.is_empty() { Tone::Ok } else { Tone::Failed }),
            broken,
            roles: system.roles.join(", "),
            url: system.url,
            choices: BREAKAGES
                .iter()
                .map(|one| Choice { id: one.id, name: one.name, watch: one.watch, on: on.is_some_and(|on| on.id == one.id) })
                .collect(),
            waiting: words::plural(waiting, "call waits", "calls wait"),
            name: system.name,
        });
    }
    let ledger = match &ledger_of {
        Some(name) => demo.ledger_tail(name, 20).await?.iter().map(ledger_row).collect(),
        None => Vec::new(),
    };
    let page = Page {
        broken: systems.iter().filter(|system| !system.broken.is_empty()).count(),
        said: wish.placed.clone().map_or(String::new(), |order| format!("Placed {order}.")),
        kinds: demo.order_kinds(),
        ledger_of: ledger_of.unwrap_or_default(),
        ledger,
        orders: shell.open.to_string(),
        exceptions: shell.parked.to_string(),
        systems,
        shell,
    };
    shell::render(&page)
}

/// Whether `faults` says everything `wanted` says.
fn contains(faults: &Value, wanted: &Value) -> bool {
    let Some(wanted) = wanted.as_obj() else { return false };
    wanted.iter().all(|(key, value)| faults.get(key) == value)
}

/// Whether nothing is broken: no rate above zero, no outage, no delay.
fn is_quiet(faults: &Value) -> bool {
    let Some(map) = faults.as_obj() else { return true };
    map.iter().filter(|(key, _)| !matches!(&***key, "seed" | "apply_later_ms" | "retry_after_s" | "notification_spread_ms")).all(
        |(_, value)| match value {
            Value::Null => true,
            Value::Num(number) => number.is_zero(),
            Value::Arr(items) => items.is_empty(),
            Value::Obj(map) => map.is_empty(),
            Value::Bool(_) | Value::Str(_) => false,
        },
    )
}

fn ledger_row(row: &Value) -> LedgerRow {
    let text = |key: &str| match row.get(key) {
        Value::Str(text) => text.to_string(),
        Value::Num(number) => number.to_string(),
        _ => String::new(),
    };
    LedgerRow {
        at: text("at"),
        operation: text("operation"),
        order: text("order"),
        amount: Amount { currency: text("currency"), amount: text("amount") },
        state: text("state"),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// A breakage, or `mend`.
    fault: String,
    #[serde(rename = "_csrf", default)]
    _form_token: String,
}

pub async fn set(
    State(app): State<App>,
    actor: Actor,
    Path(system): Path<String>,
    Form(setting): Form<Setting>,
) -> Result<Response, Problem> {
    let demo = demo(&app)?;
    let everything = system == "everything";
    let named: Vec<String> =
        demo.systems().into_iter().map(|known| known.name).filter(|name| everything || *name == system).collect();
    if named.is_empty() {
        return Err(Problem::of(Code::SystemNotFound));
    }
    let faults = match BREAKAGES.iter().find(|breakage| breakage.id == setting.fault) {
        Some(breakage) => (breakage.faults)(),
        None if setting.fault == "mend" => value!({}),
        None => return Err(Problem::new(Code::InvalidRequest, "There is no such fault.").at("fault")),
    };
    app.read.record_audit(app.hub.now(), &actor.name, "set faults", &system).await?;
    for name in named {
        demo.set_faults(&name, faults.clone()).await?;
    }
    Ok(Redirect::to("/break").into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placing {
    kind: String,
    #[serde(rename = "_csrf", default)]
    _form_token: String,
}

pub async fn place(State(app): State<App>, Form(placing): Form<Placing>) -> Result<Response, Problem> {
    let demo = demo(&app)?;
    if !demo.order_kinds().iter().any(|(kind, _)| *kind == placing.kind) {
        return Err(Problem::new(Code::InvalidRequest, "There is no such kind of order.").at("kind"));
    }
    let order = demo.place_order(&placing.kind).await?;
    Ok(Redirect::to(&format!("/break?placed={}", words::encode(&order))).into_response())
}
