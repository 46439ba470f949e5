//! Stripe: PaymentIntents, refunds, idempotency keys and signed events, as the public documentation describes them. Sources and
//! limits: `README.md` in this folder.
//!
//! It knows nothing of customers, disputes, payouts or any payment method but its test cards.

mod capture;
mod keys;
mod objects;
mod params;
mod query;
mod refund;
mod service;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::http::{Call, Response};
use crate::json::{Json, object};
use crate::ledger::{Row, Scope};
use crate::money;
use crate::rng::Rng;
use crate::simulator::Context;
use keys::Keys;
use objects::{Charge, Intent, Refund, Status};
use params::Params;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub secret_key: String,
    pub webhook_secret: String,
    /// Whether `final_capture=false` is allowed; without it a partial capture releases the rest.
    pub multicapture: bool,
    /// How long a key is remembered; after that the same key is a new call.
    pub key_lifetime_ms: i64,
    /// How long a change takes to show in a search.
    pub search_lag_ms: i64,
    /// How long an authorisation lives uncaptured.
    pub authorisation_lifetime_ms: i64,
    /// Events leave this long after the change, drawn per event.
    pub event_after_ms: (u64, u64),
    /// Whether authorisations made in the storefront send events too.
    pub announce_seeded: bool,
}

impl Default for Config {
    fn default() -> Self {
        const DAY_MS: i64 = 86_400_000;
        Config {
            secret_key: "sk_test_crossdock".into(),
            webhook_secret: "whsec_crossdock_sim".into(),
            multicapture: false,
            key_lifetime_ms: DAY_MS,
            search_lag_ms: 1_000,
            authorisation_lifetime_ms: 7 * DAY_MS,
            event_after_ms: (20, 300),
            announce_seeded: false,
        }
    }
}

pub struct Stripe {
    config: Config,
    keys: Keys,
    intents: Vec<Intent>,
    charges: Vec<Charge>,
    refunds: Vec<Refund>,
    by_id: HashMap<String, usize>,
    /// Intents by each metadata pair, for search.
    by_metadata: HashMap<(String, String), Vec<usize>>,
    events: Vec<Json>,
    /// What happens by itself: authorisations that end, refunds that settle or fail.
    pending: BTreeMap<(i64, u64), Pending>,
    pending_sequence: u64,
    serial: u64,
}

enum Pending {
    Expire(usize),
    SettleRefund(usize, &'static str),
}

/// A refused call. `kept` says whether the answer is stored under the idempotency key.
#[derive(Debug)]
struct Refusal {
    status: u16,
    error: Json,
    kept: bool,
}

type Answer = Result<Response, Refusal>;

impl Refusal {
    /// A parameter that cannot be meant: refused before execution, so nothing is stored.
    fn parameter(param: &str, code: &str, message: impl Into<String>) -> Self {
        let error = object! { "type": "invalid_request_error", "code": code, "message": message.into(), "param": param };
        Refusal { status: 400, error, kept: false }
    }

    /// A call the object's state forbids: executed and stored.
    fn state(code: &str, message: impl Into<String>) -> Self {
        let error = object! { "type": "invalid_request_error", "code": code, "message": message.into() };
        Refusal { status: 400, error, kept: true }
    }

    fn missing(what: &str, id: &str) -> Self {
        let message = format!("No such {what}: '{id}'");
        let error = object! { "type": "invalid_request_error", "code": "resource_missing", "message": message, "param": "id" };
        Refusal { status: 404, error, kept: false }
    }

    fn plain(status: u16, kind: &str, message: &str) -> Self {
        Refusal { status, error: object! { "type": kind, "message": message }, kept: false }
    }

    fn response(self) -> Response {
        Response::json(self.status, &object! { "error": self.error })
    }
}

/// The id of the intent a storefront makes for an order, the same wherever it is asked for.
pub fn intent_id(site: &str, order: &str) -> String {
    format!("pi_{}", Rng::named(0x5eed, &format!("{site}/{order}")).token(24))
}

impl Stripe {
    pub fn new(config: Config) -> Self {
        Stripe {
            config,
            keys: Keys::default(),
            intents: Vec::new(),
            charges: Vec::new(),
            refunds: Vec::new(),
            by_id: HashMap::new(),
            by_metadata: HashMap::new(),
            events: Vec::new(),
            pending: BTreeMap::new(),
            pending_sequence: 0,
            serial: 0,
        }
    }

