//! Reads one order for its page: journal records, effects and the flows' states become attempts, lanes, money and lines.
//!
//! This is the only module of the console that knows the shapes of records and states. It reads them loosely, by name: a state
//! written under an older schema, or an event of a newer flow, leaves a gap on the page and never takes the page away.

mod goods;
mod money;

pub use goods::{LineView, ShipmentView, Stop, lines, path, shipments};
pub use money::{MoneyView, money_view};

use super::{
    draw::{Amount, Happening, Lanes, Planned, Status},
    words::{self, Tone},
};
use crossdock_canonical::{Duration, Money, Timestamp};
use crossdock_store::{EffectRow, EffectState, JournalRow, PayloadHash, ProcessDetail};
use crossdock_value::{Decimal, Limits, Value};
use std::collections::BTreeMap;

/// The stages of an order, in their order.
pub const STAGES: [&str; 15] = [
    "unreadable",
    "accepted",
    "taken",
    "checked",
    "screened",
    "taxed",
    "authorized",
    "reserved",
    "booked",
    "released",
    "part_shipped",
    "shipped",
    "closed",
    "cancelling",
    "cancelled",
];

/// How many of the eight steps of the glyph a stage has behind it.
pub fn steps_done(stage: &str) -> usize {
    match stage {
        "accepted" | "taken" | "checked" | "screened" | "taxed" | "cancelling" => 1,
        "authorized" | "reserved" => 2,
        "booked" => 3,
        "released" => 4,
        "part_shipped" => 5,
        "shipped" => 6,
        "closed" => 8,
        _ => 0,
    }
}

/// `wms-eu: release-shipment ship-1` as people say it.
pub fn waits_for(text: &str) -> String {
    match text.split_once(": ") {
        Some((whom, what)) => format!("{whom}: {}", what.replace(['_', '-'], " ")),
        None => text.to_owned(),
    }
}

/// A process with its journal.
pub struct Told<'a> {
    pub detail: &'a ProcessDetail,
    pub journal: &'a [JournalRow],
}

/// One effect with everything that was tried.
pub struct Attempted {
    pub id: String,
    pub process: String,
    pub no: u32,
    pub mark: Tone,
    pub title: String,
    pub subtitle: String,
    pub end: String,
    pub open: bool,
    pub key: String,
    pub tries: Vec<Try>,
    pub request: String,
    /// Of an effect that can be retried or skipped: the names the commands need.
    pub step: String,
    pub intent: String,
    pub stuck: bool,
}

impl Attempted {
    /// The kind of the process, which a reveal names.
    pub fn kind(&self) -> &str {
        self.process.split_once(':').map_or("", |(kind, _)| kind)
    }
}

pub struct Try {
    pub word: String,
    pub at: String,
    pub took: String,
    pub status: Status,
    pub response: String,
}

pub struct EventLine {
    pub at: String,
    pub tone: Tone,
    pub name: String,
    pub what: String,
    pub offset: String,
}

/// One attempt or probe, as a journal record tells it.
struct Ended {
    no: u32,
    attempt: u64,
    class: String,
    code: String,
    probe: String,
    at: Timestamp,
    ms: i64,
    response: String,
}

