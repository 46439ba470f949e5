//! A JSON-over-HTTP system that is described wholly in the landscape: its requests, what its answers mean, how an effect is found
//! again, and the messages it sends.
//!
//! Everything that differs between systems is configuration; what is here is the same for all: expressions see one context, rules
//! are tried in order, and what no rule says follows the common table. It deliberately has no scripting beyond jq and keeps nothing
//! between calls. `README.md` is the reference of the settings.

mod expression;
mod settings;
#[cfg(test)]
mod tests;

use crossdock_canonical::{Operation, OrderRef, Outcome, OutcomeClass, SystemName, Timestamp, outcome};
use crossdock_connect::classify::{self, Credentials, Nature};
use crossdock_connect::config::{ConfigFault, SystemConfig};
use crossdock_connect::http::{self, Method, Request, Response, percent};
use crossdock_connect::secret::Secrets;
use crossdock_connect::{
    About, Call, Capability, Connector, Exchange, Message, Next, NextPoll, NextProbe, PrepareError, Prepared, Probe, Token,
    WebhookError,
};
use crossdock_value::{Value, value};
use expression::Expression;
use settings::{Action, Auth, Compiled, Find, Finding, Step};
use std::sync::Arc;

/// Stands in a stored path for an id that is looked up when the attempt begins. All its characters survive percent-encoding.
const FOUND: &str = "~found~";
/// Messages that one webhook or one page may carry.
const MESSAGES_MAX: usize = 1_000;

struct HttpJson {
    compiled: Compiled,
    fingerprint: Arc<str>,
}

pub fn build(config: &SystemConfig, secrets: &Secrets) -> Result<Box<dyn Connector>, Vec<ConfigFault>> {
    let mut faults = Vec::new();
    let compiled = settings::compile(config, secrets, &mut faults);
    if faults.is_empty() { Ok(Box::new(HttpJson { compiled, fingerprint: config.fingerprint() })) } else { Err(faults) }
}

/// What every expression about a call sees.
fn context(call: &Call) -> Value {
    value!({
        "key": (&call.key),
        "reference": (&call.reference),
        "operation": (call.operation.as_str()),
        "order": {
            "channel": (call.order.channel.as_str()),
            "site": (call.order.site.as_str()),
            "number": (call.order.number.as_str()),
            "reference": (call.order.to_string()),
            "id": (call.order.order_id()),
        },
        "args": (&call.args),
        "document": (&call.document),
        "identities": (&call.identities),
        "at": (call.at.to_string()),
    })
}

/// The context together with an answer.
fn with_answer(context: &Value, response: &Response, record: Option<&Expression>) -> Result<Value, String> {
    let mut context = context.clone();
    context.insert("status", i64::from(response.status));
    context.insert("headers", headers_of(&response.headers));
    context.insert("body", classify::body(response));
    let record = match record {
        Some(record) => record.run(&context)?,
        None => context.get("body").clone(),
    };
    context.insert("record", record);
    Ok(context)
}

fn headers_of(headers: &[(String, String)]) -> Value {
    crossdock_value::obj(headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.as_str())))
}

/// The requests of a step list, with the look-up of a missing id in front.
fn requests(
    find: Option<&Find>,
    steps: &[&Step],
    context: &Value,
    overrides: Option<&expression::Body>,
) -> Result<Vec<Request>, (String, String)> {
    let at = |target: &'static str| move |reason: String| (target.to_owned(), reason);
    let mut context = context.clone();
    let mut requests = Vec::new();
    if let Some(find) = find {
        let known = match &find.known {
            Some(known) => known.run(&context).map_err(at("find.known"))?,
            None => Value::Null,
        };
        if known.is_null() {
            requests.push(Request::new(Method::Get, find.path.run(&context).map_err(at("find.path"))?));
            context.insert("found", FOUND);
        } else {
            context.insert("found", known);
        }
    }
    for (n, step) in steps.iter().enumerate() {
        let mut request = Request::new(step.method, step.path.run(&context).map_err(at("path"))?);
        for (name, value) in &step.headers {
            let text = value.text(&context).map_err(|reason| (format!("headers.{name}"), reason))?;
            if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
                return Err((format!("headers.{name}"), "a header's value has no line breaks".into()));
            }
            request.headers.push((name.clone(), text));
        }
        let mut body = match &step.body {
            Some(body) => Some(body.run(&context)?),
            None => None,
        };
        if let (Some(overrides), true) = (overrides, n + 1 == steps.len()) {
            overrides.extend(&context, body.get_or_insert(Value::Null))?;
        }
        requests.push(match body {
            Some(body) => request.json(crossdock_value::to_json(&body)),
            None => request,
        });
    }
    Ok(requests)
}

