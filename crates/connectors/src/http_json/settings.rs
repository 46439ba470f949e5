//! Reading the settings: every fault at once, each at its place, expressions included.

use super::expression::{Body, Expression, Template};
use crossdock_canonical::{Operation, OutcomeClass};
use crossdock_connect::Identity;
use crossdock_connect::classify::Nature;
use crossdock_connect::config::{ConfigFault, Section, SystemConfig, fault, join, nearest};
use crossdock_connect::http::Method;
use crossdock_connect::oauth::ClientCredentials;
use crossdock_connect::secret::{Secret, Secrets};
use crossdock_connect::webhook::Verifier;
use crossdock_value::Value;
use std::collections::BTreeMap;

const TIMEOUT_MS: i64 = 30_000;
const SETTLING_MS: i64 = 2_000;
const STEPS_MAX: usize = 8;

/// A compiled configuration.
#[derive(Debug)]
pub(super) struct Compiled {
    pub auth: Auth,
    pub operations: BTreeMap<Operation, Action>,
    pub inbound: Option<Inbound>,
    pub poll: Option<Poll>,
    /// Message bodies in canonical terms, by kind.
    pub translate: BTreeMap<String, Translation>,
}

/// How a message is read, and what the landscape's mappings set on that.
#[derive(Debug)]
pub(super) struct Translation {
    pub own: Body,
    pub added: Option<Body>,
}

#[derive(Debug)]
pub(super) enum Auth {
    None,
    Header { name: String, value: Secret },
    Oauth2(ClientCredentials),
}

/// How one operation is said to the system.
#[derive(Debug)]
pub(super) struct Action {
    pub identity: Identity,
    pub key_lifetime_ms: Option<i64>,
    pub settling_ms: i64,
    pub timeout_ms: i64,
    pub nature: Nature,
    pub find: Option<Find>,
    /// One request after the other; the last one's outcome is the effect's.
    pub steps: Vec<Step>,
    pub evidence: Option<Expression>,
    pub identities: Option<Expression>,
    pub probe: Option<ProbeBy>,
    /// Takes back one copy of what a probe found several times.
    pub retract: Option<Step>,
    /// From `mappings/`: fields set on the last step's body.
    pub overrides: Option<Body>,
}

/// Finding the system's id of the record that a path is about.
#[derive(Debug)]
pub(super) struct Find {
    pub known: Option<Expression>,
    pub path: Template,
    pub id: Expression,
}

#[derive(Debug)]
pub(super) struct Step {
    /// Whether this order needs it; absent is yes.
    pub when: Option<Expression>,
    pub method: Method,
    pub path: Template,
    pub headers: Vec<(String, Expression)>,
    pub body: Option<Body>,
    pub outcomes: Vec<Rule>,
    /// Where the record is in an answer; `.body` when absent.
    pub record: Option<Expression>,
}

/// What an answer means, when its condition holds.
#[derive(Debug)]
pub(super) struct Rule {
    pub when: Expression,
    pub class: OutcomeClass,
    pub code: Option<Expression>,
    pub evidence: Option<Expression>,
    pub identities: Option<Expression>,
    /// Seconds.
    pub retry_after: Option<Expression>,
}

#[derive(Debug)]
pub(super) struct ProbeBy {
    pub step: Step,
    pub verdicts: Vec<Verdict>,
}

#[derive(Debug)]
pub(super) struct Verdict {
    pub when: Expression,
    pub verdict: Finding,
    pub class: OutcomeClass,
    pub code: Option<Expression>,
    pub evidence: Option<Expression>,
    /// Of *several*: all that is there under our reference, `[{id, gone}]`.
    pub records: Option<Expression>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    Absent,
    Partial,
    Complete,
    Several,
    MovedOn,
    Unclear,
}

#[derive(Debug)]
pub(super) struct Inbound {
    pub verifier: Verifier,
    pub messages: Expression,
}

#[derive(Debug)]
pub(super) struct Poll {
    pub path: Template,
    pub rows: Expression,
    pub cursor: Expression,
    pub more: Option<Expression>,
    pub messages: Expression,
}

/// Values that operations inherit.
struct Defaults {
    identity: Identity,
    key_lifetime_ms: Option<i64>,
    settling_ms: i64,
    timeout_ms: i64,
    headers: Vec<(String, Expression)>,
    outcomes: Value,
}

