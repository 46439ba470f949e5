//! Orders: find over everything, filters, pages. Rows stay where they are; new ones are announced above.

use super::{
    draw::{Amount, Path, Status},
    order_view,
    shell::{self, Here, Shell, Theme, theme_of},
    words::{self, Tone},
};
use crate::{app::App, auth::roles::Actor, input::Query, problem::Problem};
use askama::Template;
use axum::{extract::State, http::HeaderMap, response::Response};
use crossdock_canonical::Timestamp;
use crossdock_store::{ProcessQuery, ProcessView};
use serde::Deserialize;

const PAGE: usize = 50;
/// New rows are counted one by one up to here.
const NEW_MAX: usize = 100;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wish {
    q: Option<String>,
    /// `open` when nothing else is asked for; `any` for all.
    status: Option<String>,
    stage: Option<String>,
    market: Option<String>,
    exceptional: Option<bool>,
    before: Option<u64>,
    /// The newest row when the page was loaded; newer ones are announced, not pushed in.
    upto: Option<u64>,
}

pub struct Row {
    pub status: Status,
    pub number: String,
    pub link: String,
    pub market: String,
    pub site: String,
    pub placed: String,
    pub age: String,
    pub total: Amount,
    pub path: Path,
    pub stage: String,
    pub waits_for: String,
}

struct Tab {
    name: &'static str,
    link: String,
    here: bool,
    n: String,
}

struct Token {
    text: String,
    without: String,
}

#[derive(Template)]
#[template(path = "orders.html")]
struct Page {
    shell: Shell,
    address: String,
    wish_q: String,
    headline: String,
    tabs: Vec<Tab>,
    tokens: Vec<Token>,
    rows: Vec<Row>,
    fresh: String,
    next: String,
    searched: bool,
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
    let mut wish = wish.clone();
    wish.q = wish.q.map(|q| q.trim().chars().take(200).collect()).filter(|q: &String| !q.is_empty());
    let mut shell = Shell::new(app, actor, theme, Here::Orders, "Orders").await?;
    shell.q = wish.q.clone().unwrap_or_default();
    let below = wish.before.or(wish.upto.map(|upto| upto.saturating_add(1)));
    let mut views = app.read.processes(query(&wish, actor, below, PAGE + 1)).await?;
    let more = views.len() > PAGE;
    views.truncate(PAGE);
    let next = views.last().filter(|_| more).map(|last| address(&Wish { before: Some(last.no), upto: None, ..wish.clone() }));
    let fresh = match (wish.before, wish.upto) {
        (None, Some(upto)) => fresh(app, actor, &wish, upto).await?,
        _ => String::new(),
    };
    // The first page lives on; an older one is as of the load.
    if wish.before.is_none() {
        let newest = views.first().map_or(0, |view| view.no);
        shell = shell.live(&address(&Wish { upto: Some(wish.upto.unwrap_or(newest)), ..wish.clone() }));
    }
    let rows: Vec<Row> = views.iter().map(|view| row(view, shell.now)).collect();
    let page = Page {
        address: address(&Wish { upto: None, ..wish.clone() }),
        wish_q: wish.q.clone().unwrap_or_default(),
        headline: headline(&wish, &rows, &shell, more),
        tabs: tabs(&wish, &shell),
        tokens: tokens(&wish),
        fresh,
        next: next.unwrap_or_default(),
        searched: wish.q.is_some()
            || wish.stage.is_some()
            || wish.market.is_some()
            || wish.status.is_some()
            || wish.exceptional.is_some(),
        rows,
        shell,
    };
    shell::render(&page)
}

fn query(wish: &Wish, actor: &Actor, before: Option<u64>, limit: usize) -> ProcessQuery {
    ProcessQuery {
        kind: Some("order".into()),
        text: wish.q.clone(),
        status: wish.status.clone().filter(|status| status != "any").or_else(|| default_status(wish)),
        stage: wish.stage.clone(),
        market: wish.market.clone(),
        sites: actor.sites.filter(),
        exceptional: wish.exceptional.unwrap_or(false),
        // A store counts in 63 bits.
        before: before.map(|before| before.min(i64::MAX.unsigned_abs())),
        limit,
    }
}

/// The bare page shows what is open; whoever searches or filters looks everywhere.
fn default_status(wish: &Wish) -> Option<String> {
    let bare =
        wish.q.is_none() && wish.status.is_none() && wish.stage.is_none() && wish.market.is_none() && wish.exceptional.is_none();
    bare.then(|| "open".into())
}