/// What an answer of an operation is read for.
#[derive(Clone, Copy)]
struct Gives<'a> {
    nature: Nature,
    evidence: Option<&'a Expression>,
    identities: Option<&'a Expression>,
}

impl<'a> Gives<'a> {
    fn of(action: &'a Action) -> Self {
        Self { nature: action.nature, evidence: action.evidence.as_ref(), identities: action.identities.as_ref() }
    }

    /// Taking something back tells of nothing.
    const NOTHING: Self = Self { nature: Nature::Change, evidence: None, identities: None };
}

/// What a run through the requests does next.
enum Turn<'r> {
    Send(Request),
    /// The `n`-th step was answered so.
    Answered(usize, &'r Response),
    /// The id was not found.
    NotFound,
    Broken(Outcome),
}

impl HttpJson {
    fn action(&self, operation: Operation) -> Option<&Action> {
        self.compiled.operations.get(&operation)
    }

    /// The steps that this call takes. The same call always takes the same.
    fn steps<'s>(&self, action: &'s Action, context: &Value) -> Result<Vec<&'s Step>, (String, String)> {
        let mut taken = Vec::new();
        for step in &action.steps {
            let applies = match &step.when {
                Some(when) => when.test(context).map_err(|reason| ("when".to_owned(), reason))?,
                None => true,
            };
            if applies {
                taken.push(step);
            }
        }
        if taken.is_empty() { Err(("when".to_owned(), "no step applies to this call".to_owned())) } else { Ok(taken) }
    }

    fn credentials(&self) -> Credentials {
        match self.compiled.auth {
            Auth::Oauth2(_) => Credentials::Token,
            Auth::None | Auth::Header { .. } => Credentials::Fixed,
        }
    }

    /// Walks the requests: the look-up if there is one, then each step. `done` says whether an answer lets the next one follow.
    fn walk<'r>(
        &self,
        action: &Action,
        requests: &[Request],
        exchanges: &'r [Exchange],
        context: &Value,
        nature: Nature,
        done: impl Fn(usize, &Response) -> bool,
    ) -> Turn<'r> {
        let looks_up = requests.iter().any(|request| request.target.contains(FOUND));
        let mut found = None;
        for (n, exchange) in exchanges.iter().enumerate() {
            let is_lookup = looks_up && n == 0;
            let nature = if is_lookup { Nature::Read } else { nature };
            let response = match &exchange.answer {
                Ok(response) => response,
                Err(error) => return Turn::Broken(classify::broken(error, nature)),
            };
            if is_lookup {
                match self.find(action, context, response) {
                    Ok(Some(id)) => found = Some(id),
                    Ok(None) => return Turn::NotFound,
                    Err(outcome) => return Turn::Broken(outcome),
                }
                continue;
            }
            let step = n - usize::from(looks_up);
            if n + 1 == requests.len() || !done(step, response) {
                return Turn::Answered(step, response);
            }
        }
        let Some(request) = requests.get(exchanges.len()) else {
            return Turn::Broken(Outcome::misconfigured("stored_request", "the stored requests do not fit their answers"));
        };
        let mut request = request.clone();
        if let Some(id) = found {
            request.target = request.target.replace(FOUND, &percent(&id));
        }
        Turn::Send(request)
    }

    fn find(&self, action: &Action, context: &Value, response: &Response) -> Result<Option<String>, Outcome> {
        let Some(find) = &action.find else { return Ok(None) };
        if response.status == 404 {
            return Ok(None);
        }
        if !response.is_success() {
            return Err(classify::answered(response, Nature::Read, self.credentials()));
        }
        let answered = with_answer(context, response, None).map_err(|reason| Outcome::misconfigured("find", reason))?;
        match find.id.run(&answered).map_err(|reason| Outcome::misconfigured("find.id", reason))? {
            Value::Null => Ok(None),
            Value::Str(id) => Ok(Some(id.to_string())),
            other => Ok(Some(crossdock_value::to_json_string(&other))),
        }
    }

    /// The outcome of one step's answer: the first rule that fits, else the common table.
    fn outcome(&self, gives: Gives<'_>, step: &Step, context: &Value, response: &Response) -> Outcome {
        self.try_outcome(gives, step, context, response).unwrap_or_else(|reason| {
            let outcome = classify::answered(response, gives.nature, self.credentials());
            match outcome.class {
                // It is applied; what failed is our reading of it. The probe may read more.
                OutcomeClass::Done | OutcomeClass::Accepted if gives.nature == Nature::Change => {
                    Outcome::unknown("unreadable_answer", reason)
                }
                OutcomeClass::Done | OutcomeClass::Accepted => Outcome::misconfigured("unreadable_answer", reason),
                _ => outcome,
            }
        })
    }

    fn try_outcome(&self, gives: Gives<'_>, step: &Step, context: &Value, response: &Response) -> Result<Outcome, String> {
        let answered = with_answer(context, response, step.record.as_ref())?;
        let mut outcome = classify::answered(response, gives.nature, self.credentials());
        let mut rule = None;
        for candidate in &step.outcomes {
            if candidate.when.test(&answered)? {
                rule = Some(candidate);
                break;
            }
        }
        if let Some(rule) = rule {
            outcome.class = rule.class;
            outcome.code = match &rule.code {
                Some(code) => code.text(&answered)?,
                None if rule.class == OutcomeClass::Done => String::new(),
                None => format!("http_{}", response.status),
            };
            outcome.retry_after_ms = match &rule.retry_after {
                Some(seconds) => seconds
                    .run(&answered)?
                    .as_decimal()
                    .and_then(|s| (s * crossdock_value::Decimal::from(1_000)).round().try_into().ok()),
                None => classify::wait(rule.class, response),
            };
        }
        let evidence = rule.and_then(|rule| rule.evidence.as_ref());
        let identities = rule.and_then(|rule| rule.identities.as_ref());
        match outcome.class {
            OutcomeClass::Done | OutcomeClass::Accepted => {
                let evidence = evidence.or(if outcome.class == OutcomeClass::Done { gives.evidence } else { None });
                if let Some(evidence) = evidence {
                    outcome.evidence = evidence.run(&answered)?;
                }
                let identities = identities.or(if outcome.class == OutcomeClass::Done { gives.identities } else { None });
                if let Some(identities) = identities {
                    outcome.identities = read_identities(&identities.run(&answered)?)?;
                }
            }
            _ => {
                if let Some(evidence) = evidence {
                    outcome.evidence = evidence.run(&answered)?;
                }
                outcome.text = classify::excerpt(&response.body);
            }
        }
        Ok(outcome)
    }

    fn verdict(&self, action: &Action, context: &Value, response: &Response) -> Result<Probe, String> {
        let probe = action.probe.as_ref().ok_or("no probe is configured")?;
        let answered = with_answer(context, response, probe.step.record.as_ref())?;
        for verdict in &probe.verdicts {
            if !verdict.when.test(&answered)? {
                continue;
            }
            let copies = match &verdict.records {
                Some(records) => copies(&records.run(&answered)?, context.get("identities"))?,
                None => Vec::new(),
            };
            if verdict.records.is_some() && copies.is_empty() {
                // Those that were there have been taken back.
                continue;
            }
            let code = match &verdict.code {
                Some(code) => code.text(&answered)?,
                None => String::new(),
            };
            let mut outcome = Outcome::new(verdict.class, code, "");
            if verdict.verdict == Finding::Absent {
                return Ok(Probe::Absent);
            }
            if let Some(evidence) = verdict.evidence.as_ref().or(action.evidence.as_ref()) {
                outcome.evidence = evidence.run(&answered)?;
            }
            if let (OutcomeClass::Done, Some(identities)) = (verdict.class, &action.identities) {
                outcome.identities = read_identities(&identities.run(&answered)?)?;
            }
            return Ok(match verdict.verdict {
                Finding::Absent => Probe::Absent,
                Finding::Partial => Probe::Partial(outcome),
                Finding::Complete => Probe::Complete(outcome),
                Finding::Several => Probe::Several { outcome, copies },
                Finding::MovedOn => Probe::MovedOn(outcome),
                Finding::Unclear => Probe::Unclear(Outcome { class: OutcomeClass::Unknown, ..outcome }),
            });
        }
        if response.status == 404 {
            return Ok(Probe::Absent);
        }
        let outcome = classify::answered(response, Nature::Read, self.credentials());
        Ok(Probe::Unclear(match outcome.class {
            OutcomeClass::Done => Outcome::unknown("no_verdict", "no verdict fits the answer"),
            _ => outcome,
        }))
    }

    /// Reads what a `messages` expression gives.
    fn messages(&self, expression: &Expression, input: &Value, raw: &Arc<[u8]>) -> Result<Vec<Message>, String> {
        let given = expression.run(input)?;
        let items = match &given {
            Value::Null => &[],
            Value::Arr(items) => items.as_slice(),
            Value::Obj(_) => std::slice::from_ref(&given),
            other => return Err(format!("messages are a list, not {}", other.kind())),
        };
        if items.len() > MESSAGES_MAX {
            return Err(format!("{} messages in one delivery; at most {MESSAGES_MAX} are taken", items.len()));
        }
        items.iter().map(|item| read_message(item, raw)).collect()
    }
}

