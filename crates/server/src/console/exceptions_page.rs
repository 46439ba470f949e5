//! Exceptions: what waits for a person, grouped by cause; one group opened with its items and what can be done.

use super::{
    draw::{Amount, Status},
    shell::{self, Here, Shell, Theme, theme_of},
    words::{self, Tone},
};
use crate::{
    app::App,
    auth::roles::{Action, Actor},
    input::Query,
    problem::Problem,
};
use askama::Template;
use axum::{extract::State, http::HeaderMap, response::Response};
use crossdock_canonical::{Money, Timestamp};
use crossdock_store::{ExceptionQuery, ExceptionView};
use serde::Deserialize;

/// So many are read to be grouped; more than that is one cause many times over.
const READ_MAX: usize = 1_000;
/// So many of a group are listed.
const LISTED_MAX: usize = 100;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wish {
    class: Option<String>,
    system: Option<String>,
    step: Option<String>,
    said: Option<String>,
}

/// Exceptions with one class, system and step: usually one cause.
pub struct Group {
    pub status: Status,
    pub class: String,
    pub what: String,
    pub system: String,
    pub step: String,
    pub sub: String,
    pub n: String,
    pub orders: String,
    pub at_stake: Vec<Amount>,
    pub first: String,
    pub last: String,
    pub first_at: Timestamp,
    pub suggestion: String,
    pub link: String,
    pub opened: bool,
}

pub fn groups(views: &[ExceptionView], now: Timestamp) -> Vec<Group> {
    let mut kinds: Vec<(&str, &str, &str)> = Vec::new();
    for view in views {
        let kind = (&*view.row.class, &*view.row.system, &*view.row.step);
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let mut groups: Vec<Group> = kinds.into_iter().filter_map(|kind| group(kind, views, now)).collect();
    groups.sort_by_key(|group| group.first_at);
    groups
}

fn group((class, system, step): (&str, &str, &str), views: &[ExceptionView], now: Timestamp) -> Option<Group> {
    let of_kind = |view: &&ExceptionView| &*view.row.class == class && &*view.row.system == system && &*view.row.step == step;
    let members: Vec<&ExceptionView> = views.iter().filter(of_kind).collect();
    let first = members.iter().map(|view| view.row.since).min()?;
    let last = members.iter().map(|view| view.row.since).max()?;
    let sub =
        [system, &step.replace('-', " "), class].iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(", ");
    let n = members.len() as u64;
    Some(Group {
        status: Status::new(Tone::of_exception(class), tone_word(class)),
        class: class.into(),
        what: match members.as_slice() {
            [only] => only.row.cause.to_string(),
            _ if system.is_empty() => words::sentence(class),
            _ => format!("{system}: {}", words::sentence(class).to_lowercase()),
        },
        system: system.into(),
        step: step.into(),
        sub,
        n: words::count(n),
        orders: words::plural(n, "order", "orders"),
        at_stake: at_stake(&members),
        first: words::clock(first, now),
        last: words::clock(last, now),
        first_at: first,
        suggestion: members[0].row.suggestion.to_string(),
        link: format!(
            "/exceptions?class={}&system={}&step={}#opened",
            words::encode(class),
            words::encode(system),
            words::encode(step)
        ),
        opened: false,
    })
}

fn tone_word(class: &str) -> &'static str {
    match Tone::of_exception(class) {
        Tone::Attention if class == "silent" => "Silent",
        Tone::Attention => "Review",
        Tone::Unknown => "Unknown",
        _ => "Parked",
    }
}

/// The totals of the orders concerned, a sum a currency. Each order counts once.
fn at_stake(members: &[&ExceptionView]) -> Vec<Amount> {
    let mut sums: Vec<Money> = Vec::new();
    let mut seen = Vec::new();
    for view in members {
        let summary = &view.process.row.summary;
        if seen.contains(&view.process.no) {
            continue;
        }
        seen.push(view.process.no);
        let (Ok(amount), Ok(currency)) = (summary.total.parse(), summary.currency.parse()) else { continue };
        let money = Money::new(amount, currency);
        match sums.iter_mut().find(|sum| sum.currency == currency) {
            Some(sum) => *sum = sum.plus(money).unwrap_or(*sum),
            None => sums.push(money),
        }
    }
    sums.iter().map(|sum| Amount { currency: sum.currency.to_string(), amount: sum.amount.to_string() }).collect()
}

pub struct Item {
    pub status: Status,
    pub number: String,
    pub link: String,
    pub cause: String,
    pub since: String,
    pub age: String,
    pub total: Amount,
    pub acts: Vec<Act>,
}

/// A link to the page that says what a command would do.
pub struct Act {
    pub word: &'static str,
    pub link: String,
}

