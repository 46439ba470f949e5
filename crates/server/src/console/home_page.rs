//! Home: one sentence that is true now, its evidence in numbers, the flow, what needs a person, what went quiet.

use super::{
    draw::{Amount, Door, Edges, Mark},
    exceptions_page::{self, Group},
    shell::{self, Here, Shell, Theme, theme_of},
    systems_page::{self, Row, judge},
    words::{self, Tone},
};
use crate::{app::App, auth::roles::Actor, problem::Problem};
use askama::Template;
use axum::{extract::State, http::HeaderMap, response::Response};
use crossdock_canonical::Timestamp;
use crossdock_engine::face::SystemView;
use crossdock_store::{Counts, ExceptionQuery, ExceptionView};

pub struct Number {
    pub name: &'static str,
    pub value: String,
    pub note: String,
    pub bad: bool,
}

struct Todo {
    mark: Mark,
    what: String,
    link: String,
    orders: String,
    why: String,
    at_stake: Vec<Amount>,
}

struct Quiet {
    system: String,
    what: String,
    lasting: String,
    n: String,
    so: String,
}

struct Stage {
    name: String,
    link: String,
    n: String,
    class: &'static str,
    x: u64,
    width: u64,
}

#[derive(Template)]
#[template(path = "home.html")]
struct Page {
    shell: Shell,
    mark: Mark,
    headline: String,
    lede: String,
    link: Option<(String, String)>,
    numbers: Vec<Number>,
    channels: Vec<Row>,
    systems: Vec<Row>,
    edges: Edges,
    todo: Vec<Todo>,
    causes: usize,
    quiet: Vec<Quiet>,
    stages: Vec<Stage>,
    all: Vec<Row>,
}

pub async fn show(State(app): State<App>, actor: Actor, headers: HeaderMap) -> Result<Response, Problem> {
    render(&app, &actor, theme_of(&headers)).await.map(shell::html)
}

pub async fn render(app: &App, actor: &Actor, theme: Theme) -> Result<String, Problem> {
    let shell = Shell::new(app, actor, theme, Here::Home, "Home").await?.live("/");
    let now = shell.now;
    let views = app.hub.systems();
    // Whole-hub counts would tell a person of some sites about the others.
    let counts = match actor.sites.filter() {
        None => Some(app.read.counts().await?),
        Some(_) => None,
    };
    let query = ExceptionQuery { class: None, system: None, sites: actor.sites.filter(), limit: 500 };
    let exceptions = app.read.exceptions(query).await?;
    let groups = exceptions_page::groups(&exceptions, now);
    let inbox = app.read.inbox_depth().await?;

    let (tone, headline, lede, link) = headline(&views, &groups, &shell, counts.as_ref());
    let all = systems_page::rows(&views, now);
    let (channels, systems): (Vec<Row>, Vec<Row>) = systems_page::rows(&views, now).into_iter().partition(|row| row.is_channel);
    let edges = edges(&views, &channels, &systems, &shell);
    let numbers = numbers(&shell, counts.as_ref(), &views, &groups, inbox);
    let (todo, causes) = (groups.iter().take(7).map(todo).collect(), groups.len());
    let page = Page {
        mark: Mark(tone),
        headline,
        lede,
        link,
        numbers,
        channels,
        systems,
        edges,
        todo,
        causes,
        quiet: quiet(&exceptions, now),
        stages: counts.as_ref().map_or_else(Vec::new, stages),
        all,
        shell,
    };
    shell::render(&page)
}

type Headline = (Tone, String, String, Option<(String, String)>);