/// What is there beside ours. Ours is what the identity map knows; when it knows none of them, the first.
fn copies(records: &Value, identities: &Value) -> Result<Vec<String>, String> {
    let ours: Vec<&str> = match identities.as_obj() {
        Some(kinds) => kinds
            .iter()
            .filter_map(|(_, names)| names.as_obj())
            .flat_map(|n| n.iter())
            .filter_map(|(_, id)| id.as_str())
            .collect(),
        None => Vec::new(),
    };
    let records = records.as_arr().ok_or("`records` gives no list")?;
    let ids = records.iter().map(|record| record.get("id").as_str().ok_or("a record has a text `id`"));
    let ids: Vec<&str> = ids.collect::<Result<_, _>>()?;
    let known = ids.iter().any(|id| ours.contains(id));
    let others = ids.iter().zip(records).enumerate().filter(|(n, (id, record))| {
        let is_ours = if known { ours.contains(id) } else { *n == 0 };
        !is_ours && record.get("gone").as_bool() != Some(true)
    });
    Ok(others.map(|(_, (id, _))| (*id).to_owned()).collect())
}

fn read_message(item: &Value, raw: &Arc<[u8]>) -> Result<Message, String> {
    let kind = item.get("kind").as_str().ok_or("a message has a `kind`")?;
    let about = match (item.get("order"), item.get("theirs")) {
        (Value::Str(order), _) => About::Order(OrderRef::parse(order).ok_or("`order` is `channel/site/number`")?),
        (Value::Obj(_), _) => {
            let part = |key: &str| item.get("order").get(key).as_str().ok_or(format!("`order.{key}` is missing"));
            let (channel, site, number) = (part("channel")?, part("site")?, part("number")?);
            About::Order(OrderRef { channel: channel.into(), site: site.into(), number: number.into() })
        }
        (_, theirs) => match (theirs.get("kind").as_str(), theirs.get("id").as_str()) {
            (Some(kind), Some(id)) => About::Theirs { kind: kind.to_owned(), id: id.to_owned() },
            _ => return Err("a message is about an `order`, or about `theirs: {kind, id}`".into()),
        },
    };
    let body = match item.get("body") {
        Value::Null => raw.clone(),
        body => Arc::from(crossdock_value::to_json(body)),
    };
    Ok(Message { id: item.get("id").as_str().map(str::to_owned), about, kind: kind.to_owned(), body })
}

