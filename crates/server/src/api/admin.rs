//! Admin API: the audit, erasure of a person, and the people and keys that may come in.

use super::wire::{Audit, AuditChecked, BrokenRow};
use crate::{
    app::App,
    auth::roles::{Action, Actor, Role, Sites},
    input::{Json, Path, Query},
    problem::{Code, Problem},
    route::{Access, COMMAND, Doc, NO_BODY, Route, api},
};
use axum::{
    extract::State,
    http::{Method, StatusCode},
};
use crossdock_store::AuditVerdict;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

pub fn routes() -> Vec<Route> {
    let audit = Access::To(Action::ReadAudit);
    let manage = Access::To(Action::ManagePrincipals);
    vec![
        api(
            Method::GET,
            "/admin/v1/audit",
            audit,
            NO_BODY,
            Doc::new("getAudit", "Audit rows, newest first.")
                .query(&[("limit", "1 to 1000; 100 when left out.")])
                .answers::<Audit>(200, "The rows")
                .fails(&[Code::InvalidParameter]),
            rows,
        ),
        api(
            Method::GET,
            "/admin/v1/audit/verify",
            audit,
            NO_BODY,
            Doc::new("verifyAudit", "Walks the hash chain from the first row to the last.")
                .answers::<AuditChecked>(200, "The verdict"),
            verify,
        ),
        api(
            Method::POST,
            "/admin/v1/erasures",
            Access::To(Action::EraseSubjects),
            COMMAND,
            Doc::new("eraseSubject", "Destroys a person's key: what was sealed under it is unreadable everywhere, for ever.")
                .takes::<Erasure>()
                .answers::<Erased>(200, "Erased")
                .fails(&[Code::InvalidRequest, Code::SubjectNotFound]),
            erase,
        ),
        api(
            Method::GET,
            "/admin/v1/keys",
            manage,
            NO_BODY,
            Doc::new("getKeys", "The API keys, without their secrets.").answers::<Keys>(200, "The keys"),
            keys,
        ),
        api(
            Method::POST,
            "/admin/v1/keys",
            manage,
            COMMAND,
            Doc::new("addKey", "Makes an API key. Its text is in this answer and nowhere else.")
                .takes::<NewKey>()
                .answers::<MadeKey>(201, "Made")
                .fails(&[Code::InvalidRequest]),
            add_key,
        ),
        api(
            Method::DELETE,
            "/admin/v1/keys/{name}",
            manage,
            NO_BODY,
            Doc::new("revokeKey", "Revokes an API key at once.").answers_text(204, "Revoked", "").fails(&[Code::NotFound]),
            revoke_key,
        ),
        api(
            Method::POST,
            "/admin/v1/people",
            manage,
            COMMAND,
            Doc::new("addPerson", "Adds or replaces someone who signs in to the console. Their sessions end.")
                .takes::<NewPerson>()
                .answers_text(204, "Added", "")
                .fails(&[Code::InvalidRequest]),
            add_person,
        ),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    limit: Option<usize>,
}

async fn rows(State(app): State<App>, Query(query): Query<Limit>) -> Result<axum::Json<Audit>, Problem> {
    let limit = match query.limit.unwrap_or(100) {
        limit @ 1..=1_000 => limit,
        _ => return Err(Problem::new(Code::InvalidParameter, "`limit` is 1 to 1000.").at("limit")),
    };
    let rows = app.read.audit(limit).await?;
    Ok(axum::Json(Audit { items: rows.iter().map(Into::into).collect() }))
}

async fn verify(State(app): State<App>) -> Result<axum::Json<AuditChecked>, Problem> {
    Ok(axum::Json(match app.read.verify_audit().await? {
        AuditVerdict::Intact { rows, head } => AuditChecked { intact: true, rows: Some(rows), head: Some(head), broken: None },
        AuditVerdict::Broken { partition, offset, reason } => {
            AuditChecked { intact: false, rows: None, head: None, broken: Some(BrokenRow { partition, offset, reason }) }
        }
    }))
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Erasure {
    /// `customer:channel/number` or `guest:channel/site/order`.
    subject: String,
}

#[derive(Serialize, JsonSchema)]
struct Erased {
    subject: String,
}

async fn erase(State(app): State<App>, actor: Actor, Json(request): Json<Erasure>) -> Result<axum::Json<Erased>, Problem> {
    let known = request.subject.starts_with("customer:") || request.subject.starts_with("guest:");
    if !known || request.subject.len() > 512 {
        return Err(Problem::new(Code::InvalidRequest, "A subject begins with `customer:` or `guest:`.").at("subject"));
    }
    match app.read.erase_subject(app.hub.now(), &actor.name, &request.subject).await? {
        true => Ok(axum::Json(Erased { subject: request.subject })),
        false => Err(Problem::of(Code::SubjectNotFound)),
    }
}

#[derive(Serialize, JsonSchema)]
struct Keys {
    items: Vec<KnownKey>,
}

#[derive(Serialize, JsonSchema)]
struct KnownKey {
    name: String,
    role: String,
    /// `channel/site`; absent: all.
    sites: Option<Vec<String>>,
    /// The text begins with `cdk_{id}_`.
    id: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewKey {
    name: String,
    /// `viewer`, `operator`, `approver`, `admin`, `machine`.
    role: String,
    /// `channel/site`; left out: all.
    #[serde(default)]
    sites: Option<Vec<String>>,
}

#[derive(Serialize, JsonSchema)]
struct MadeKey {
    name: String,
    /// Shown once.
    key: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewPerson {
    name: String,
    /// `viewer`, `operator`, `approver`, `admin`.
    role: String,
    #[serde(default)]
    sites: Option<Vec<String>>,
    /// 12 to 256 characters.
    password: String,
}

async fn keys(State(app): State<App>) -> axum::Json<Keys> {
    let known = app.auth.keys().into_iter().map(|key| KnownKey {
        sites: key.sites.filter(),
        name: key.name,
        role: key.role.as_str().into(),
        id: key.id,
    });
    axum::Json(Keys { items: known.collect() })
}

async fn add_key(
    State(app): State<App>,
    actor: Actor,
    Json(request): Json<NewKey>,
) -> Result<(StatusCode, axum::Json<MadeKey>), Problem> {
    let (role, sites) = (role(&request.role)?, sites(request.sites)?);
    record(&app, &actor, "key added", &request.name).await?;
    let key = app.auth.add_key(&*app.store, &request.name, role, sites).await?;
    Ok((StatusCode::CREATED, axum::Json(MadeKey { name: request.name, key })))
}

async fn revoke_key(State(app): State<App>, actor: Actor, Path(name): Path<String>) -> Result<StatusCode, Problem> {
    match app.auth.revoke_key(&*app.store, &name).await? {
        true => {
            record(&app, &actor, "key revoked", &name).await?;
            Ok(StatusCode::NO_CONTENT)
        }
        false => Err(Problem::new(Code::NotFound, "There is no such key among those added at run time.")),
    }
}

async fn add_person(State(app): State<App>, actor: Actor, Json(request): Json<NewPerson>) -> Result<StatusCode, Problem> {
    let (role, sites) = (role(&request.role)?, sites(request.sites)?);
    if role == Role::Machine {
        return Err(Problem::new(Code::InvalidRequest, "A machine uses a key; it does not sign in.").at("role"));
    }
    record(&app, &actor, "person added", &request.name).await?;
    app.auth.add_person(&*app.store, &request.name, role, sites, request.password).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The audit row comes first: what was tried is on record even if it then fails.
async fn record(app: &App, actor: &Actor, action: &str, subject: &str) -> Result<(), Problem> {
    let subject: String = subject.chars().filter(|c| !c.is_control()).take(64).collect();
    Ok(app.read.record_audit(app.hub.now(), &actor.name, action, &subject).await?)
}

fn role(text: &str) -> Result<Role, Problem> {
    let found = Role::ALL.into_iter().find(|role| role.as_str() == text);
    found.ok_or_else(|| Problem::new(Code::InvalidRequest, "A role is viewer, operator, approver, admin or machine.").at("role"))
}

fn sites(list: Option<Vec<String>>) -> Result<Sites, Problem> {
    let Some(list) = list else { return Ok(Sites::All) };
    let whole = |site: &String| site.split_once('/').is_some_and(|(channel, site)| !channel.is_empty() && !site.is_empty());
    if list.is_empty() || list.len() > 1_000 || !list.iter().all(whole) {
        return Err(Problem::new(Code::InvalidRequest, "Sites are a list of `channel/site`; leave it out for all.").at("sites"));
    }
    Ok(Sites::Only(list.into_iter().collect::<BTreeSet<_>>()))
}