pub(super) fn compile(config: &SystemConfig, secrets: &Secrets, faults: &mut Vec<ConfigFault>) -> Compiled {
    let auth = auth(config, secrets, faults);
    let mut s = Section::new(&config.settings, "settings", faults);
    let headers_path = s.path_of("headers");
    let defaults = Defaults {
        identity: identity(s.get("identity"), &s.path_of("identity"), Identity::None, faults),
        key_lifetime_ms: key_lifetime(&mut s, None, faults),
        settling_ms: s.duration("settling", SETTLING_MS, faults),
        timeout_ms: config.timeout_ms(TIMEOUT_MS, faults),
        headers: headers(s.get("headers"), &headers_path, faults),
        outcomes: s.get("outcomes").clone(),
    };
    let given = s.get("operations");
    let mut operations = BTreeMap::new();
    if !given.is_null() && given.as_obj().is_none() {
        faults.push(fault(s.path_of("operations"), format!("expected operations by name, found {}", given.kind())));
    }
    for (name, value) in given.as_obj().into_iter().flat_map(|map| map.iter()) {
        let path = join(&s.path_of("operations"), name);
        let Some(operation) = operation(name, &path, faults) else { continue };
        if !config.roles.contains(&operation.role()) {
            faults.push(fault(&path, format!("`{name}` is for a system in another role; `roles` does not have it")));
        }
        let overrides = config.mappings.get(&**name).and_then(|mapping| Body::compile(mapping, &join("mappings", name), faults));
        let section = Section::new(value, path, faults);
        if let Some(action) = action(section, value, &defaults, overrides, faults) {
            operations.insert(operation, action);
        }
    }
    let inbound = inbound(&mut s, config, secrets, faults);
    let poll = poll(&mut s, inbound.as_ref(), faults);
    let translate = translate(&mut s, config, faults);
    for name in config.mappings.keys() {
        let known =
            name.parse::<Operation>().is_ok_and(|operation| operations.contains_key(&operation)) || translate.contains_key(name);
        if !known {
            faults.push(fault(join("mappings", name), "this mapping belongs to no operation and no message of the system"));
        }
    }
    if operations.is_empty() && inbound.is_none() && poll.is_none() {
        faults.push(fault("settings", "nothing is configured: give `operations`, `inbound` or `poll`"));
    }
    s.finish(faults);
    Compiled { auth, operations, inbound, poll, translate }
}

fn auth(config: &SystemConfig, secrets: &Secrets, faults: &mut Vec<ConfigFault>) -> Auth {
    let mut s = Section::new(&config.auth, "auth", faults);
    let kind = s.text("kind", faults).unwrap_or("none");
    let auth = match kind {
        "none" => Auth::None,
        "bearer" => {
            let token = s.secret("token", &config.url, secrets, faults);
            Auth::Header { name: "authorization".into(), value: Secret::new(format!("Bearer {}", token.expose())) }
        }
        "basic" => {
            let user = s.required("user", faults).to_owned();
            let password = s.secret("password", &config.url, secrets, faults);
            Auth::Header { name: "authorization".into(), value: Secret::new(crossdock_connect::oauth::basic(&user, &password)) }
        }
        "header" => {
            let name = s.required("name", faults).to_ascii_lowercase();
            Auth::Header { name, value: s.secret("value", &config.url, secrets, faults) }
        }
        "oauth2" => Auth::Oauth2(ClientCredentials {
            url: s.required("token_url", faults).to_owned(),
            client_id: s.required("client_id", faults).to_owned(),
            client_secret: s.secret("client_secret", &config.url, secrets, faults),
            scope: s.text("scope", faults).map(str::to_owned),
        }),
        other => {
            faults.push(fault(s.path_of("kind"), format!("`{other}` is not one of none, bearer, basic, header, oauth2")));
            return Auth::None;
        }
    };
    s.finish(faults);
    auth
}

fn operation(name: &str, path: &str, faults: &mut Vec<ConfigFault>) -> Option<Operation> {
    match name.parse() {
        Ok(Operation::HubCommand) => {
            faults.push(fault(path, "`hub.command` is between processes of the hub"));
            None
        }
        Ok(operation) => Some(operation),
        Err(_) => {
            let names: Vec<&str> = Operation::ALL.iter().map(|operation| operation.as_str()).collect();
            let hint = nearest(name, &names).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            faults.push(fault(path, format!("`{name}` is not an operation{hint}")));
            None
        }
    }
}