async fn fresh(app: &App, actor: &Actor, wish: &Wish, upto: u64) -> Result<String, Problem> {
    let newest = app.read.processes(query(wish, actor, None, NEW_MAX)).await?;
    let n = newest.iter().take_while(|view| view.no > upto).count();
    Ok(match n {
        0 => String::new(),
        NEW_MAX => format!("{NEW_MAX} and more new"),
        n => format!("{n} new"),
    })
}

pub fn row(view: &ProcessView, now: Timestamp) -> Row {
    let summary = &view.row.summary;
    let (stage, status) = (&*summary.stage, &*summary.status);
    let tone = Tone::of_status(status, view.open_exceptions, &summary.waiting_for);
    let word = match (status, view.open_exceptions) {
        (_, 1..) => "Parked".to_owned(),
        ("held", _) => "On hold".to_owned(),
        ("open", _) => words::sentence(stage),
        _ => words::sentence(status),
    };
    Row {
        status: Status::new(tone, word),
        number: summary.number.to_string(),
        link: words::order_path(&summary.channel, &summary.site, &summary.number),
        market: summary.market.to_string(),
        site: format!("{}/{}", summary.channel, summary.site),
        placed: words::clock(view.row.opened_at, now),
        age: words::lasting(now - view.row.opened_at),
        total: Amount { currency: summary.currency.to_string(), amount: summary.total.to_string() },
        path: Path { done: order_view::steps_done(stage), next: tone },
        stage: words::sentence(stage),
        waits_for: order_view::waits_for(&summary.waiting_for),
    }
}

fn headline(wish: &Wish, rows: &[Row], shell: &Shell, more: bool) -> String {
    let shown = if more { format!("the newest {PAGE}") } else { words::count(rows.len() as u64) };
    match &wish.q {
        Some(_) if rows.is_empty() => "nothing found".into(),
        Some(_) => format!("{shown} found"),
        None if default_status(wish).is_some() => format!("{} open", shell.open),
        None => format!("{shown} of this kind"),
    }
}

fn tabs(wish: &Wish, shell: &Shell) -> Vec<Tab> {
    let plain =
        |status: Option<&str>, exceptional: Option<bool>| Wish { status: status.map(Into::into), exceptional, ..Wish::default() };
    let tab = |name: &'static str, status: Option<&str>, exceptional: Option<bool>, n: String| Tab {
        name,
        link: address(&plain(status, exceptional)),
        here: wish.status.as_deref() == status && wish.exceptional == exceptional,
        n,
    };
    vec![
        tab("Open", None, None, shell.open.to_string()),
        tab("Needs a person", None, Some(true), shell.parked.to_string()),
        tab("On hold", Some("held"), None, String::new()),
        tab("Closed", Some("closed"), None, String::new()),
        tab("Cancelled", Some("cancelled"), None, String::new()),
        tab("All", Some("any"), None, String::new()),
    ]
}

fn tokens(wish: &Wish) -> Vec<Token> {
    let bare = Wish { before: None, upto: None, ..wish.clone() };
    let mut tokens = Vec::new();
    let mut token = |text: Option<String>, without: Wish| {
        if let Some(text) = text {
            tokens.push(Token { text, without: address(&without) });
        }
    };
    token(wish.q.as_ref().map(|q| format!("text: {q}")), Wish { q: None, ..bare.clone() });
    token(wish.stage.as_ref().map(|stage| format!("stage: {}", words::sentence(stage))), Wish { stage: None, ..bare.clone() });
    token(wish.market.as_ref().map(|market| format!("market: {market}")), Wish { market: None, ..bare.clone() });
    tokens
}

fn address(wish: &Wish) -> String {
    let mut pairs = Vec::new();
    let mut pair = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            pairs.push(format!("{name}={}", words::encode(&value)));
        }
    };
    pair("q", wish.q.clone());
    pair("status", wish.status.clone());
    pair("stage", wish.stage.clone());
    pair("market", wish.market.clone());
    pair("exceptional", wish.exceptional.map(|yes| yes.to_string()));
    pair("before", wish.before.map(|no| no.to_string()));
    pair("upto", wish.upto.map(|no| no.to_string()));
    if pairs.is_empty() { "/orders".into() } else { format!("/orders?{}", pairs.join("&")) }
}