    /// An authorisation the storefront made at checkout. Answers the intent's id.
    pub fn seed_intent(
        &mut self,
        scope: &Scope,
        amount: Decimal,
        currency: &str,
        context: &mut Context,
    ) -> Result<String, String> {
        let minor = money::to_minor(amount, currency).ok_or_else(|| format!("{amount} has too many decimals for {currency}"))?;
        let id = intent_id(&scope.site, &scope.order);
        if self.by_id.contains_key(&id) {
            return Err(format!("order '{}' has an intent already", scope.order));
        }
        let metadata = [("order", &scope.order), ("channel", &scope.channel), ("site", &scope.site)];
        let metadata = metadata.map(|(k, v)| (k.to_owned(), v.to_string())).to_vec();
        let index = self.add_intent(id.clone(), minor, currency.to_ascii_lowercase(), true, metadata, context);
        self.intents[index].payment_method = Some("pm_card_visa".into());
        let announce = self.config.announce_seeded;
        self.authorise(index, "storefront", announce, context);
        Ok(id)
    }

    fn add_intent(
        &mut self,
        id: String,
        amount: i64,
        currency: String,
        manual: bool,
        metadata: Vec<(String, String)>,
        context: &Context,
    ) -> usize {
        let index = self.intents.len();
        let of = |name: &str| Arc::from(metadata.iter().find(|(k, _)| k == name).map_or("", |(_, v)| v.as_str()));
        self.intents.push(Intent {
            scope: Scope { channel: of("channel"), site: of("site"), order: of("order") },
            amount,
            capturable: 0,
            received: 0,
            currency,
            manual,
            status: Status::RequiresPaymentMethod,
            payment_method: None,
            charge: None,
            metadata: Vec::new(),
            created: context.now,
            changed: context.now,
            canceled_at: None,
            cancellation_reason: None,
            last_error: None,
            captures: 0,
            expiry: None,
            id: id.clone(),
        });
        self.by_id.insert(id, index);
        self.set_metadata(index, metadata, context.now);
        index
    }

    fn set_metadata(&mut self, index: usize, pairs: Vec<(String, String)>, now: i64) {
        for (name, value) in pairs {
            let indexed = self.by_metadata.entry((name.clone(), value.clone())).or_default();
            if !indexed.contains(&index) {
                indexed.push(index);
            }
            let metadata = &mut self.intents[index].metadata;
            match metadata.iter_mut().find(|(n, _)| *n == name) {
                Some(pair) => pair.1 = value,
                None => metadata.push((name, value)),
            }
        }
        self.intents[index].changed = now;
    }

    /// The card said yes: money is held, or taken at once if capture is automatic.
    fn authorise(&mut self, index: usize, key: &str, announce: bool, context: &mut Context) {
        let charge_id = self.new_id("ch_", context);
        let intent = &mut self.intents[index];
        let charge = Charge {
            id: charge_id.clone(),
            intent: index,
            amount: intent.amount,
            captured: 0,
            refunded: 0,
            created: context.now,
        };
        intent.charge = Some(self.charges.len());
        intent.status = Status::RequiresCapture;
        intent.capturable = intent.amount;
        intent.last_error = None;
        intent.changed = context.now;
        self.by_id.insert(charge_id, self.charges.len());
        self.charges.push(charge);
        let amount = intent.amount;
        let expires_at = context.now.saturating_add(self.config.authorisation_lifetime_ms);
        self.book("authorise", key, index, &self.intents[index].id.clone(), "", amount, "requires_capture", context);
        if self.intents[index].manual {
            if announce {
                self.intent_event("payment_intent.amount_capturable_updated", index, key, context);
            }
            self.intents[index].expiry = Some(self.later(expires_at, Pending::Expire(index)));
        } else {
            self.take(index, amount, true, key, context);
        }
    }

    fn later(&mut self, at: i64, what: Pending) -> (i64, u64) {
        self.pending_sequence += 1;
        self.pending.insert((at, self.pending_sequence), what);
        (at, self.pending_sequence)
    }

    /// An intent that holds nothing any more has nothing to expire.
    fn stop_expiry(&mut self, index: usize) {
        if let Some(key) = self.intents[index].expiry.take() {
            self.pending.remove(&key);
        }
    }

    fn new_id(&mut self, prefix: &str, context: &mut Context) -> String {
        self.serial += 1;
        format!("{prefix}{}{:x}", context.rng.token(18), self.serial)
    }

