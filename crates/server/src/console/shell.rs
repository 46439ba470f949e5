//! What every page has around it: rail, search, clock, theme, the session's form token; and pages for failures.

use super::{assets, words};
use crate::{
    app::App,
    auth::{self, roles::Actor},
    problem::{Code, Problem},
};
use askama::Template;
use axum::{
    http::{HeaderMap, StatusCode},
    response::{Html, IntoResponse, Response},
};
use crossdock_canonical::Timestamp;
use crossdock_store::{Counts, ProcessQuery};

/// Counted one by one only so far, for people who see some sites: beyond it the number ends in a plus.
const COUNTED_MAX: usize = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    System,
    Light,
    Dark,
}

impl Theme {
    /// The attribute on `<html>`; nothing when the system decides.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// What the switch offers.
    pub const fn other(self) -> &'static str {
        match self {
            Self::System | Self::Light => "dark",
            Self::Dark => "light",
        }
    }
}

/// The theme of the cookie.
pub fn theme_of(headers: &HeaderMap) -> Theme {
    match auth::cookie(headers, "theme").as_deref() {
        Some("light") => Theme::Light,
        Some("dark") => Theme::Dark,
        _ => Theme::System,
    }
}

/// Where in the rail a page stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Here {
    Home,
    Orders,
    Exceptions,
    Systems,
    Break,
}

/// A number that may be too large to count one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub n: u64,
    pub and_more: bool,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", words::count(self.n), if self.and_more { "+" } else { "" })
    }
}

/// The frame of a page.
pub struct Shell {
    pub title: String,
    pub here: Here,
    pub theme: Theme,
    pub user: String,
    pub role: &'static str,
    pub form_token: String,
    pub now: Timestamp,
    pub open: Tally,
    pub parked: Tally,
    pub down: usize,
    pub may_break: bool,
    pub landscape: String,
    pub assets: &'static str,
    /// Address of the stream of this page; empty when it does not change.
    pub live: String,
    /// What the search field holds.
    pub q: String,
}

impl Shell {
    pub async fn new(app: &App, actor: &Actor, theme: Theme, here: Here, title: impl Into<String>) -> Result<Self, Problem> {
        let (open, parked) = tallies(app, actor).await?;
        let down = app.hub.systems().iter().filter(|system| !system.trouble.is_empty()).count();
        Ok(Self {
            title: title.into(),
            here,
            theme,
            user: actor.name.split_once(':').map_or(&*actor.name, |(_, name)| name).to_owned(),
            role: actor.role.as_str(),
            form_token: actor.form_token.as_deref().unwrap_or_default().to_owned(),
            now: app.hub.now(),
            open,
            parked,
            down,
            may_break: app.demo.is_some() && actor.may(auth::roles::Action::BreakThings),
            landscape: app.landscape.to_string(),
            assets: assets::version(),
            live: String::new(),
            q: String::new(),
        })
    }

    pub fn live(mut self, address: &str) -> Self {
        self.live = format!("/live?page={}", words::encode(address));
        self
    }

    pub fn clock(&self) -> String {
        words::clock(self.now, self.now)
    }

    pub fn is(&self, here: &str) -> bool {
        format!("{:?}", self.here).eq_ignore_ascii_case(here)
    }
}

/// Open orders, and orders that wait for a person, within the actor's sites.
async fn tallies(app: &App, actor: &Actor) -> Result<(Tally, Tally), Problem> {
    if actor.sites.filter().is_none() {
        let counts = app.read.counts().await?;
        return Ok((Tally { n: open_orders(&counts), and_more: false }, Tally { n: exceptions(&counts), and_more: false }));
    }
    let query = |exceptional: bool| ProcessQuery {
        kind: Some("order".into()),
        status: (!exceptional).then(|| "open".into()),
        sites: actor.sites.filter(),
        exceptional,
        limit: COUNTED_MAX + 1,
        ..ProcessQuery::default()
    };
    let counted = |n: usize| Tally { n: n.min(COUNTED_MAX) as u64, and_more: n > COUNTED_MAX };
    let open = app.read.processes(query(false)).await?.len();
    let parked = app.read.processes(query(true)).await?.len();
    Ok((counted(open), counted(parked)))
}

/// Orders that are open or held.
pub fn open_orders(counts: &Counts) -> u64 {
    let open = counts.processes.iter().filter(|(kind, status, _)| kind == "order" && (status == "open" || status == "held"));
    open.map(|(_, _, n)| n).sum()
}

pub fn exceptions(counts: &Counts) -> u64 {
    counts.exceptions.iter().map(|(_, n, _)| n).sum()
}

/// Renders a page.
pub fn render(template: &impl Template) -> Result<String, Problem> {
    template.render().map_err(Problem::internal)
}

pub fn html(text: String) -> Response {
    Html(text).into_response()
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    theme: Theme,
    assets: &'static str,
    status: u16,
    title: &'a str,
    detail: &'a str,
    advice: &'a str,
    code: &'a str,
    request_id: &'a str,
    sign_in: bool,
}

/// A failure as a page, without rail and counts: it must work when nothing else does.
pub fn problem_page(problem: &Problem, request_id: &str, theme: Theme) -> Response {
    let page = ProblemPage {
        theme,
        assets: assets::version(),
        status: problem.code.status().as_u16(),
        title: problem.code.title(),
        detail: &problem.detail,
        advice: if problem.detail == problem.code.advice() { "" } else { problem.code.advice() },
        code: problem.code.as_str(),
        request_id,
        sign_in: matches!(
            problem.code,
            Code::Unauthenticated | Code::SignInFailed | Code::TooManyAttempts | Code::ForgeryRefused
        ),
    };
    match page.render() {
        Ok(text) => (problem.code.status(), Html(text)).into_response(),
        Err(error) => {
            tracing::error!(%error, "problem page");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