/// What is true now, worst first: what, since when, how many, and what is not affected.
fn headline(systems: &[SystemView], groups: &[Group], shell: &Shell, counts: Option<&Counts>) -> Headline {
    let now = shell.now;
    let down: Vec<&SystemView> = systems.iter().filter(|system| judge(system).0 == Tone::Failed).collect();
    if let Some(worst) = down.iter().max_by_key(|system| system.waiting) {
        let since = worst.trouble_since.map_or(String::new(), |since| format!(" for {}", words::lasting(now - since)));
        let others = match down.len() - 1 {
            0 => String::new(),
            1 => " One other system is down.".into(),
            n => format!(" {n} other systems are down."),
        };
        let waiting = words::plural(worst.waiting, "call waits", "calls wait");
        let intake = match systems
            .iter()
            .any(|system| system.name == worst.name && system.roles.iter().any(|role| role == "storefront"))
        {
            true => "Its orders come in when it answers again.",
            false => "Orders are still accepted.",
        };
        let headline = format!("{} has been down{since}. {waiting} for it.{others}", worst.name);
        let lede =
            format!("{intake} What waits is on disk and goes out by priority when it answers. {}", sentence(&worst.trouble));
        return (Tone::Failed, headline, lede, Some(("/systems".into(), "See the systems".into())));
    }
    let n = shell.parked.n;
    if n > 0 {
        let reasons = if groups.len() == 1 { "one reason".to_owned() } else { format!("{} reasons", groups.len()) };
        let verb = if n == 1 { "exception waits" } else { "exceptions wait" };
        let oldest = groups
            .iter()
            .map(|group| group.first_at)
            .min()
            .map_or(String::new(), |at| format!(" The oldest since {}.", words::clock(at, now)));
        let answer = format!("All {} systems answer; every other order goes on.{oldest}", systems.len());
        return (
            Tone::Attention,
            format!("{} {verb} for a person, for {reasons}.", shell.parked),
            answer,
            Some(("/exceptions".into(), "See them".into())),
        );
    }
    let slow: Vec<&str> =
        systems.iter().filter(|system| judge(system).0 == Tone::Attention).map(|system| system.name.as_str()).collect();
    if !slow.is_empty() {
        let headline =
            format!("{} {} trouble. Nothing needs a person.", slow.join(", "), if slow.len() == 1 { "is in" } else { "are in" });
        return (Tone::Attention, headline, "The hub repeats what was not applied, with the same keys.".into(), None);
    }
    let nothing_yet = counts.is_some_and(|counts| counts.processes.is_empty());
    match (systems.len(), nothing_yet) {
        (0, _) => (
            Tone::Waiting,
            "No system is configured yet.".into(),
            "Add one to the landscape and start the hub with it.".into(),
            None,
        ),
        (n, true) => {
            let text = "The first order shows here a moment after it is placed.".to_owned();
            (Tone::Ok, format!("No order has come yet. {}", answers(n)), text, None)
        }
        (n, false) => {
            let open = format!("{} are open.", words::plural(shell.open.n, "order", "orders"));
            (Tone::Ok, format!("{} Nothing needs a person.", answers(n)), open, None)
        }
    }
}

fn answers(n: usize) -> String {
    if n == 1 { "The one system answers.".into() } else { format!("All {n} systems answer.") }
}

fn sentence(text: &str) -> String {
    let text = text.trim().trim_end_matches('.');
    if text.is_empty() { String::new() } else { format!("{}.", words::sentence_case(text)) }
}

fn numbers(shell: &Shell, counts: Option<&Counts>, systems: &[SystemView], groups: &[Group], inbox: u64) -> Vec<Number> {
    let of = |statuses: &[&str]| {
        let counts = counts.map(|counts| counts.processes.as_slice()).unwrap_or_default();
        let of_status = counts
            .iter()
            .filter(|(kind, status, _)| kind == "order" && (statuses.is_empty() || statuses.contains(&status.as_str())));
        of_status.map(|(_, _, n)| n).sum::<u64>()
    };
    let waiting: u64 = systems.iter().map(|system| system.waiting).sum();
    let worst = systems.iter().max_by_key(|system| system.waiting).filter(|system| system.waiting > 0);
    let mut numbers = vec![
        Number { name: "Open orders", value: shell.open.to_string(), note: "on their way".into(), bad: false },
        Number {
            name: "Waiting for a person",
            value: shell.parked.to_string(),
            note: if groups.is_empty() { "nothing parked".into() } else { words::plural(groups.len() as u64, "cause", "causes") },
            bad: shell.parked.n > 0,
        },
        Number {
            name: "Calls waiting",
            value: words::count(waiting),
            note: worst
                .map_or_else(|| "no backlog".into(), |system| format!("{} for {}", words::count(system.waiting), system.name)),
            bad: false,
        },
    ];
    if counts.is_some() {
        numbers
            .insert(0, Number { name: "Orders accepted", value: words::count(of(&[])), note: "in the store".into(), bad: false });
        let cancelled = of(&["cancelled"]);
        numbers.push(Number {
            name: "Closed",
            value: words::count(of(&["closed"])),
            note: "every line settled".into(),
            bad: false,
        });
        numbers.push(Number { name: "Cancelled", value: words::count(cancelled), note: "undone everywhere".into(), bad: false });
        numbers.push(Number { name: "Not yet read", value: words::count(inbox), note: "accepted, on disk".into(), bad: false });
    }
    numbers
}

