//! One order: now, path, lanes, attempts, events, commands; money, lines, shipments, names.
//!
//! What systems were sent and answered is hidden until someone whose role allows it asks; each look is recorded.

use super::{
    draw::{Lanes, Mark, Status},
    exceptions_page::{Act, acts},
    order_view::{self, Attempted, EventLine, Known, LineView, MoneyView, ShipmentView, Stop, Told},
    shell::{self, Here, Shell, Theme, theme_of},
    words::{self, Tone},
};
use crate::{
    api::{self, experience},
    app::App,
    auth::roles::{Action, Actor},
    input::{Form, Path, Query},
    problem::{Code, Problem},
};
use askama::Template;
use axum::{extract::State, http::HeaderMap, response::Response};
use crossdock_canonical::{Order, OrderRef};
use crossdock_store::{PayloadHash, ProcessDetail, ProcessKey};
use serde::Deserialize;

/// A payload is shown up to here.
const SHOWN_MAX: usize = 256 << 10;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wish {
    /// How a command that led back here ended.
    said: Option<String>,
}

struct Trouble {
    status: Status,
    cause: String,
    suggestion: String,
    since: String,
    acts: Vec<Act>,
}

struct Command {
    name: &'static str,
    link: String,
    text: &'static str,
    risk: bool,
}

#[derive(Template)]
#[template(path = "order.html")]
struct Page {
    shell: Shell,
    address: String,
    said: String,
    reference: OrderRef,
    order_id: String,
    market: String,
    placed: String,
    who: String,
    priority: String,
    currency: String,
    total: String,
    status: Status,
    waits_for: String,
    since: String,
    stops: Vec<Stop>,
    lanes: Lanes,
    attempts: Vec<Attempted>,
    tally: String,
    events: Vec<EventLine>,
    commands: Vec<Command>,
    troubles: Vec<Trouble>,
    money: Option<MoneyView>,
    lines: Vec<LineView>,
    shipments: Vec<ShipmentView>,
    known: Vec<Known>,
    timers: Vec<(String, String)>,
    policy: String,
    version: u64,
    may_reveal: bool,
    may_command: bool,
    document: String,
    api: String,
}

pub async fn show(
    State(app): State<App>,
    actor: Actor,
    headers: HeaderMap,
    Path((channel, site, number)): Path<(String, String, String)>,
    Query(wish): Query<Wish>,
) -> Result<Response, Problem> {
    let reference = experience::reference(&channel, &site, &number)?;
    render(&app, &actor, theme_of(&headers), &reference, wish.said.as_deref()).await.map(shell::html)
}

/// An order with its payment, and the journals of both.
struct Whole {
    order: (ProcessDetail, Vec<crossdock_store::JournalRow>),
    payment: Option<(ProcessDetail, Vec<crossdock_store::JournalRow>)>,
}

impl Whole {
    async fn load(app: &App, actor: &Actor, reference: &OrderRef) -> Result<Self, Problem> {
        let key = experience::order_process(reference);
        let detail = api::find(&*app.read, actor, &key).await.map_err(|problem| match problem.code {
            Code::ProcessNotFound => Problem::of(Code::OrderNotFound),
            _ => problem,
        })?;
        let journal = app.read.journal(&key).await?;
        let key = ProcessKey::new("payment", &reference.to_string());
        let payment = match app.read.process(&key).await? {
            Some(detail) => Some((detail, app.read.journal(&key).await?)),
            None => None,
        };
        Ok(Self { order: (detail, journal), payment })
    }

    fn order(&self) -> Told<'_> {
        Told { detail: &self.order.0, journal: &self.order.1 }
    }

    fn payment(&self) -> Option<Told<'_>> {
        self.payment.as_ref().map(|(detail, journal)| Told { detail, journal })
    }

    fn all(&self) -> Vec<Told<'_>> {
        std::iter::once(self.order()).chain(self.payment()).collect()
    }
}