fn action(
    mut s: Section<'_>,
    value: &Value,
    defaults: &Defaults,
    overrides: Option<Body>,
    faults: &mut Vec<ConfigFault>,
) -> Option<Action> {
    let known = faults.len();
    let find = match s.get("find") {
        Value::Null => None,
        found => {
            let mut f = Section::new(found, s.path_of("find"), faults);
            let known = expression(&mut f, "known", faults);
            let path = template(&mut f, faults);
            let id = required_expression(&mut f, "id", faults);
            f.finish(faults);
            path.zip(id).map(|(path, id)| Find { known, path, id })
        }
    };
    let steps = match s.get("steps") {
        Value::Null => step(&mut s, defaults, faults).into_iter().collect(),
        Value::Arr(items) if (1..=STEPS_MAX).contains(&items.len()) => {
            let path = s.path_of("steps");
            let steps = items.iter().enumerate().map(|(n, item)| {
                let mut section = Section::new(item, format!("{path}[{n}]"), faults);
                let step = step(&mut section, defaults, faults);
                section.finish(faults);
                step
            });
            steps.collect::<Vec<_>>().into_iter().flatten().collect()
        }
        _ => {
            faults.push(fault(s.path_of("steps"), format!("expected a list of 1 to {STEPS_MAX} requests")));
            Vec::new()
        }
    };
    let reads = s.flag("reads_only", false, faults);
    let evidence = expression(&mut s, "evidence", faults);
    let identities = expression(&mut s, "identities", faults);
    let probe = probe(&mut s, value.get("probe"), defaults, faults);
    let retract = retract(&mut s, probe.as_ref(), defaults, faults);
    let default_identity = if reads { Identity::NativeKey } else { defaults.identity };
    let path = s.path_of("identity");
    let identity = identity(s.get("identity"), &path, default_identity, faults);
    let key_lifetime_ms = key_lifetime(&mut s, defaults.key_lifetime_ms, faults);
    let settling_ms = s.duration("settling", defaults.settling_ms, faults);
    let timeout_ms = s.duration("timeout", defaults.timeout_ms, faults);
    if probe.is_none()
        && !reads
        && value.get("probe").is_null()
        && matches!(identity, Identity::UniqueReference | Identity::LookupOnly)
    {
        faults.push(fault(s.path_of("probe"), "this identity promises that an effect can be found: say how, in `probe`"));
    }
    s.finish(faults);
    (faults.len() == known).then_some(Action {
        identity,
        key_lifetime_ms,
        settling_ms,
        timeout_ms,
        nature: if reads { Nature::Read } else { Nature::Change },
        find,
        steps,
        evidence,
        identities,
        probe,
        retract,
        overrides,
    })
}

/// The request of a step, from the section that holds its fields.
fn step(s: &mut Section<'_>, defaults: &Defaults, faults: &mut Vec<ConfigFault>) -> Option<Step> {
    let when = expression(s, "when", faults);
    let method = match s.text("method", faults) {
        None => Some(Method::Get),
        Some(text) => Method::parse(text).or_else(|| {
            faults.push(fault(s.path_of("method"), format!("`{text}` is not one of GET, POST, PUT, PATCH, DELETE")));
            None
        }),
    };
    let path = template(s, faults);
    let mut all = defaults.headers.clone();
    let at = s.path_of("headers");
    all.extend(headers(s.get("headers"), &at, faults));
    let at = s.path_of("body");
    let body = Body::compile(s.get("body"), &at, faults);
    let record = expression(s, "record", faults);
    let at = s.path_of("outcomes");
    let mut outcomes = rules(s.get("outcomes"), &at, faults);
    outcomes.extend(rules(&defaults.outcomes, "settings.outcomes", &mut Vec::new()));
    Some(Step { when, method: method?, path: path?, headers: all, body, outcomes, record })
}

fn rules(value: &Value, path: &str, faults: &mut Vec<ConfigFault>) -> Vec<Rule> {
    let items = list(value, path, faults);
    let rules = items.iter().enumerate().map(|(n, item)| {
        let mut s = Section::new(item, format!("{path}[{n}]"), faults);
        let when = required_expression(&mut s, "when", faults);
        let class = class(&mut s, None, faults);
        let code = expression_or_word(&mut s, "code", faults);
        let evidence = expression(&mut s, "evidence", faults);
        let identities = expression(&mut s, "identities", faults);
        let retry_after = expression(&mut s, "retry_after", faults);
        s.finish(faults);
        Some(Rule { when: when?, class: class?, code, evidence, identities, retry_after })
    });
    rules.collect::<Vec<_>>().into_iter().flatten().collect()
}

