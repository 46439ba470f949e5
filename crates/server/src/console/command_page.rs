//! Commands: a page that says what will happen, then the act with a reason, recorded with the actor's name.

use super::{
    draw::Status,
    shell::{self, Here, Shell, theme_of},
    sign_in,
    words::{self, Tone},
};
use crate::{
    api,
    app::App,
    auth::roles::Actor,
    input::{Form, Path, Query},
    problem::{Code, Problem},
};
use askama::Template;
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
};
use crossdock_engine::face::{CommandRequest, HubError};
use crossdock_flows::Answer;
use crossdock_store::{EffectRow, ProcessDetail};
use crossdock_value::{Value, value};
use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wish {
    step: String,
    intent: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Act {
    step: String,
    intent: String,
    reason: String,
    decision: String,
    /// `ship_to.` fields of an amendment.
    name: String,
    line1: String,
    line2: String,
    city: String,
    postal_code: String,
    region: String,
    country: String,
    accept_totals: String,
    /// Made with the form, so that sending it twice is one command.
    key: String,
    seen_version: u64,
    #[serde(rename = "_csrf")]
    _form_token: String,
}

#[derive(Template)]
#[template(path = "command.html")]
struct Page {
    shell: Shell,
    address: String,
    command: String,
    title: String,
    number: String,
    back: String,
    /// What it will do.
    will: Vec<String>,
    /// What it will leave alone.
    will_not: String,
    risk: bool,
    needs_reason: bool,
    button: &'static str,
    step: String,
    intent: String,
    key: String,
    seen_version: u64,
    refusal: String,
    status: Status,
    reason: String,
}

/// The commands this page knows how to explain.
const KNOWN: [&str; 7] = ["hold", "release", "cancel", "retry", "skip", "amend", "decide_fraud"];

pub async fn ask(
    State(app): State<App>,
    actor: Actor,
    headers: HeaderMap,
    Path((id, command)): Path<(String, String)>,
    Query(wish): Query<Wish>,
) -> Result<Response, Problem> {
    let act = Act { step: wish.step, intent: wish.intent, ..Act::default() };
    let text = page(&app, &actor, &headers, &id, &command, &act, String::new()).await?;
    Ok(shell::html(text))
}

pub async fn act(
    State(app): State<App>,
    actor: Actor,
    headers: HeaderMap,
    Path((id, command)): Path<(String, String)>,
    Form(act): Form<Act>,
) -> Result<Response, Problem> {
    let process = api::process_key(&id)?;
    let detail = api::find(&*app.read, &actor, &process).await?;
    let known = KNOWN.iter().find(|known| **known == command).ok_or_else(|| Problem::of(Code::NotFound))?;
    let reason = act.reason.trim();
    let refusal = match reason {
        "" if needs_reason(known) => Some("Give a reason: it is kept with the command.".to_owned()),
        reason if reason.len() > 500 => Some("A reason has at most 500 characters.".to_owned()),
        _ => None,
    };
    if let Some(refusal) = refusal {
        let text = page(&app, &actor, &headers, &id, &command, &act, refusal).await?;
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, shell::html(text)).into_response());
    }
    let request = CommandRequest {
        process,
        name: (*known).into(),
        body: body(known, &act, reason),
        idempotency_key: act.key.as_str().into(),
        seen_version: (act.seen_version > 0).then_some(act.seen_version),
        actor: actor.name.clone(),
    };
    let refusal = match app.hub.command(request).await {
        Ok(Answer::Taken) => {
            let back = words::process_path(&detail.view.key.key);
            return Ok(Redirect::to(sign_in::local(&format!("{back}?said=taken"))).into_response());
        }
        Ok(Answer::Refused { code, text }) => {
            if text.is_empty() {
                words::sentence(&code)
            } else {
                words::sentence_case(&text)
            }
        }
        Err(HubError::Conflict { .. }) => {
            "The order has moved on since this page was loaded. Read what is new below, then decide again.".into()
        }
        Err(error) => return Err(error.into()),
    };
    let text = page(&app, &actor, &headers, &id, &command, &act, refusal).await?;
    Ok((StatusCode::CONFLICT, shell::html(text)).into_response())
}

/// The arguments of the command, as the flows and the engine document them.
fn body(command: &str, act: &Act, reason: &str) -> Value {
    match command {
        "retry" => value!({"step": (act.step.as_str()), "intent": (act.intent.as_str())}),
        "skip" => value!({"step": (act.step.as_str()), "intent": (act.intent.as_str()), "reason": reason}),
        "decide_fraud" => value!({"decision": (act.decision.as_str()), "reason": reason}),
        "amend" if act.accept_totals == "yes" => value!({"accept_totals": true, "reason": reason}),
        "amend" => {
            let fields = [
                ("name", &act.name),
                ("line1", &act.line1),
                ("line2", &act.line2),
                ("city", &act.city),
                ("postal_code", &act.postal_code),
                ("region", &act.region),
                ("country", &act.country),
            ];
            let given = fields.into_iter().filter(|(_, text)| !text.trim().is_empty()).map(|(name, text)| (name, text.trim()));
            let mut body = value!({"reason": reason});
            body.insert("ship_to", crossdock_value::obj(given));
            body
        }
        _ => value!({"reason": reason}),
    }
}

