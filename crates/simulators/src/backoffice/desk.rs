//! What the seven roles share: the front desk. Keys, references, errors, addresses, amounts and the event list.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::http::{Call, Response};
use crate::json::{Json, object};
use crate::ledger::{Row, Scope};
use crate::simulator::Context;
use crate::{money, time};

/// What a repeated reference does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    NativeKey,
    #[default]
    UniqueReference,
    LookupOnly,
}

/// A call that was not carried out, in the contract's error form.
#[derive(Debug)]
pub struct Refusal {
    status: u16,
    code: &'static str,
    message: String,
    extra: Vec<(&'static str, Json)>,
}

pub type Answer = Result<Response, Refusal>;

impl Refusal {
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Refusal { status, code, message: message.into(), extra: Vec::new() }
    }

    pub fn field(field: &str, message: impl Into<String>) -> Self {
        Refusal::new(400, "bad_request", message).with("field", field)
    }

    pub fn not_found(what: &str) -> Self {
        Refusal::new(404, "not_found", format!("there is no {what}"))
    }

    pub fn with(mut self, name: &'static str, value: impl Into<Json>) -> Self {
        self.extra.push((name, value.into()));
        self
    }

    pub fn response(self) -> Response {
        let mut error = object! { "code": self.code, "message": self.message };
        for (name, value) in self.extra {
            error.set(name, value);
        }
        Response::json(self.status, &object! { "error": error })
    }
}

/// The desk of one system.
pub struct Desk {
    identity: Identity,
    /// Where it is another one: by collection.
    identities: BTreeMap<String, Identity>,
    api_key: String,
    /// Per collection and reference: the ids of the records made under it, more than one only without uniqueness.
    references: HashMap<(&'static str, String), Vec<String>>,
    /// Records that never change once made, with the id of their parent.
    nested: HashMap<String, (String, Json)>,
    replays: HashMap<String, (String, Vec<u8>, Response)>,
    numbers: HashMap<&'static str, u64>,
    events: Vec<Json>,
    event_prefix: &'static str,
}

impl Desk {
    pub fn new(system: &'static str, identity: Identity, identities: BTreeMap<String, Identity>, api_key: String) -> Self {
        Desk {
            identity,
            identities,
            api_key,
            references: HashMap::new(),
            nested: HashMap::new(),
            replays: HashMap::new(),
            numbers: HashMap::new(),
            events: Vec::new(),
            event_prefix: system,
        }
    }

    pub fn authorize(&self, call: &Call) -> Result<(), Refusal> {
        if call.header("x-api-key") == Some(&self.api_key) {
            Ok(())
        } else {
            Err(Refusal::new(401, "unauthorized", "send the API key in X-Api-Key"))
        }
    }

    /// The next id of a kind: `SO-1`, `SO-2`, ...
    pub fn id(&mut self, prefix: &'static str) -> String {
        let number = self.numbers.entry(prefix).or_default();
        *number += 1;
        format!("{prefix}-{number}")
    }

    /// Refuses a reference that is already used, where references are unique.
    pub fn unused(&self, collection: &'static str, reference: &str) -> Result<(), Refusal> {
        let identity = self.identities.get(collection).copied().unwrap_or(self.identity);
        match self.ids(collection, reference).first() {
            Some(id) if identity == Identity::UniqueReference => Err(Refusal::new(
                409,
                "duplicate_reference",
                format!("external_reference '{reference}' exists already in {collection}"),
            )
            .with("existing_id", id.as_str())),
            _ => Ok(()),
        }
    }

    pub fn ids(&self, collection: &'static str, reference: &str) -> &[String] {
        // A tuple key of owned text cannot be looked up by parts; the copy is a short string.
        self.references.get(&(collection, reference.to_owned())).map_or(&[], Vec::as_slice)
    }

    /// The records of a collection that share their reference, by reference.
    pub fn repeated(&self, collection: &'static str) -> impl Iterator<Item = &[String]> {
        self.references.iter().filter(move |((c, _), ids)| *c == collection && ids.len() > 1).map(|(_, ids)| ids.as_slice())
    }