    #[allow(clippy::too_many_arguments, reason = "a ledger row has that many columns")]
    fn book(
        &self,
        operation: &'static str,
        key: &str,
        index: usize,
        reference: &str,
        parent: &str,
        minor: i64,
        state: &str,
        context: &mut Context,
    ) {
        let intent = &self.intents[index];
        let currency = intent.currency.to_ascii_uppercase();
        let row = Row {
            operation,
            key: key.to_owned(),
            scope: intent.scope.clone(),
            reference: reference.to_owned(),
            parent: parent.to_owned(),
            amount: Some(money::from_minor(minor, &currency)),
            currency,
            state: state.to_owned(),
            ..Row::default()
        };
        context.ledger.add(context.now, row);
    }

    fn intent_event(&mut self, kind: &str, index: usize, key: &str, context: &mut Context) {
        let object = self.intents[index].json(self);
        self.event(kind, object, key, context);
    }

    fn event(&mut self, kind: &str, object: Json, key: &str, context: &mut Context) {
        let id = self.new_id("evt_", context);
        let key = if key.is_empty() || key == "storefront" { Json::Null } else { Json::from(key) };
        let event = object! {
            "id": id.as_str(), "object": "event", "api_version": objects::API_VERSION, "created": context.now.div_euclid(1000),
            "data": object! { "object": object }, "livemode": false, "pending_webhooks": 1i64,
            "request": object! { "id": format!("req_{}", context.rng.token(14)), "idempotency_key": key }, "type": kind,
        };
        let (from, to) = self.config.event_after_ms;
        let after = context.rng.between(from..=to);
        context.notify(after, id, event.render());
        self.events.push(event);
    }

    fn route(&mut self, call: &Call, key: &str, context: &mut Context) -> Answer {
        let params = if call.method == "POST" { Params::body(call)? } else { Params::query(call) };
        match (call.method, &call.path()[..]) {
            ("POST", ["v1", "payment_intents"]) => self.create_intent(&params, key, context),
            ("GET", ["v1", "payment_intents"]) => Ok(self.list_intents(&params)),
            ("GET", ["v1", "payment_intents", "search"]) => self.search(&params, context.now),
            ("GET", ["v1", "payment_intents", id]) => Ok(Response::json(200, &self.intents[self.intent(id)?].json(self))),
            ("POST", ["v1", "payment_intents", id]) => self.update_intent(id, &params, context),
            ("POST", ["v1", "payment_intents", id, "confirm"]) => self.confirm(id, &params, key, context),
            ("POST", ["v1", "payment_intents", id, "capture"]) => self.capture(id, &params, key, context),
            ("POST", ["v1", "payment_intents", id, "cancel"]) => self.cancel(id, &params, key, context),
            ("GET", ["v1", "charges", id]) => {
                let index =
                    self.by_id.get(*id).filter(|_| id.starts_with("ch_")).ok_or_else(|| Refusal::missing("charge", id))?;
                Ok(Response::json(200, &self.charges[*index].json(self)))
            }
            ("POST", ["v1", "refunds"]) => self.refund(&params, key, context),
            ("GET", ["v1", "refunds"]) => self.list_refunds(&params),
            ("GET", ["v1", "refunds", id]) => {
                let index =
                    self.by_id.get(*id).filter(|_| id.starts_with("re_")).ok_or_else(|| Refusal::missing("refund", id))?;
                Ok(Response::json(200, &self.refunds[*index].json(self)))
            }
            ("GET", ["v1", "events"]) => Ok(query::page(&self.events, &params, "/v1/events", Json::clone)),
            (method, _) => {
                let message = format!("Unrecognized request URL ({method}: {}).", call.request.path_and_query);
                Err(Refusal::plain(404, "invalid_request_error", &message))
            }
        }
    }

    fn intent(&self, id: &str) -> Result<usize, Refusal> {
        self.by_id.get(id).copied().filter(|_| id.starts_with("pi_")).ok_or_else(|| Refusal::missing("payment_intent", id))
    }

    fn authorized(&self, call: &Call) -> bool {
        use base64::Engine as _;
        let header = call.header("authorization").unwrap_or("");
        let basic = || base64::engine::general_purpose::STANDARD.decode(header.strip_prefix("Basic ")?).ok();
        header.strip_prefix("Bearer ").is_some_and(|k| k == self.config.secret_key)
            || basic().is_some_and(|user| user == format!("{}:", self.config.secret_key).as_bytes())
    }
}