fn needs_reason(command: &str) -> bool {
    command != "retry"
}

async fn page(
    app: &App,
    actor: &Actor,
    headers: &HeaderMap,
    id: &str,
    command: &str,
    act: &Act,
    refusal: String,
) -> Result<String, Problem> {
    if !KNOWN.contains(&command) {
        return Err(Problem::of(Code::NotFound));
    }
    let key = api::process_key(id)?;
    let detail = api::find(&*app.read, actor, &key).await?;
    let summary = &detail.view.row.summary;
    let effect = detail.effects.iter().find(|effect| *effect.step == *act.step && *effect.intent == *act.intent);
    let (title, will, will_not) = explain(command, &detail, effect);
    let shell = Shell::new(app, actor, theme_of(headers), Here::Orders, title.clone()).await?;
    let page = Page {
        address: format!("/processes/{}/commands/{command}", words::encode(id)),
        command: command.into(),
        number: summary.number.to_string(),
        back: words::process_path(&key.key),
        risk: matches!(command, "cancel" | "skip"),
        needs_reason: needs_reason(command),
        button: match command {
            "hold" => "Hold",
            "release" => "Release",
            "cancel" => "Cancel the order",
            "retry" => "Retry now",
            "skip" => "Skip this step",
            "amend" => "Amend",
            _ => "Decide",
        },
        step: act.step.clone(),
        intent: act.intent.clone(),
        key: app.auth.form_key(),
        seen_version: detail.view.version,
        status: Status::new(
            Tone::of_status(&summary.status, detail.view.open_exceptions, &summary.waiting_for),
            words::sentence(&summary.stage),
        ),
        reason: act.reason.clone(),
        title,
        will,
        will_not,
        refusal,
        shell,
    };
    shell::render(&page)
}

/// Title, what it will do, what it will leave alone: with the goods and the money named.
fn explain(command: &str, detail: &ProcessDetail, effect: Option<&EffectRow>) -> (String, Vec<String>, String) {
    let summary = &detail.view.row.summary;
    let number = &summary.number;
    let total = format!("{} {}", summary.currency, words::amount(&summary.total));
    let step = effect.map_or_else(
        || "this step".to_owned(),
        |effect| {
            let subject = if effect.intent.is_empty() { String::new() } else { format!(" ({})", effect.intent) };
            format!("{} at {}{subject}", effect.step.replace('-', " "), effect.system)
        },
    );
    let lines = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let under_way = detail.effects.iter().filter(|effect| effect.state.is_open()).count() as u64;
    match command {
        "hold" => (
            format!("Hold {number}"),
            vec![
                "No new call is started for this order until it is released.".into(),
                format!("{} under way and will end by itself.", if under_way == 1 { "1 call is".into() } else { format!("{} calls are", words::count(under_way)) }),
                "Deadlines keep counting, and an authorization goes on ageing.".into(),
            ],
            "Nothing is undone. No money and no stock is touched.".into(),
        ),
        "release" => (
            format!("Release {number}"),
            lines(&["The order goes on where it stopped.", "A difference that stands (tax, ERP total, a change in the storefront) is accepted as it is."]),
            "What was done before the hold is not done again.".into(),
        ),
        "cancel" => (
            format!("Cancel {number}"),
            vec![
                "Asks the warehouse to stop what has not left; it may answer that it is too late.".into(),
                "Then cancels in the ERP, frees reserved stock, releases what is still authorized, and tells the storefront.".into(),
                format!("The order is worth {total}; what is cancelled is not captured, what was captured for it is paid back."),
            ],
            "What has shipped stays shipped and paid; it comes back only as a return.".into(),
        ),
        "retry" => (
            format!("Retry {step}"),
            match effect {
                Some(effect) if effect.state == crossdock_store::EffectState::Refused => vec![
                    format!("{} refused it: {}.", effect.system, effect.last.replace('_', " ")),
                    "It is made anew from today's mapping, under a new key, because the refusal proves that the last one was not applied.".into(),
                ],
                Some(effect) => vec![
                    format!("Sends it to {} at once, as attempt {}, with the same bytes and the same key.", effect.system, effect.attempts + 1),
                    "If it was applied before, the system finds the key or the hub probes first: it is not done twice.".into(),
                ],
                None => lines(&["Tries the step again at once."]),
            },
            "Other steps of the order are not touched.".into(),
        ),
        "skip" => (
            format!("Skip {step}"),
            vec![
                "The order goes on as if this step were done. The hub will not ask for it again.".into(),
                format!("Whoever relies on it must be told: {} does not get it from the hub.", effect.map_or("the system".to_owned(), |effect| effect.system.to_string())),
            ],
            "Nothing is sent, and nothing that was sent is undone.".into(),
        ),
        "amend" => (
            format!("Amend {number}"),
            lines(&["The fields given replace those of the delivery address; empty ones stay.", "The checks run again; if they pass, the order goes on by itself."]),
            "Lines, prices and payment stay as sold. Once the ERP was asked, an amendment is refused.".into(),
        ),
        _ => (
            format!("Decide the fraud review of {number}"),
            lines(&["Approve: the order goes on.", "Reject: the order is cancelled, the authorization is released, the storefront is told."]),
            format!("Until then nothing is captured and nothing is released; {total} stays authorized."),
        ),
    }
}