fn read_identities(value: &Value) -> Result<Vec<outcome::Identity>, String> {
    let rows = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Arr(rows) => rows.as_slice(),
        Value::Obj(_) => std::slice::from_ref(value),
        other => return Err(format!("identities are a list of {{kind, ours, theirs}}, not {}", other.kind())),
    };
    let text = |row: &Value, key: &str| row.get(key).as_str().map(str::to_owned).ok_or(format!("an identity has a text `{key}`"));
    // A system that tells no id leaves `theirs` out; that is no fault.
    rows.iter()
        .filter(|row| !row.get("theirs").is_null())
        .map(|row| Ok(outcome::Identity { kind: text(row, "kind")?, ours: text(row, "ours")?, theirs: text(row, "theirs")? }))
        .collect()
}

impl Connector for HttpJson {
    fn capability(&self, operation: Operation) -> Option<Capability> {
        let action = self.action(operation)?;
        Some(Capability {
            identity: action.identity,
            key_lifetime_ms: action.key_lifetime_ms,
            settling_ms: action.settling_ms,
            probes: action.probe.is_some() || action.nature == Nature::Read,
            timeout_ms: action.timeout_ms,
            retracts: action.retract.is_some(),
        })
    }

    fn prepare(&self, call: &Call) -> Result<Prepared, PrepareError> {
        let Some(action) = self.action(call.operation) else {
            return Err(PrepareError::Unsupported { system: call.system.clone(), operation: call.operation });
        };
        let context = context(call);
        let requests = self
            .steps(action, &context)
            .and_then(|steps| requests(action.find.as_ref(), &steps, &context, action.overrides.as_ref()))
            .map_err(|(target, reason)| PrepareError::Mapping { target: format!("{}.{target}", call.operation), reason })?;
        Ok(Prepared { bytes: http::encode(&requests), mapping: self.fingerprint.clone() })
    }