    pub fn note(&mut self, collection: &'static str, reference: &str, id: &str) {
        self.references.entry((collection, reference.to_owned())).or_default().push(id.to_owned());
    }

    /// Keeps a record that will not change and answers it.
    pub fn keep(&mut self, collection: &'static str, parent: &str, record: Json, status: u16) -> Response {
        self.note(collection, record.text("external_reference"), record.text("id"));
        let response = Response::json(status, &record);
        self.nested.insert(record.text("id").to_owned(), (parent.to_owned(), record));
        response
    }

    /// The records of a nested collection under one parent with one reference.
    pub fn lookup(&self, collection: &'static str, parent: &str, call: &Call) -> Answer {
        let reference = call
            .query("external_reference")
            .ok_or_else(|| Refusal::field("external_reference", "look a record up with ?external_reference="))?;
        let found = self.ids(collection, reference).iter().filter_map(|id| self.nested.get(id)).filter(|(p, _)| p == parent);
        Ok(data(found.map(|(_, record)| record.clone()).collect()))
    }

    pub fn nested(&self, id: &str) -> Option<&Json> {
        self.nested.get(id).map(|(_, record)| record)
    }

    /// The answer given earlier under this key, or a refusal if the key is missing or was used for something else.
    pub fn replay(&self, call: &Call) -> Result<Option<Response>, Refusal> {
        if self.identity != Identity::NativeKey || call.method != "POST" {
            return Ok(None);
        }
        let key = call
            .header("idempotency-key")
            .ok_or_else(|| Refusal::new(400, "key_required", "send an Idempotency-Key with every POST that changes something"))?;
        match self.replays.get(key) {
            Some((path, body, response)) if *path == call.request.path_and_query && *body == call.request.body => {
                Ok(Some(response.clone().with("idempotent-replayed", "true")))
            }
            Some(_) => Err(Refusal::new(409, "key_reused", "this Idempotency-Key belongs to another request")),
            None => Ok(None),
        }
    }

    pub fn remember(&mut self, call: &Call, response: &Response) {
        let keeps = self.identity == Identity::NativeKey && call.method == "POST" && response.is_success();
        if let Some(key) = call.header("idempotency-key").filter(|_| keeps) {
            let request = (call.request.path_and_query.clone(), call.request.body.clone(), response.clone());
            self.replays.insert(key.to_owned(), request);
        }
    }

    /// Makes an event, keeps it for `GET /events` and queues it as a notification.
    pub fn event(&mut self, context: &mut Context, scope: &Scope, kind: &str, reference: &str, sequence: u64, more: Json) {
        let position = self.events.len() as u64 + 1;
        let id = format!("evt_{}_{position}", self.event_prefix);
        let mut event = object! {
            "id": id.as_str(),
            "type": kind,
            "sequence": sequence,
            "occurred_at": time::rfc3339(context.now),
            "external_reference": reference,
            "channel": &scope.channel,
            "site": &scope.site,
            "order": &scope.order,
        };
        if let Json::Object(members) = more {
            for (name, value) in members {
                event.set(name, value);
            }
        }
        context.notify(0, id, event.render());
        event.set("position", position);
        self.events.push(event);
    }

    /// `GET /events?after=N&limit=M`.
    pub fn events(&self, call: &Call) -> Response {
        let number = |name, default: usize| call.query(name).and_then(|v| v.parse().ok()).unwrap_or(default);
        data(self.events.iter().skip(number("after", 0)).take(number("limit", 100).min(1000)).cloned().collect())
    }
}

/// `{"data":[...]}`.
pub fn data(items: Vec<Json>) -> Response {
    Response::json(200, &object! { "data": items })
}

/// The order a creating body belongs to.
pub fn scope(body: &Json) -> Result<Scope, Refusal> {
    let part = |name: &'static str| -> Result<Arc<str>, Refusal> { Ok(Arc::from(required(body, name)?)) };
    Ok(Scope { channel: part("channel")?, site: part("site")?, order: part("order")? })
}

/// A text member that must be there and not be empty.
pub fn required<'a>(body: &'a Json, name: &str) -> Result<&'a str, Refusal> {
    match body.text(name) {
        "" => Err(Refusal::field(name, format!("'{name}' is required, as text"))),
        text => Ok(text),
    }
}