pub async fn render(app: &App, actor: &Actor, theme: Theme, reference: &OrderRef, said: Option<&str>) -> Result<String, Problem> {
    let address = words::order_path(reference.channel.as_str(), reference.site.as_str(), reference.number.as_str());
    let shell = Shell::new(app, actor, theme, Here::Orders, format!("Order {}", reference.number)).await?.live(&address);
    let now = shell.now;
    let whole = Whole::load(app, actor, reference).await?;
    let (order, all) = (whole.order(), whole.all());
    let detail = order.detail;
    let (row, summary) = (&detail.view.row, &detail.view.row.summary);
    let document = document(app, detail).await?;

    let mut attempts: Vec<Attempted> = all.iter().flat_map(|told| order_view::attempts(told, now)).collect();
    attempts.sort_by_key(|one| !one.open);
    let tries: usize = attempts.iter().map(|one| one.tries.iter().filter(|one| one.word != "probe").count()).sum();
    let probes: usize = attempts.iter().map(|one| one.tries.iter().filter(|one| one.word == "probe").count()).sum();
    let tone = Tone::of_status(&summary.status, detail.view.open_exceptions, &summary.waiting_for);
    let word = if &*summary.status == "open" { words::sentence(&summary.stage) } else { words::sentence(&summary.status) };
    let may_command = actor.may(Action::CommandProcesses);
    let page = Page {
        said: super::exceptions_page::said_words(said.unwrap_or_default()),
        order_id: reference.order_id(),
        market: summary.market.to_string(),
        placed: words::clock(row.opened_at, now),
        who: who(document.as_ref()),
        priority: format!("{:?}", row.priority).to_lowercase(),
        currency: summary.currency.to_string(),
        total: words::amount(&order_view::total(detail).amount),
        status: Status::new(tone, word),
        waits_for: order_view::waits_for(&summary.waiting_for),
        since: words::lasting(now - detail.view.updated_at),
        stops: order_view::path(&order, now),
        lanes: order_view::lanes(&all, now),
        tally: format!(
            "{}, {}, {}",
            words::plural(attempts.len() as u64, "effect", "effects"),
            words::plural(tries as u64, "attempt", "attempts"),
            words::plural(probes as u64, "probe", "probes")
        ),
        attempts,
        events: order_view::event_lines(&all, now),
        commands: if may_command { commands(detail) } else { Vec::new() },
        troubles: all.iter().flat_map(|told| troubles(told.detail, now, may_command)).collect(),
        money: order_view::money_view(&order, whole.payment().as_ref()),
        lines: order_view::lines(&order, document.as_ref()),
        shipments: order_view::shipments(&order, now),
        known: order_view::known_as(&all),
        timers: detail.timers.iter().map(|(name, due)| (words::sentence(name), words::clock(*due, now))).collect(),
        policy: row.policy.chars().take(12).collect(),
        version: detail.view.version,
        may_reveal: actor.may(Action::Reveal),
        may_command,
        document: row.document.map_or(String::new(), |hash| hash.to_string()),
        api: format!("/process/v1/processes/{}", words::encode(&detail.view.key.to_string())),
        reference: reference.clone(),
        address,
        shell,
    };
    shell::render(&page)
}

/// The canonical order. The page takes line names and totals from it and nothing of the person.
async fn document(app: &App, detail: &ProcessDetail) -> Result<Option<Order>, Problem> {
    let Some(hash) = detail.view.row.document else { return Ok(None) };
    let Some(bytes) = app.store.payload(&detail.view.key, &hash).await? else { return Ok(None) };
    let value = crossdock_value::parse(&bytes, &crossdock_value::Limits::default()).ok();
    Ok(value.and_then(|value| crossdock_value::from_value(&value).ok()))
}

fn who(document: Option<&Order>) -> String {
    match document {
        Some(order) if order.customer.guest => "Guest, hidden".into(),
        Some(_) => "Customer, hidden".into(),
        None => "Customer not readable".into(),
    }
}