    fn next(&self, call: &Call, prepared: &[u8], exchanges: &[Exchange]) -> Next {
        let (Some(action), Some(requests)) = (self.action(call.operation), http::decode(prepared)) else {
            return Next::End(Outcome::misconfigured("stored_request", "the stored requests cannot be read"));
        };
        let context = context(call);
        let Ok(steps) = self.steps(action, &context) else {
            return Next::End(Outcome::misconfigured("stored_request", "the steps of the call cannot be told any more"));
        };
        let outcome = |n: usize, response: &Response| match steps.get(n) {
            Some(step) => self.outcome(Gives::of(action), step, &context, response),
            None => Outcome::misconfigured("stored_request", "the stored requests have more steps than the configuration"),
        };
        let through = |n: usize, response: &Response| outcome(n, response).class == OutcomeClass::Done;
        match self.walk(action, &requests, exchanges, &context, action.nature, through) {
            Turn::Send(request) => Next::Send(request),
            Turn::Answered(n, response) => Next::End(outcome(n, response)),
            Turn::NotFound => {
                Next::End(Outcome::refused("record_not_found", "the record that this is about is not in the system"))
            }
            Turn::Broken(outcome) => Next::End(outcome),
        }
    }

    fn probe(&self, call: &Call, _prepared: &[u8], exchanges: &[Exchange]) -> NextProbe {
        let Some(action) = self.action(call.operation) else {
            return NextProbe::End(Probe::Unclear(Outcome::misconfigured("probe", "the operation is not configured any more")));
        };
        let Some(probe) = &action.probe else {
            // Reading again is harmless: there is nothing to look for.
            let probe = match action.nature {
                Nature::Read => Probe::Absent,
                Nature::Change => Probe::Unclear(Outcome::unknown("no_probe", "the system cannot be asked")),
            };
            return NextProbe::End(probe);
        };
        let context = context(call);
        let requests = match requests(action.find.as_ref(), &[&probe.step], &context, None) {
            Ok(requests) => requests,
            Err((target, reason)) => {
                return NextProbe::End(Probe::Unclear(Outcome::misconfigured("probe", format!("{target}: {reason}"))));
            }
        };
        match self.walk(action, &requests, exchanges, &context, Nature::Read, |_, _| true) {
            Turn::Send(request) => NextProbe::Send(request),
            Turn::Answered(_, response) => NextProbe::End(
                self.verdict(action, &context, response)
                    .unwrap_or_else(|reason| Probe::Unclear(Outcome::misconfigured("probe", reason))),
            ),
            // What it would belong to is not there.
            Turn::NotFound => NextProbe::End(Probe::Absent),
            Turn::Broken(outcome) => NextProbe::End(Probe::Unclear(outcome)),
        }
    }

    /// One request a copy, one after the other.
    fn retract(&self, call: &Call, copies: &[String], exchanges: &[Exchange]) -> Next {
        let Some(step) = self.action(call.operation).and_then(|action| action.retract.as_ref()) else {
            return Next::End(Outcome::refused("retract", "the configuration does not say how a copy is taken back"));
        };
        let context_of = |copy: &String| {
            let mut context = context(call);
            context.insert("copy", copy.as_str());
            context
        };
        if let (Some(exchange), Some(copy)) = (exchanges.last(), copies.get(exchanges.len().wrapping_sub(1))) {
            let outcome = match &exchange.answer {
                Ok(response) => self.outcome(Gives::NOTHING, step, &context_of(copy), response),
                Err(error) => classify::broken(error, Nature::Change),
            };
            if outcome.class != OutcomeClass::Done {
                return Next::End(outcome);
            }
        }
        let Some(copy) = copies.get(exchanges.len()) else { return Next::End(Outcome::done(Value::Null)) };
        match requests(None, &[step], &context_of(copy), None).map(|mut requests| requests.pop()) {
            Ok(Some(request)) => Next::Send(request),
            Ok(None) => Next::End(Outcome::misconfigured("retract", "there is no request")),
            Err((target, reason)) => Next::End(Outcome::misconfigured("retract", format!("{target}: {reason}"))),
        }
    }