/// A required amount that fits its currency and is not negative.
pub fn amount(body: &Json, name: &str, currency: &str) -> Result<Decimal, Refusal> {
    match signed_amount(body, name, currency)? {
        amount if amount.is_sign_negative() && !amount.is_zero() => {
            Err(Refusal::field(name, format!("'{name}' must not be negative")))
        }
        amount => Ok(amount),
    }
}

/// A required amount that fits its currency.
pub fn signed_amount(body: &Json, name: &str, currency: &str) -> Result<Decimal, Refusal> {
    let amount = body.decimal(name).ok_or_else(|| Refusal::field(name, format!("'{name}' is required, as a decimal")))?;
    if money::to_minor(amount, currency).is_none() {
        let message = format!("'{name}' is {amount}, but {currency} has {} decimals", money::scale(currency));
        return Err(Refusal::new(422, "amount_scale", message).with("field", name));
    }
    Ok(money::round(amount, currency))
}

/// A quantity above zero.
pub fn quantity(line: &Json) -> Result<Decimal, Refusal> {
    line.decimal("quantity")
        .filter(|q| q.is_sign_positive() && !q.is_zero())
        .map(|q| q.normalize())
        .ok_or_else(|| Refusal::field("lines.quantity", "every line needs a quantity above zero"))
}

/// The lines of a body, at least one and at most 1000.
pub fn lines(body: &Json) -> Result<&[Json], Refusal> {
    match body.list("lines") {
        [] => Err(Refusal::field("lines", "at least one line is required")),
        lines if lines.len() > 1000 => Err(Refusal::field("lines", "at most 1000 lines")),
        lines => Ok(lines),
    }
}

/// Refuses an address no carrier could use.
pub fn address(body: &Json, name: &'static str, needed: bool) -> Result<(), Refusal> {
    let Some(address) = body.get(name).filter(|a| **a != Json::Null) else {
        return if needed { Err(Refusal::field(name, format!("'{name}' is required"))) } else { Ok(()) };
    };
    let wrong = |field: &str, why: &str| {
        Err(Refusal::new(422, "malformed_address", format!("{name}.{field} {why}")).with("field", format!("{name}.{field}")))
    };
    for field in ["name", "street", "city"] {
        if address.text(field).trim().is_empty() {
            return wrong(field, "is missing");
        }
    }
    let country = address.text("country");
    if country.len() != 2 || !country.bytes().all(|b| b.is_ascii_uppercase()) {
        return wrong("country", "must be an ISO 3166-1 alpha-2 code");
    }
    let region = address.text("region");
    if region.len() > 3 || !region.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()) {
        return wrong("region", "must be the ISO 3166-2 subdivision part");
    }
    if address.text("postal_code").trim().is_empty() && !["KW", "AE", "QA", "HK", "IE"].contains(&country) {
        return wrong("postal_code", "is missing");
    }
    Ok(())
}

/// A ledger row with what nearly every row has.
pub fn row(operation: &'static str, call_key: &str, scope: &Scope, reference: &str, parent: &str, state: &str) -> Row {
    Row {
        operation,
        key: call_key.to_owned(),
        scope: scope.clone(),
        reference: reference.to_owned(),
        parent: parent.to_owned(),
        state: state.to_owned(),
        ..Row::default()
    }
}

/// What identifies a call: its key if it has one, else the caller's reference.
pub fn call_key<'a>(call: &Call<'a>, reference: &'a str) -> &'a str {
    call.header("idempotency-key").unwrap_or(reference)
}