fn edges(views: &[SystemView], channels: &[Row], systems: &[Row], shell: &Shell) -> Edges {
    let door = |row: &Row| {
        let view = views.iter().find(|view| view.name == row.name);
        Door {
            calls_per_minute: view.map_or(0, |view| view.calls_last_minute),
            waiting: view.map_or(0, |view| view.waiting),
            tone: row.tone,
        }
    };
    let channels: Vec<Door> = channels.iter().map(door).collect();
    Edges {
        orders_per_minute: channels.iter().map(|door| door.calls_per_minute).sum(),
        systems: systems.iter().map(door).collect(),
        channels,
        open: shell.open.to_string(),
    }
}

fn todo(group: &Group) -> Todo {
    Todo {
        mark: Mark(group.status.tone),
        what: group.what.clone(),
        link: group.link.clone(),
        orders: group.orders.clone(),
        why: group.suggestion.clone(),
        at_stake: group.at_stake.clone(),
    }
}

/// Nothing failed, something expected did not come: the exceptions of silence, by system and step.
fn quiet(exceptions: &[ExceptionView], now: Timestamp) -> Vec<Quiet> {
    let silent: Vec<&ExceptionView> = exceptions.iter().filter(|view| matches!(&*view.row.class, "silent" | "overdue")).collect();
    let mut hops: Vec<(&str, &str)> = Vec::new();
    for view in &silent {
        let hop = (&*view.row.system, &*view.row.step);
        if !hops.contains(&hop) {
            hops.push(hop);
        }
    }
    let quiet = hops.into_iter().filter_map(|(system, step)| {
        let of_hop: Vec<_> = silent.iter().filter(|view| (&*view.row.system, &*view.row.step) == (system, step)).collect();
        let since = of_hop.iter().map(|view| view.row.since).min()?;
        Some(Quiet {
            system: if system.is_empty() { "a warehouse".into() } else { system.into() },
            what: step.replace('-', " "),
            lasting: words::lasting(now - since),
            n: words::plural(of_hop.len() as u64, "order", "orders"),
            so: of_hop.first()?.row.suggestion.to_string(),
        })
    });
    quiet.take(8).collect()
}

/// Open orders by stage, as a bar of 560 and a legend.
fn stages(counts: &Counts) -> Vec<Stage> {
    let total: u64 = counts.stages.iter().map(|(_, n)| n).sum();
    let mut x = 0;
    let order = |stage: &str| super::order_view::STAGES.iter().position(|known| *known == stage).unwrap_or(usize::MAX);
    let mut sorted: Vec<&(String, u64)> = counts.stages.iter().filter(|(_, n)| *n > 0).collect();
    sorted.sort_by_key(|(stage, _)| order(stage));
    let bars = sorted.into_iter().map(|(stage, n)| {
        let width = n * 560 / total.max(1);
        let bar = Stage {
            name: words::sentence(stage),
            link: format!("/orders?stage={}", words::encode(stage)),
            n: words::count(*n),
            class: match stage.as_str() {
                "accepted" | "taken" | "checked" => "s1",
                "screened" | "taxed" | "authorized" => "s2",
                "reserved" | "booked" => "s3",
                "released" => "s4",
                "cancelling" | "unreadable" => "f",
                _ => "s5",
            },
            x,
            width,
        };
        x += width;
        bar
    });
    bars.collect()
}