fn troubles(detail: &ProcessDetail, now: crossdock_canonical::Timestamp, may: bool) -> Vec<Trouble> {
    let key = detail.view.key.to_string();
    let troubles = detail.exceptions.iter().map(|(_, row)| {
        let mut acts = if may { acts(&key, &row.class, &row.step, &row.intent) } else { Vec::new() };
        if &*detail.view.key.kind != "order" {
            acts.retain(|act| act.word != "Cancel");
        }
        Trouble {
            status: Status::new(Tone::of_exception(&row.class), words::sentence(&row.class)),
            cause: row.cause.to_string(),
            suggestion: row.suggestion.to_string(),
            since: words::clock(row.since, now),
            acts,
        }
    });
    troubles.collect()
}

fn commands(detail: &ProcessDetail) -> Vec<Command> {
    let process = words::encode(&detail.view.key.to_string());
    let command = |name: &'static str, word: &str, text: &'static str, risk: bool| Command {
        name,
        link: format!("/processes/{process}/commands/{word}"),
        text,
        risk,
    };
    let cancel = command(
        "Cancel what has not shipped",
        "cancel",
        "Withdraws what is open from the warehouse, then from the ERP, frees stock and the rest of the authorization, and tells the storefront. What has left stays as it is.",
        true,
    );
    match &*detail.view.row.summary.status {
        "open" => vec![
            command(
                "Hold",
                "hold",
                "Starts nothing new until released. What a system has already been asked for goes on, and deadlines keep counting.",
                false,
            ),
            cancel,
        ],
        "held" => vec![command("Release", "release", "Ends the hold; the order goes on where it stopped.", false), cancel],
        _ => Vec::new(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reveal {
    payload: String,
    /// `order` or `payment`.
    kind: String,
    #[serde(rename = "_csrf", default)]
    _form_token: String,
}

#[derive(Template)]
#[template(path = "reveal.html")]
struct RevealPage {
    shell: Shell,
    number: String,
    back: String,
    hash: String,
    bytes: String,
    text: String,
    cut: bool,
}

/// Shows one payload whole. Recorded before it is read.
pub async fn reveal(
    State(app): State<App>,
    actor: Actor,
    headers: HeaderMap,
    Path((channel, site, number)): Path<(String, String, String)>,
    Form(form): Form<Reveal>,
) -> Result<Response, Problem> {
    let reference = experience::reference(&channel, &site, &number)?;
    let whole = Whole::load(&app, &actor, &reference).await?;
    let hash = PayloadHash::parse(&form.payload).ok_or_else(|| Problem::of(Code::PayloadGone))?;
    let all = whole.all();
    let told =
        all.iter().find(|told| *told.detail.view.key.kind == *form.kind).filter(|told| order_view::names_payload(told, &hash));
    let key = told.map(|told| told.detail.view.key.clone()).ok_or_else(|| Problem::of(Code::PayloadGone))?;
    let subject = format!("{key} payload {hash}");
    app.read.record_audit(app.hub.now(), &actor.name, "revealed", &subject).await?;
    let bytes = app.store.payload(&key, &hash).await?.ok_or_else(|| Problem::of(Code::PayloadGone))?;
    let shell = Shell::new(&app, &actor, theme_of(&headers), Here::Orders, format!("Payload of {}", reference.number)).await?;
    let page = RevealPage {
        number: reference.number.to_string(),
        back: words::order_path(&channel, &site, &number),
        hash: hash.to_string(),
        bytes: words::count(bytes.len() as u64),
        cut: bytes.len() > SHOWN_MAX,
        text: readable(&bytes[..bytes.len().min(SHOWN_MAX)]),
        shell,
    };
    Ok(shell::html(shell::render(&page)?))
}

/// JSON with line breaks, anything else as it is; always text, never markup.
fn readable(bytes: &[u8]) -> String {
    match crossdock_value::parse(bytes, &crossdock_value::Limits::default()) {
        Ok(value) => String::from_utf8_lossy(&crossdock_value::to_json_pretty(&value)).into_owned(),
        Err(_) => String::from_utf8_lossy(bytes).into_owned(),
    }
}