/// What can be done about one exception. The engine and the flow decide whether they take it.
pub fn acts(process: &str, class: &str, step: &str, intent: &str) -> Vec<Act> {
    let process = words::encode(process);
    let link = |command: &str| {
        format!("/processes/{process}/commands/{command}?step={}&intent={}", words::encode(step), words::encode(intent))
    };
    let mut acts = Vec::new();
    if class == "fraud_review" {
        acts.push(Act { word: "Decide", link: link("decide_fraud") });
    }
    if matches!(class, "tax_difference" | "erp_difference" | "order_changed") {
        acts.push(Act { word: "Release", link: link("release") });
    }
    if matches!(class, "bad_address" | "bad_totals") {
        acts.push(Act { word: "Amend", link: link("amend") });
    }
    if !step.is_empty() && class != "fraud_review" {
        acts.push(Act { word: "Retry", link: link("retry") });
        acts.push(Act { word: "Skip", link: link("skip") });
    }
    acts.push(Act { word: "Cancel", link: link("cancel") });
    acts
}

fn item(view: &ExceptionView, now: Timestamp, may: bool) -> Item {
    let (key, row) = (&view.process.key, &view.row);
    Item {
        status: Status::new(Tone::of_exception(&row.class), tone_word(&row.class)),
        number: view.process.row.summary.number.to_string(),
        link: words::process_path(&key.key),
        cause: row.cause.to_string(),
        since: words::clock(row.since, now),
        age: words::lasting(now - row.since),
        total: Amount {
            currency: view.process.row.summary.currency.to_string(),
            amount: view.process.row.summary.total.to_string(),
        },
        acts: if may { acts_of(view) } else { Vec::new() },
    }
}

fn acts_of(view: &ExceptionView) -> Vec<Act> {
    let key = view.process.key.to_string();
    let mut acts = acts(&key, &view.row.class, &view.row.step, &view.row.intent);
    // A payment process is cancelled through its order.
    if &*view.process.key.kind != "order" {
        acts.retain(|act| act.word != "Cancel");
    }
    acts
}

#[derive(Template)]
#[template(path = "exceptions.html")]
struct Page {
    shell: Shell,
    address: String,
    headline: String,
    lede: String,
    said: String,
    groups: Vec<Group>,
    opened: Option<Opened>,
}

struct Opened {
    title: String,
    class: String,
    suggestion: String,
    items: Vec<Item>,
    left_out: String,
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
    let address = address(wish);
    let shell = Shell::new(app, actor, theme, Here::Exceptions, "Exceptions").await?.live(&address);
    let query = ExceptionQuery { class: None, system: None, sites: actor.sites.filter(), limit: READ_MAX };
    let views = app.read.exceptions(query).await?;
    let now = shell.now;
    let mut groups = groups(&views, now);
    for group in &mut groups {
        group.opened = Some(&group.class) == wish.class.as_ref()
            && group.system == wish.system.clone().unwrap_or_default()
            && group.step == wish.step.clone().unwrap_or_default();
    }
    let opened = groups.iter().find(|group| group.opened).map(|group| {
        let members = views
            .iter()
            .filter(|view| *view.row.class == *group.class && *view.row.system == *group.system && *view.row.step == *group.step);
        let items: Vec<Item> = members.map(|view| item(view, now, actor.may(Action::CommandProcesses))).collect();
        let left_out = items.len().saturating_sub(LISTED_MAX);
        Opened {
            title: group.what.clone(),
            class: group.class.clone(),
            suggestion: group.suggestion.clone(),
            left_out: if left_out > 0 { format!("and {} more", words::count(left_out as u64)) } else { String::new() },
            items: items.into_iter().take(LISTED_MAX).collect(),
        }
    });
    let n = views.len() as u64;
    let headline = match (n, groups.len()) {
        (0, _) => "Nothing needs a person".to_owned(),
        (n, 1) => format!("{} for one reason", waits(n)),
        (n, k) => format!("{} for {k} reasons", waits(n)),
    };
    let lede =
        groups.iter().max_by_key(|group| group.n.len()).filter(|_| groups.len() > 1 && n > 0).map_or(String::new(), |_| {
            "Oldest first. A group is one class, system and step; open it to see its orders and what can be done.".to_owned()
        });
    let said = wish.said.clone().unwrap_or_default();
    shell::render(&Page { shell, address, headline, lede, said: said_words(&said), groups, opened })
}

fn waits(n: u64) -> String {
    if n == 1 { "1 exception waits".into() } else { format!("{} exceptions wait", words::count(n)) }
}

/// What a command that led back here ended with.
pub fn said_words(said: &str) -> String {
    match said {
        "taken" => "The command was taken; what it leads to shows here as it happens.".into(),
        _ => String::new(),
    }
}

fn address(wish: &Wish) -> String {
    let pairs = [("class", &wish.class), ("system", &wish.system), ("step", &wish.step)];
    let query: Vec<String> =
        pairs.iter().filter_map(|(name, value)| Some(format!("{name}={}", words::encode(value.as_ref()?)))).collect();
    if query.is_empty() { "/exceptions".into() } else { format!("/exceptions?{}", query.join("&")) }
}
