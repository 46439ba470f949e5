//! Process API: find processes, read one whole, command it.
//!
//! A process id in a path is `kind:channel/site/number`, percent-encoded: `order:sfcc%2FDE%2F00001`. It is the business key
//! itself, so whoever knows the order can write the address.

use super::{
    experience, find, process_key,
    wire::{Command, CommandTaken, Effects, Exception, Exceptions, Process, ProcessWhole, Processes, Transitions},
};
use crate::{
    app::App,
    auth::roles::{Action, Actor},
    input::{IdempotencyKey, Json, Path, Query},
    problem::{Code, Problem},
    route::{Access, COMMAND, Doc, NO_BODY, Route, api},
};
use axum::{extract::State, http::Method, response::Response};
use crossdock_engine::face::CommandRequest;
use crossdock_store::{ExceptionQuery, ProcessQuery};
use crossdock_value::Value;
use serde::Deserialize;

const PAGE: usize = 50;
const PAGE_MAX: usize = 200;

pub fn routes() -> Vec<Route> {
    let read = Access::To(Action::ReadProcesses);
    let absent: &[Code] = &[Code::ProcessNotFound];
    vec![
        api(
            Method::GET,
            "/process/v1/processes",
            read,
            NO_BODY,
            Doc::new("findProcesses", "Processes, newest first, within the caller's sites.")
                .query(&[
                    ("kind", "`order`, `payment` ..."),
                    ("q", "Prefix of an order number, or an id another system gave."),
                    ("status", "`open`, `held`, `closed`, `cancelled`, `failed`."),
                    ("stage", "A word of the flow."),
                    ("market", "A market."),
                    ("exceptional", "`true`: only with an open exception."),
                    ("before", "`next` of the page before."),
                    ("limit", "1 to 200; 50 when left out."),
                ])
                .answers::<Processes>(200, "A page")
                .fails(&[Code::InvalidParameter]),
            search,
        ),
        api(
            Method::GET,
            "/process/v1/processes/{id}",
            read,
            NO_BODY,
            Doc::new("getProcess", "One process: its state, timers, exceptions and identities.")
                .answers::<ProcessWhole>(200, "The process")
                .fails(absent),
            whole,
        ),
        api(
            Method::GET,
            "/process/v1/processes/{id}/events",
            read,
            NO_BODY,
            Doc::new("getProcessEvents", "The journal of one process, oldest first.")
                .answers::<Transitions>(200, "The journal")
                .fails(absent),
            events,
        ),
        api(
            Method::GET,
            "/process/v1/processes/{id}/effects",
            read,
            NO_BODY,
            Doc::new("getProcessEffects", "Every call of one process to a system.")
                .answers::<Effects>(200, "The effects")
                .fails(absent),
            effects,
        ),
        api(
            Method::POST,
            "/process/v1/processes/{id}/commands",
            Access::To(Action::CommandProcesses),
            COMMAND,
            Doc::new("commandProcess", "Gives a command. It is answered when it is folded, not when its effects are done.")
                .idempotent()
                .takes::<Command>()
                .answers::<CommandTaken>(202, "Taken")
                .fails(&[
                    Code::IdempotencyKeyMissing,
                    Code::InvalidRequest,
                    Code::ProcessNotFound,
                    Code::VersionConflict,
                    Code::CommandRefused,
                ]),
            command,
        ),
        api(
            Method::GET,
            "/process/v1/exceptions",
            read,
            NO_BODY,
            Doc::new("findExceptions", "What waits for a person, oldest first.")
                .query(&[("class", "A class of exceptions."), ("system", "A system."), ("limit", "1 to 200; 50 when left out.")])
                .answers::<Exceptions>(200, "The exceptions")
                .fails(&[Code::InvalidParameter]),
            exceptions,
        ),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Search {
    kind: Option<String>,
    q: Option<String>,
    status: Option<String>,
    stage: Option<String>,
    market: Option<String>,
    #[serde(default)]
    exceptional: bool,
    before: Option<u64>,
    limit: Option<usize>,
}

async fn search(State(app): State<App>, actor: Actor, Query(search): Query<Search>) -> Result<axum::Json<Processes>, Problem> {
    let limit = limit(search.limit)?;
    let query = ProcessQuery {
        kind: search.kind.map(Into::into),
        text: search.q.filter(|text| !text.is_empty()),
        status: search.status,
        stage: search.stage,
        market: search.market,
        sites: actor.sites.filter(),
        exceptional: search.exceptional,
        // A store counts in 63 bits.
        before: search.before.map(|before| before.min(i64::MAX.unsigned_abs())),
        limit: limit + 1,
    };
    let mut views = app.read.processes(query).await?;
    let more = views.len() > limit;
    views.truncate(limit);
    let next = views.last().filter(|_| more).map(|view| view.no);
    Ok(axum::Json(Processes { items: views.iter().map(Process::from).collect(), next }))
}

async fn whole(State(app): State<App>, actor: Actor, Path(id): Path<String>) -> Result<axum::Json<ProcessWhole>, Problem> {
    let detail = find(&*app.read, &actor, &process_key(&id)?).await?;
    Ok(axum::Json((&detail).into()))
}

async fn events(State(app): State<App>, actor: Actor, Path(id): Path<String>) -> Result<axum::Json<Transitions>, Problem> {
    let key = process_key(&id)?;
    find(&*app.read, &actor, &key).await?;
    let rows = app.read.journal(&key).await?;
    Ok(axum::Json(Transitions { items: rows.iter().map(Into::into).collect() }))
}

async fn effects(State(app): State<App>, actor: Actor, Path(id): Path<String>) -> Result<axum::Json<Effects>, Problem> {
    let detail = find(&*app.read, &actor, &process_key(&id)?).await?;
    Ok(axum::Json(Effects { items: detail.effects.iter().map(Into::into).collect() }))
}

async fn command(
    State(app): State<App>,
    actor: Actor,
    Path(id): Path<String>,
    IdempotencyKey(key): IdempotencyKey,
    Json(command): Json<Command>,
) -> Result<Response, Problem> {
    let process = process_key(&id)?;
    find(&*app.read, &actor, &process).await?;
    let named = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    if !(1..=64).contains(&command.command.len()) || !command.command.bytes().all(named) {
        return Err(Problem::new(Code::InvalidRequest, "A command is a word such as `hold`; see docs/api.md.").at("command"));
    }
    let body = command.body.unwrap_or_else(|| crossdock_value::value!({}));
    if !matches!(body, Value::Obj(_)) {
        return Err(Problem::new(Code::InvalidRequest, "The arguments of a command are an object.").at("body"));
    }
    let request = CommandRequest {
        process: process.clone(),
        name: command.command.as_str().into(),
        body,
        idempotency_key: key,
        seen_version: command.seen_version,
        actor: actor.name,
    };
    experience::answer(app.hub.command(request).await?, &process, &command.command)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExceptionSearch {
    class: Option<String>,
    system: Option<String>,
    limit: Option<usize>,
}

async fn exceptions(
    State(app): State<App>,
    actor: Actor,
    Query(search): Query<ExceptionSearch>,
) -> Result<axum::Json<Exceptions>, Problem> {
    let query =
        ExceptionQuery { class: search.class, system: search.system, sites: actor.sites.filter(), limit: limit(search.limit)? };
    let views = app.read.exceptions(query).await?;
    Ok(axum::Json(Exceptions { items: views.iter().map(Exception::from).collect() }))
}

fn limit(asked: Option<usize>) -> Result<usize, Problem> {
    match asked.unwrap_or(PAGE) {
        limit @ 1..=PAGE_MAX => Ok(limit),
        _ => Err(Problem::new(Code::InvalidParameter, format!("`limit` is 1 to {PAGE_MAX}.")).at("limit")),
    }
}