fn probe(s: &mut Section<'_>, value: &Value, defaults: &Defaults, faults: &mut Vec<ConfigFault>) -> Option<ProbeBy> {
    s.get("probe");
    if value.is_null() {
        return None;
    }
    let mut p = Section::new(value, s.path_of("probe"), faults);
    let step = step(&mut p, defaults, faults);
    let path = p.path_of("verdicts");
    let items = list(p.get("verdicts"), &path, faults);
    let verdicts: Vec<Option<Verdict>> = items
        .iter()
        .enumerate()
        .map(|(n, item)| {
            let mut v = Section::new(item, format!("{path}[{n}]"), faults);
            let when = required_expression(&mut v, "when", faults);
            let verdict = match v.required("verdict", faults) {
                "absent" => Some(Finding::Absent),
                "partial" => Some(Finding::Partial),
                "complete" => Some(Finding::Complete),
                "several" => Some(Finding::Several),
                "moved_on" => Some(Finding::MovedOn),
                "unclear" => Some(Finding::Unclear),
                "" => None,
                other => {
                    faults.push(fault(
                        v.path_of("verdict"),
                        format!("`{other}` is not one of absent, partial, complete, several, moved_on, unclear"),
                    ));
                    None
                }
            };
            let class = class(&mut v, Some(OutcomeClass::Done), faults);
            let code = expression_or_word(&mut v, "code", faults);
            let evidence = expression(&mut v, "evidence", faults);
            let records = expression(&mut v, "records", faults);
            if records.is_some() && verdict.is_some_and(|verdict| verdict != Finding::Several) {
                faults.push(fault(v.path_of("records"), "only what is there several times has `records`"));
            }
            v.finish(faults);
            Some(Verdict { when: when?, verdict: verdict?, class: class?, code, evidence, records })
        })
        .collect();
    if items.is_empty() {
        faults.push(fault(&path, "say what an answer means: at least one of `{when, verdict}`"));
    }
    p.finish(faults);
    Some(ProbeBy { step: step?, verdicts: verdicts.into_iter().flatten().collect() })
}

/// The request that takes back one copy, which only a verdict with `records` can name.
fn retract(s: &mut Section<'_>, probe: Option<&ProbeBy>, defaults: &Defaults, faults: &mut Vec<ConfigFault>) -> Option<Step> {
    let value = s.get("retract");
    if value.is_null() {
        return None;
    }
    let path = s.path_of("retract");
    let mut r = Section::new(value, path.clone(), faults);
    let step = step(&mut r, defaults, faults);
    r.finish(faults);
    if !probe.is_some_and(|probe| probe.verdicts.iter().any(|verdict| verdict.records.is_some())) {
        faults.push(fault(path, "say which there are: `verdict: several` with `records` in `probe.verdicts`"));
    }
    step
}

fn inbound(s: &mut Section<'_>, config: &SystemConfig, secrets: &Secrets, faults: &mut Vec<ConfigFault>) -> Option<Inbound> {
    let value = s.get("inbound");
    if value.is_null() {
        return None;
    }
    let mut i = Section::new(value, s.path_of("inbound"), faults);
    let verify = i.section("verify", faults);
    let verifier = Verifier::from_config(verify, &config.url, secrets, faults);
    let messages = required_expression(&mut i, "messages", faults);
    i.finish(faults);
    Some(Inbound { verifier: verifier?, messages: messages? })
}

fn poll(s: &mut Section<'_>, inbound: Option<&Inbound>, faults: &mut Vec<ConfigFault>) -> Option<Poll> {
    let value = s.get("poll");
    if value.is_null() {
        return None;
    }
    let mut p = Section::new(value, s.path_of("poll"), faults);
    let path = template(&mut p, faults);
    let rows = required_expression(&mut p, "rows", faults);
    let cursor = required_expression(&mut p, "cursor", faults);
    let more = expression(&mut p, "more", faults);
    let messages = match (expression(&mut p, "messages", faults), inbound) {
        (Some(messages), _) => Some(messages),
        (None, Some(inbound)) => Some(inbound.messages.clone()),
        (None, None) => {
            faults.push(fault(p.path_of("messages"), "say what a row tells, or give `inbound.messages`"));
            None
        }
    };
    p.finish(faults);
    Some(Poll { path: path?, rows: rows?, cursor: cursor?, more, messages: messages? })
}

fn translate(s: &mut Section<'_>, config: &SystemConfig, faults: &mut Vec<ConfigFault>) -> BTreeMap<String, Translation> {
    let path = s.path_of("translate");
    let given = s.get("translate");
    if !given.is_null() && given.as_obj().is_none() {
        faults.push(fault(&path, format!("expected bodies by message kind, found {}", given.kind())));
    }
    let mut bodies = BTreeMap::new();
    for (kind, value) in given.as_obj().into_iter().flat_map(|map| map.iter()) {
        let own = Body::compile(value, &join(&path, kind), faults);
        let added = config.mappings.get(&**kind).and_then(|mapping| Body::compile(mapping, &join("mappings", kind), faults));
        if let Some(own) = own {
            bodies.insert(kind.to_string(), Translation { own, added });
        }
    }
    bodies
}