    fn translate(&self, kind: &str, body: &[u8]) -> Result<Value, PrepareError> {
        let failed = |target: String, reason: String| PrepareError::Mapping { target, reason };
        let body = crossdock_value::parse(body, &Default::default()).map_err(|e| failed(String::new(), e.to_string()))?;
        let Some(translation) = self.compiled.translate.get(kind) else { return Ok(body) };
        let input = value!({"body": body});
        let made = translation.own.run(&input).and_then(|mut made| {
            if let Some(added) = &translation.added {
                added.extend(&input, &mut made)?;
            }
            Ok(made)
        });
        made.map_err(|(target, reason)| failed(format!("{kind}.{target}"), reason))
    }

    fn webhook(&self, system: &SystemName, request: &Request, now: Timestamp) -> Result<Vec<Message>, WebhookError> {
        let Some(inbound) = &self.compiled.inbound else { return Err(WebhookError::Unsupported(system.clone())) };
        inbound.verifier.verify(request, now)?;
        let body =
            crossdock_value::parse(&request.body, &Default::default()).map_err(|e| WebhookError::Malformed(e.to_string()))?;
        let input = value!({"headers": (headers_of(&request.headers)), "body": body});
        self.messages(&inbound.messages, &input, &request.body).map_err(WebhookError::Malformed)
    }

    fn poll(&self, cursor: &Value, exchanges: &[Exchange], now: Timestamp) -> Option<NextPoll> {
        let poll = self.compiled.poll.as_ref()?;
        let misconfigured = |reason: String| NextPoll::Failed(Outcome::misconfigured("poll", reason));
        let input = value!({"cursor": cursor, "now": (now.to_string())});
        let response = match exchanges.last().map(|exchange| &exchange.answer) {
            None => {
                return Some(match poll.path.run(&input) {
                    Ok(target) => NextPoll::Send(Request::new(Method::Get, target)),
                    Err(reason) => misconfigured(reason),
                });
            }
            Some(Err(error)) => return Some(NextPoll::Failed(classify::broken(error, Nature::Read))),
            Some(Ok(response)) if !response.is_success() => {
                return Some(NextPoll::Failed(classify::answered(response, Nature::Read, self.credentials())));
            }
            Some(Ok(response)) => response,
        };
        let page = || -> Result<NextPoll, String> {
            let answered = with_answer(&input, response, None)?;
            let rows = poll.rows.run(&answered)?;
            let mut messages = Vec::new();
            for row in rows.as_arr().ok_or("`rows` gives no list")? {
                let raw: Arc<[u8]> = Arc::from(crossdock_value::to_json(row));
                messages.extend(self.messages(&poll.messages, &value!({"headers": {}, "body": row}), &raw)?);
            }
            let more = match &poll.more {
                Some(more) => more.test(&answered)?,
                None => false,
            };
            Ok(NextPoll::Page { messages, cursor: poll.cursor.run(&answered)?, more })
        };
        Some(page().unwrap_or_else(misconfigured))
    }

    fn token_request(&self) -> Option<Request> {
        match &self.compiled.auth {
            Auth::Oauth2(client) => Some(client.request()),
            Auth::None | Auth::Header { .. } => None,
        }
    }

    fn token(&self, response: &Response) -> Result<Token, Outcome> {
        match &self.compiled.auth {
            Auth::Oauth2(client) => client.token(response),
            Auth::None | Auth::Header { .. } => Err(Outcome::misconfigured("no_token", "this system needs no token")),
        }
    }

    fn authorize(&self, request: &mut Request, token: Option<&Token>) {
        match (&self.compiled.auth, token) {
            (Auth::Header { name, value }, _) => request.headers.push((name.clone(), value.expose().to_owned())),
            (Auth::Oauth2(_), Some(token)) => request.headers.push(("authorization".into(), format!("Bearer {}", token.value))),
            (Auth::Oauth2(_), None) | (Auth::None, _) => {}
        }
    }
}