fn record(row: &JournalRow) -> Value {
    crossdock_value::parse(&row.record, &Limits::default()).unwrap_or(Value::Null)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn ended(row: &JournalRow) -> Option<Ended> {
    let record = record(row);
    let attempt = record.get("attempt");
    attempt.as_obj()?;
    Some(Ended {
        no: u32::try_from(attempt.get("no").as_u64()?).ok()?,
        attempt: attempt.get("attempt").as_u64().unwrap_or(0),
        class: text(attempt.get("class")),
        code: text(attempt.get("code")),
        probe: text(attempt.get("probe")),
        at: row.at,
        ms: attempt.get("ms").as_i64().unwrap_or(0).max(0),
        response: text(attempt.get("response")),
    })
}

fn tone_of_class(class: &str, probe: &str) -> Tone {
    match (class, probe) {
        (_, "absent") => Tone::Planned,
        (_, "unclear") => Tone::Unknown,
        ("done", _) => Tone::Ok,
        ("accepted", _) => Tone::Waiting,
        ("unknown", _) => Tone::Unknown,
        ("reversed", _) => Tone::Attention,
        _ => Tone::Failed,
    }
}

fn word_of_class(ended: &Ended) -> String {
    let code = if ended.code.is_empty() { String::new() } else { format!(", {}", ended.code.replace('_', " ")) };
    match ended.probe.as_str() {
        "" => match ended.class.as_str() {
            "retry" => format!("Not applied{code}"),
            "unknown" => format!("No clear answer{code}"),
            class => format!("{}{code}", words::sentence(class)),
        },
        "complete" => "Found, complete".into(),
        "absent" => "Not there".into(),
        probe => format!("Probe: {}{code}", probe.replace('_', " ")),
    }
}

/// Whom an effect asks, in words. Inside the hub an order asks its payment, and the payment answers.
fn system_of(effect: &EffectRow) -> String {
    match (effect.system.as_str(), &*effect.step) {
        ("hub", "reply") => "Order process".into(),
        ("hub", _) => "Payment process".into(),
        (system, _) => system.into(),
    }
}

fn title(effect: &EffectRow) -> String {
    let what = effect.step.replace(['-', '_'], " ");
    // Between our processes an intent is an address and says nothing to a reader.
    match effect.intent.is_empty() || effect.system.as_str() == "hub" {
        true => format!("{}: {what}", system_of(effect)),
        false => format!("{}: {what}, {}", system_of(effect), effect.intent),
    }
}

/// The effects of one process, newest first, those that need a person first of all.
pub fn attempts(told: &Told<'_>, now: Timestamp) -> Vec<Attempted> {
    let mut ends: BTreeMap<u32, Vec<Ended>> = BTreeMap::new();
    for end in told.journal.iter().filter_map(ended) {
        ends.entry(end.no).or_default().push(end);
    }
    let mut all: Vec<(bool, Attempted)> = told
        .detail
        .effects
        .iter()
        .map(|effect| (is_stuck(effect), attempted(told, effect, ends.get(&effect.no).map_or(&[], Vec::as_slice), now)))
        .collect();
    all.sort_by_key(|(stuck, one)| (!stuck, std::cmp::Reverse(one.no)));
    all.into_iter().map(|(_, one)| one).collect()
}

fn is_stuck(effect: &EffectRow) -> bool {
    matches!(effect.state, EffectState::Parked | EffectState::Refused)
}

fn attempted(told: &Told<'_>, effect: &EffectRow, ends: &[Ended], now: Timestamp) -> Attempted {
    let kind = &told.detail.view.key.kind;
    let subtitle = match (effect.state, effect.due) {
        (EffectState::Done, _) if ends.iter().any(|end| end.class == "unknown") => "unknown, then found by a probe".into(),
        (EffectState::Pending, Some(due)) if effect.attempts > 0 => {
            format!("{}, next try {}", effect.last.replace('_', " "), words::relative(due, now))
        }
        (EffectState::Pending, _) => "to be sent".into(),
        (EffectState::Accepted, Some(due)) => format!("sent; looked at again {}", words::relative(due, now)),
        (EffectState::Unknown, Some(due)) => format!("outcome unknown; probe {}", words::relative(due, now)),
        (state, _) if effect.last.is_empty() || *effect.last == *state.as_str() => state.as_str().into(),
        (state, _) => format!("{}, {}", state.as_str(), effect.last.replace('_', " ")),
    };
    let took = ends.last().map_or(Duration::default(), |last| last.at - effect.made_at);
    let tries = ends.iter().map(|end| Try {
        word: if end.probe.is_empty() { format!("{}", end.attempt) } else { "probe".into() },
        at: words::clock(end.at - Duration(end.ms), now),
        took: words::millis(end.ms.unsigned_abs()),
        status: Status::new(tone_of_class(&end.class, &end.probe), word_of_class(end)),
        response: end.response.clone(),
    });
    Attempted {
        id: anchor(kind, effect.no),
        process: told.detail.view.key.to_string(),
        no: effect.no,
        mark: Tone::of_effect(effect.state),
        title: title(effect),
        subtitle,
        end: if ends.is_empty() {
            format!("effect {}", effect.no)
        } else {
            format!("effect {}, {} in all", effect.no, words::lasting(took))
        },
        open: is_stuck(effect) || effect.state == EffectState::Unknown,
        key: effect.key.to_string(),
        tries: tries.collect(),
        request: effect.request.map_or(String::new(), |hash| hash.to_string()),
        step: effect.step.to_string(),
        intent: effect.intent.to_string(),
        stuck: is_stuck(effect) || (effect.state == EffectState::Pending && effect.attempts > 0),
    }
}

fn anchor(kind: &str, no: u32) -> String {
    if kind == "order" { format!("effect-{no}") } else { format!("{kind}-{no}") }
}

/// The lanes of the order and its payment together.
pub fn lanes(all: &[Told<'_>], now: Timestamp) -> Lanes {
    let mut happened = Vec::new();
    let mut planned = Vec::new();
    for told in all {
        let kind = &told.detail.view.key.kind;
        let effects: BTreeMap<u32, &EffectRow> = told.detail.effects.iter().map(|effect| (effect.no, effect)).collect();
        for row in told.journal {
            match ended(row) {
                Some(end) => happened.extend(effects.get(&end.no).map(|effect| Happening {
                    system: system_of(effect),
                    began: end.at - Duration(end.ms),
                    ended: end.at,
                    tone: tone_of_class(&end.class, &end.probe),
                    probe: !end.probe.is_empty(),
                    label: label(&end, effect),
                    name: format!("{}: {}, {}", title(effect), word_of_class(&end), words::millis(end.ms.unsigned_abs())),
                    link: format!("#{}", anchor(kind, end.no)),
                })),
                None => happened.extend(message(row)),
            }
        }
        // The hub's own commands are shown by what the payment process does.
        let open = told.detail.effects.iter().filter(|effect| effect.state.is_open() && effect.system.as_str() != "hub");
        planned.extend(open.filter_map(|effect| {
            Some(Planned {
                system: system_of(effect),
                due: effect.due.unwrap_or(effect.deadline),
                tone: if effect.state == EffectState::Parked { Tone::Failed } else { Tone::of_effect(effect.state) },
                name: format!("{}: {}, due {}", title(effect), effect.state.as_str(), words::clock(effect.due?, now)),
                link: format!("#{}", anchor(kind, effect.no)),
            })
        }));
    }
    happened.sort_by_key(|one| (one.ended, one.began));
    planned.sort_by_key(|one| one.due);
    Lanes { happened, planned, now }
}

fn label(end: &Ended, effect: &EffectRow) -> String {
    match (end.probe.as_str(), end.class.as_str()) {
        ("complete", _) => "found".into(),
        ("retract", "done") => "copies cancelled".into(),
        ("retract", _) => "copies not cancelled".into(),
        ("", "done" | "accepted") => words::operation(effect.operation.as_str()),
        ("", "unknown") => "no answer".into(),
        ("", _) => end.code.replace('_', " "),
        (probe, _) => probe.replace('_', " "),
    }
}

/// A message of a system, as a mark in that system's lane.
fn message(row: &JournalRow) -> Option<Happening> {
    let record = record(row);
    let heard = record.get("in");
    if heard.get("kind").as_str() != Some("message") {
        return None;
    }
    let name = heard.get("name").as_str().or(heard.get("message").as_str())?.to_owned();
    let system = text(heard.get("from"));
    let label = events(row).into_iter().next().map_or(name.clone(), |(name, _)| name);
    Some(Happening {
        system: if system.is_empty() { "hub".into() } else { system.clone() },
        began: row.at,
        ended: row.at,
        tone: Tone::Ok,
        probe: false,
        label: label.rsplit('.').next().unwrap_or_default().replace('_', " "),
        name: format!("{system} told {name}"),
        link: "#events".into(),
    })
}

/// The business events of a row: name and body.
fn events(row: &JournalRow) -> Vec<(String, Value)> {
    let record = record(row);
    let list = record.get("events").as_arr().unwrap_or_default();
    list.iter().map(|event| (text(event.get("name")), event.get("body").clone())).collect()
}

/// What happened, newest first: business events, failed attempts, commands.
pub fn event_lines(all: &[Told<'_>], now: Timestamp) -> Vec<EventLine> {
    let mut lines: Vec<(Timestamp, u64, EventLine)> = Vec::new();
    for told in all {
        let effects: BTreeMap<u32, &EffectRow> = told.detail.effects.iter().map(|effect| (effect.no, effect)).collect();
        for row in told.journal {
            let mut line = |tone: Tone, name: String, what: String| {
                let offset = format!("{}\u{b7}{}", row.partition, row.offset);
                lines.push((row.at, row.version, EventLine { at: words::clock(row.at, now), tone, name, what, offset }));
            };
            if let Some(end) = ended(row) {
                let title = effects.get(&end.no).map_or(String::new(), |effect| title(effect));
                let tone = tone_of_class(&end.class, &end.probe);
                let name = if end.probe.is_empty() { format!("effect.{}", end.class) } else { format!("probe.{}", end.probe) };
                let attempt = if end.attempt > 1 { format!(", attempt {}", end.attempt) } else { String::new() };
                line(tone, name, format!("{title}{attempt}: {}", word_of_class(&end)));
            }
            for (name, body) in events(row) {
                line(tone_of_event(&name), name, brief(&body));
            }
            let record = record(row);
            for opened in record.at("exceptions.opened").as_arr().unwrap_or_default() {
                line(Tone::Attention, "exception.opened".into(), text(opened.get("cause")));
            }
            let command = record.get("in");
            if command.get("kind").as_str() == Some("command") {
                let name = command.get("name").as_str().or(command.get("command").as_str()).unwrap_or_default();
                let answer = text(record.at("answer.answer"));
                line(
                    Tone::Off,
                    format!("command.{name}"),
                    format!("by {}{}", row.actor, if answer.is_empty() { answer } else { format!(": {answer}") }),
                );
            }
        }
    }
    lines.sort_by_key(|(at, version, _)| std::cmp::Reverse((*at, *version)));
    lines.into_iter().map(|(_, _, line)| line).collect()
}

fn tone_of_event(name: &str) -> Tone {
    let bad = ["refused", "unreadable", "overdue", "unknown", "short", "reversed", "failed"];
    match name {
        _ if bad.iter().any(|word| name.ends_with(word)) => Tone::Attention,
        _ if name.contains("cancel") => Tone::Off,
        _ => Tone::Ok,
    }
}

/// The scalar fields of an event's body, in a line.
fn brief(body: &Value) -> String {
    let Some(map) = body.as_obj() else { return body.as_str().unwrap_or_default().to_owned() };
    let mut parts = Vec::new();
    for (key, value) in map.iter().filter(|(key, _)| !matches!(&***key, "event" | "step")) {
        let shown = match value {
            Value::Str(text) if text.is_empty() => continue,
            Value::Str(text) => text.to_string(),
            Value::Num(number) => number.to_string(),
            Value::Bool(truth) => truth.to_string(),
            Value::Obj(_) => match money(value) {
                Some(money) => money.to_string(),
                None => continue,
            },
            Value::Null | Value::Arr(_) => continue,
        };
        parts.push(format!("{} {shown}", key.replace('_', " ")));
        if parts.len() == 4 {
            break;
        }
    }
    parts.join(", ")
}

fn money(value: &Value) -> Option<Money> {
    crossdock_value::from_value(value).ok()
}

fn is_over(order: &Told<'_>) -> bool {
    matches!(&*order.detail.view.row.summary.status, "closed" | "cancelled" | "failed")
}

fn state(detail: &ProcessDetail) -> Value {
    crossdock_value::parse(&detail.view.row.state, &Limits::default()).unwrap_or(Value::Null)
}

fn shown(money: Money) -> String {
    let digits = money.currency.minor_digits();
    let mut amount = money.amount;
    if amount.scale() < digits {
        amount.rescale(digits);
    }
    words::amount(&amount.to_string())
}

/// A decimal, whether it is written as a number or as text.
fn decimal(value: &Value) -> Option<Decimal> {
    value.as_decimal().or_else(|| crossdock_value::decimal::read(value.as_str()?))
}

fn list(value: &Value) -> Vec<Value> {
    value.as_arr().unwrap_or_default().to_vec()
}

/// Every payload the journal names, so that only these can be revealed.
pub fn names_payload(told: &Told<'_>, hash: &PayloadHash) -> bool {
    let hash = hash.to_string();
    let in_effects = told.detail.effects.iter().any(|effect| effect.request.is_some_and(|request| request.to_string() == hash));
    let in_exceptions = told.detail.exceptions.iter().any(|(_, row)| row.payload.as_deref() == Some(&hash));
    let is_document = told.detail.view.row.document.is_some_and(|document| document.to_string() == hash);
    let in_journal = || {
        told.journal.iter().any(|row| {
            let record = record(row);
            record.at("attempt.response").as_str() == Some(&hash)
                || record.at("in.payload").as_str() == Some(&hash)
                || record
                    .get("effects")
                    .as_arr()
                    .unwrap_or_default()
                    .iter()
                    .any(|effect| effect.get("request").as_str() == Some(&hash))
        })
    };
    in_effects || in_exceptions || is_document || in_journal()
}

pub struct Known {
    pub system: String,
    pub kind: String,
    pub id: String,
}

/// What the systems call this order and its parts.
pub fn known_as(all: &[Told<'_>]) -> Vec<Known> {
    let rows = all.iter().flat_map(|told| &told.detail.identities);
    rows.map(|row| Known { system: row.system.to_string(), kind: row.kind.to_string(), id: row.theirs.to_string() }).collect()
}

/// The amount and currency of a summary.
pub fn total(detail: &ProcessDetail) -> Amount {
    let summary = &detail.view.row.summary;
    Amount { currency: summary.currency.to_string(), amount: summary.total.to_string() }
}