fn headers(value: &Value, path: &str, faults: &mut Vec<ConfigFault>) -> Vec<(String, Expression)> {
    if !value.is_null() && value.as_obj().is_none() {
        faults.push(fault(path, format!("expected headers by name, found {}", value.kind())));
    }
    let mut headers = Vec::new();
    for (name, source) in value.as_obj().into_iter().flat_map(|map| map.iter()) {
        let at = join(path, name);
        let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        match source.as_str() {
            Some(source) if plain => {
                headers.extend(Expression::compile(source, &at, faults).map(|e| (name.to_ascii_lowercase(), e)))
            }
            Some(_) => faults.push(fault(at, "a header's name has letters, digits and dashes only")),
            None => faults.push(fault(at, "expected a jq expression; a fixed text is written '\"like this\"'")),
        }
    }
    headers
}

fn list<'v>(value: &'v Value, path: &str, faults: &mut Vec<ConfigFault>) -> &'v [Value] {
    if !value.is_null() && value.as_arr().is_none() {
        faults.push(fault(path, format!("expected a list, found {}", value.kind())));
    }
    value.as_arr().unwrap_or_default()
}

fn template(s: &mut Section<'_>, faults: &mut Vec<ConfigFault>) -> Option<Template> {
    let at = s.path_of("path");
    let known = faults.len();
    let source = s.required("path", faults);
    if faults.len() > known { None } else { Template::compile(source, &at, faults) }
}

fn expression(s: &mut Section<'_>, key: &'static str, faults: &mut Vec<ConfigFault>) -> Option<Expression> {
    match s.get(key) {
        Value::Null => None,
        Value::Str(source) => Expression::compile(source, &s.path_of(key), faults),
        // `when: true` reads better than `when: "true"`.
        Value::Bool(flag) => Expression::compile(&flag.to_string(), &s.path_of(key), faults),
        other => {
            faults.push(fault(s.path_of(key), format!("expected a jq expression, found {}", other.kind())));
            None
        }
    }
}

fn required_expression(s: &mut Section<'_>, key: &'static str, faults: &mut Vec<ConfigFault>) -> Option<Expression> {
    if s.get(key).is_null() {
        s.required(key, faults);
        return None;
    }
    expression(s, key, faults)
}

/// A code is mostly a plain word: `duplicate_reference` needs no quotes, `.body.error.code` is an expression.
fn expression_or_word(s: &mut Section<'_>, key: &'static str, faults: &mut Vec<ConfigFault>) -> Option<Expression> {
    let path = s.path_of(key);
    let text = s.text(key, faults)?;
    let word = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let source = if word { format!("\"{text}\"") } else { text.to_owned() };
    Expression::compile(&source, &path, faults)
}

fn class(s: &mut Section<'_>, default: Option<OutcomeClass>, faults: &mut Vec<ConfigFault>) -> Option<OutcomeClass> {
    let text = match (s.get("class"), default) {
        (Value::Null, Some(default)) => return Some(default),
        _ => s.required("class", faults),
    };
    let found = OutcomeClass::ALL.into_iter().find(|class| class.as_str() == text);
    if found.is_none() && !text.is_empty() {
        let names: Vec<&str> = OutcomeClass::ALL.iter().map(|class| class.as_str()).collect();
        faults.push(fault(s.path_of("class"), format!("`{text}` is not one of {}", names.join(", "))));
    }
    found
}

fn identity(value: &Value, path: &str, default: Identity, faults: &mut Vec<ConfigFault>) -> Identity {
    match value.as_str() {
        None if value.is_null() => default,
        Some("native_key") => Identity::NativeKey,
        Some("unique_reference") => Identity::UniqueReference,
        Some("lookup_only") => Identity::LookupOnly,
        Some("none") => Identity::None,
        _ => {
            faults.push(fault(path, "expected native_key, unique_reference, lookup_only or none"));
            default
        }
    }
}

fn key_lifetime(s: &mut Section<'_>, default: Option<i64>, faults: &mut Vec<ConfigFault>) -> Option<i64> {
    match s.duration("key_lifetime", -1, faults) {
        -1 => default,
        ms => Some(ms),
    }
}
