//! Stripe PaymentIntents: verify, authorize, capture, cancel and refund, and the signed events about them.
//!
//! The engine's key is Stripe's `Idempotency-Key`. Stripe stores the first answer under a key, a 500 included, so an unclear end is
//! never resent under the same key: the object is looked up, and the engine makes a new generation only if it is not there.
//! It deliberately knows nothing of checkout: intents that a storefront made are verified, not changed.

mod mapping;
#[cfg(test)]
mod tests;
mod webhook;
mod wire;

use crossdock_canonical::{Money, Operation, Outcome, OutcomeClass, SystemName, Timestamp};
use crossdock_connect::classify::{self, Nature};
use crossdock_connect::config::{ConfigFault, Section, SystemConfig};
use crossdock_connect::http::{self, Method, Request, Response, percent};
use crossdock_connect::secret::{Secret, Secrets};
use crossdock_connect::webhook::{TOLERANCE_MS, Verifier};
use crossdock_connect::{
    Call, Capability, Connector, Exchange, Identity, Message, Next, NextProbe, PrepareError, Prepared, Probe, Token, WebhookError,
};
use crossdock_value::Value;
use mapping::Sum;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use wire::{Form, INTENTS, PAGE, REFUNDS};

const TIMEOUT_MS: i64 = 80_000;
/// Keys may be forgotten after a day.
const KEY_LIFETIME_MS: i64 = 24 * 3_600_000;
/// How far before the intent was made its object may be dated, as clocks differ.
const CLOCK_SLACK_S: i64 = 300;
/// How the metadata keys of captures begin.
const CAPTURE: &str = "capture_";
/// Pages of intents that a probe of an authorization looks through.
const PAGES_MAX: usize = 10;

struct Stripe {
    name: SystemName,
    key: Secret,
    webhook: Option<Verifier>,
    version: Option<String>,
    /// The account may capture one authorization several times (`final_capture`).
    multi_capture: bool,
    settling_ms: i64,
    timeout_ms: i64,
    fingerprint: Arc<str>,
}

pub fn build(config: &SystemConfig, secrets: &Secrets) -> Result<Box<dyn Connector>, Vec<ConfigFault>> {
    let mut faults = Vec::new();
    let mut auth = Section::new(&config.auth, "auth", &mut faults);
    let key = auth.secret("secret_key", &config.url, secrets, &mut faults);
    let webhook = match auth.get("webhook_secret") {
        Value::Null => None,
        _ => Some(auth.secret("webhook_secret", &config.url, secrets, &mut faults)),
    };
    auth.finish(&mut faults);
    let mut s = Section::new(&config.settings, "settings", &mut faults);
    let stripe = Stripe {
        name: config.name.clone(),
        key,
        webhook: webhook.map(|secret| Verifier::Timestamped {
            header: "stripe-signature".into(),
            secret,
            tolerance_ms: s.duration("webhook_tolerance", TOLERANCE_MS, &mut faults),
        }),
        version: s.text("version", &mut faults).map(str::to_owned),
        multi_capture: s.flag("multi_capture", false, &mut faults),
        settling_ms: s.duration("settling", 5_000, &mut faults),
        timeout_ms: config.timeout_ms(TIMEOUT_MS, &mut faults),
        fingerprint: config.fingerprint(),
    };
    s.get("webhook_tolerance");
    s.finish(&mut faults);
    if faults.is_empty() { Ok(Box::new(stripe)) } else { Err(faults) }
}

/// The arguments that money operations share.
struct Asked<'c> {
    call: &'c Call,
}

impl<'c> Asked<'c> {
    fn text(&self, key: &str) -> Result<&'c str, PrepareError> {
        self.call.args.get(key).as_str().ok_or_else(|| missing(key))
    }

    fn amount(&self) -> Result<Money, PrepareError> {
        mapping::read_money(self.call.args.get("amount")).ok_or_else(|| missing("amount"))
    }

    fn minor(&self) -> Result<String, PrepareError> {
        let minor = self.amount()?.to_minor();
        minor.map(|minor| minor.to_string()).map_err(|e| PrepareError::Mapping { target: "amount".into(), reason: e.to_string() })
    }

    /// The intent, from arguments that name it or one of its charges.
    fn intent(&self) -> Result<&'c str, PrepareError> {
        self.text("transaction")
    }
}

/// Nothing more will be taken of the authorization.
fn is_final(call: &Call) -> bool {
    call.args.get("final").as_bool().unwrap_or(true)
}

/// Whether a page of intents, which come newest first, ends before this call was made. A page in no such order shows nothing.
fn reaches_back(rows: &[Value], call: &Call) -> bool {
    let from = call.at.0.div_euclid(1_000) - CLOCK_SLACK_S;
    let created = |row: Option<&Value>| row.and_then(|row| row.get("created").as_i64());
    match (created(rows.first()), created(rows.last())) {
        (Some(first), Some(last)) => first > last && last < from,
        _ => false,
    }
}

fn missing(key: &str) -> PrepareError {
    PrepareError::Mapping { target: key.to_owned(), reason: format!("the argument `{key}` is missing") }
}

/// The metadata key under which an intent remembers one capture: at most 40 characters.
fn capture_mark(reference: &str) -> String {
    format!("{CAPTURE}{}", hex::encode(&Sha256::digest(reference.as_bytes())[..8]))
}

impl Stripe {
    fn request(&self, call: &Call) -> Result<Request, PrepareError> {
        let asked = Asked { call };
        let order = call.order.to_string();
        let marked =
            |form: Form| form.metadata("order", &order).metadata("reference", &call.reference).metadata("key", &call.key);
        let payment = call.args.get("payment").as_str().unwrap_or("");
        let request = match call.operation {
            Operation::PaymentVerify => self.get_intent(asked.intent()?),
            Operation::PaymentAuthorize => {
                let amount = asked.amount()?;
                let form = Form::default()
                    .put("amount", asked.minor()?)
                    .put("currency", amount.currency.as_str().to_ascii_lowercase())
                    .put("payment_method", asked.text("token")?)
                    .put("capture_method", "manual")
                    .put("confirm", "true");
                Request::new(Method::Post, INTENTS).form(marked(form).metadata("payment", payment).encode())
            }
            Operation::PaymentCapture => {
                let minor = asked.minor()?;
                let mut form = Form::default()
                    .put("amount_to_capture", &minor)
                    .put_some("final_capture", self.multi_capture.then(|| is_final(call).to_string()));
                if self.is_marked(call) {
                    form = form.metadata(&capture_mark(&call.reference), &format!("{minor} {}", call.key));
                }
                Request::new(Method::Post, format!("{INTENTS}/{}/capture", percent(asked.intent()?))).form(form.encode())
            }
            Operation::PaymentVoid => Request::new(Method::Post, format!("{INTENTS}/{}/cancel", percent(asked.intent()?))),
            Operation::PaymentRefund => {
                let transaction = asked.intent()?;
                let field = if transaction.starts_with("ch_") { "charge" } else { "payment_intent" };
                let reason = call.args.get("reason").as_str().filter(|reason| wire::REFUND_REASONS.contains(reason));
                let form = Form::default()
                    .put(field, transaction)
                    .put("amount", asked.minor()?)
                    .put_some("reason", reason.map(str::to_owned));
                Request::new(Method::Post, REFUNDS).form(marked(form).metadata("payment", payment).encode())
            }
            other => return Err(PrepareError::Unsupported { system: call.system.clone(), operation: other }),
        };
        Ok(match request.method {
            Method::Get => request,
            _ => request.header("idempotency-key", &*call.key),
        })
    }

    /// A capture leaves a mark in its intent where it may be one of several. Where it is the only one, the intent's own state
    /// says enough, and versions of the API that take no `metadata` with a capture take it too.
    fn is_marked(&self, call: &Call) -> bool {
        self.multi_capture || !is_final(call)
    }

    /// Whether `intent` shows that this very capture was done.
    fn is_ours(&self, call: &Call, intent: &Value) -> bool {
        let mark = |name: &str| !intent.get("metadata").get(name).is_null();
        if mark(&capture_mark(&call.reference)) {
            return true;
        }
        let others =
            || intent.get("metadata").as_obj().is_some_and(|pairs| pairs.iter().any(|(name, _)| name.starts_with(CAPTURE)));
        let amount = mapping::read_money(call.args.get("amount"));
        !self.is_marked(call)
            && intent.get("status").as_str() == Some("succeeded")
            && amount.is_some_and(|amount| mapping::received(intent, amount))
            && !others()
    }

    fn get_intent(&self, id: &str) -> Request {
        Request::new(Method::Get, format!("{INTENTS}/{}?expand[]=latest_charge", percent(id)))
    }

    fn ended(&self, call: &Call, response: &Response) -> Outcome {
        let nature = nature(call.operation);
        if !response.is_success() {
            return self.not_taken(call, response, nature);
        }
        let body = classify::body(response);
        if body.get("object").is_null() {
            return match nature {
                Nature::Change => Outcome::unknown("malformed_answer", "a success without an object"),
                Nature::Read => Outcome::retry("malformed_answer", "a success without an object"),
            };
        }
        match call.operation {
            // The identity lets a notice about an intent the storefront made find its way.
            Operation::PaymentVerify | Operation::PaymentAuthorize => mapping::authorized(
                &body,
                mapping::read_money(call.args.get("amount")),
            )
            .with_identity("payment", payment_name(call), body.get("id").as_str().unwrap_or("")),
            Operation::PaymentCapture => captured(call, &body),
            Operation::PaymentVoid => voided(call, &body),
            _ => mapping::refunded(&body),
        }
    }

    /// An error may tell that what we ask for is already so.
    fn not_taken(&self, call: &Call, response: &Response, nature: Nature) -> Outcome {
        let body = classify::body(response);
        let intent = body.at("error.payment_intent");
        if body.at("error.code").as_str() == Some("payment_intent_unexpected_state") {
            let status = intent.get("status").as_str().unwrap_or("");
            match call.operation {
                Operation::PaymentVoid if is_let_go(call, status) => return voided(call, intent),
                Operation::PaymentCapture if self.is_ours(call, intent) => {
                    return captured(call, intent);
                }
                Operation::PaymentCapture if status == "canceled" => {
                    return Outcome::refused("authorization_cancelled", "the payment intent is cancelled");
                }
                Operation::PaymentCapture | Operation::PaymentVoid if status == "succeeded" => {
                    return Outcome::refused("already_captured", "the payment intent has been captured");
                }
                _ => {}
            }
        }
        mapping::refused(response, nature)
    }

    fn probe_request(&self, call: &Call, exchanges: &[Exchange]) -> Result<Request, PrepareError> {
        let asked = Asked { call };
        Ok(match call.operation {
            Operation::PaymentAuthorize => {
                let mut target = format!("{INTENTS}?limit={PAGE}");
                if let Some(last) = exchanges.last().and_then(|exchange| exchange.answer.as_ref().ok()).and_then(last_id) {
                    target.push_str(&format!("&starting_after={}", percent(&last)));
                }
                Request::new(Method::Get, target)
            }
            Operation::PaymentRefund => {
                let transaction = asked.intent()?;
                let field = if transaction.starts_with("ch_") { "charge" } else { "payment_intent" };
                Request::new(Method::Get, format!("{REFUNDS}?{field}={}&limit={PAGE}", percent(transaction)))
            }
            _ => self.get_intent(asked.intent()?),
        })
    }

    fn found(&self, call: &Call, response: &Response, pages: usize) -> Found {
        let body = classify::body(response);
        match call.operation {
            Operation::PaymentVerify => Found::End(Probe::Complete(self.ended(call, response))),
            Operation::PaymentAuthorize | Operation::PaymentRefund => {
                let ours = |object: &&Value| object.at("metadata.reference").as_str() == Some(&call.reference);
                let rows = body.get("data").as_arr().unwrap_or_default();
                // A declined attempt leaves an intent behind, so the one that succeeded comes first.
                let best = rows.iter().filter(ours).min_by_key(|object| rank(object.get("status").as_str().unwrap_or("")));
                match best {
                    Some(object) if call.operation == Operation::PaymentRefund => Found::End(settled(mapping::refunded(object))),
                    Some(object) => {
                        let outcome = mapping::authorized(object, mapping::read_money(call.args.get("amount"))).with_identity(
                            "payment",
                            payment_name(call),
                            object.get("id").as_str().unwrap_or(""),
                        );
                        Found::End(match outcome.class {
                            // It was tried and not authorized: nothing is held, another generation may try again.
                            OutcomeClass::Refused if object.get("status").as_str() == Some("requires_payment_method") => {
                                Probe::Absent
                            }
                            _ => settled(outcome),
                        })
                    }
                    None if reaches_back(rows, call) => Found::End(Probe::Absent),
                    None if body.get("has_more").as_bool() == Some(true) && pages < PAGES_MAX => Found::More,
                    None if body.get("has_more").as_bool() == Some(true) => Found::End(Probe::Unclear(Outcome::unknown(
                        "too_many_intents",
                        "the intent may be further back than was looked",
                    ))),
                    None => Found::End(Probe::Absent),
                }
            }
            Operation::PaymentCapture => {
                let status = body.get("status").as_str().unwrap_or("");
                Found::End(if self.is_ours(call, &body) {
                    Probe::Complete(captured(call, &body))
                } else {
                    match status {
                        "canceled" => {
                            Probe::MovedOn(Outcome::refused("authorization_cancelled", "the payment intent is cancelled"))
                        }
                        "succeeded" => Probe::MovedOn(Outcome::refused("already_captured", "captured by somebody else")),
                        _ => Probe::Absent,
                    }
                })
            }
            _ => Found::End(match body.get("status").as_str().unwrap_or("") {
                status if is_let_go(call, status) => Probe::Complete(voided(call, &body)),
                "succeeded" => Probe::MovedOn(Outcome::refused("already_captured", "the payment intent has been captured")),
                _ => Probe::Absent,
            }),
        }
    }
}

/// Whether an intent holds nothing any more, as a void wants it. One that was captured in part counts as succeeded when its rest is
/// cancelled: "for PaymentIntents with a status of requires_capture, the remaining amount_capturable will automatically be refunded"
/// (docs.stripe.com/api/payment_intents/cancel).
fn is_let_go(call: &Call, status: &str) -> bool {
    status == "canceled" || (status == "succeeded" && call.args.get("rest").as_bool() == Some(true))
}

/// An intent may be voided before anything else was asked about it, so its name is told here too: the notice of it needs one.
fn voided(call: &Call, intent: &Value) -> Outcome {
    let id = intent.get("id").as_str().unwrap_or("");
    Outcome::done(mapping::evidence(intent, Sum::Intended)).with_identity("payment", payment_name(call), id)
}

enum Found {
    More,
    End(Probe),
}

fn settled(outcome: Outcome) -> Probe {
    match outcome.class {
        OutcomeClass::Refused => Probe::MovedOn(outcome),
        OutcomeClass::Done => Probe::Complete(outcome),
        _ => Probe::Unclear(outcome),
    }
}

fn rank(status: &str) -> u8 {
    match status {
        "succeeded" | "requires_capture" => 0,
        "processing" | "pending" => 1,
        _ => 2,
    }
}

/// The evidence of a capture: what we asked for, for an intent that was captured several times sums them up.
fn captured(call: &Call, intent: &Value) -> Outcome {
    let mut evidence = mapping::evidence(intent, Sum::Received);
    evidence.insert("captured_in_all", evidence.get("amount").clone());
    evidence.insert("amount", call.args.get("amount").clone());
    Outcome::done(evidence)
}

/// Our name of the payment for the identity map.
fn payment_name(call: &Call) -> String {
    format!("{}#{}", call.order, call.args.get("payment").as_str().unwrap_or(""))
}

fn last_id(response: &Response) -> Option<String> {
    let body = classify::body(response);
    body.get("data").as_arr()?.last()?.get("id").as_str().map(str::to_owned)
}

fn nature(operation: Operation) -> Nature {
    if operation == Operation::PaymentVerify { Nature::Read } else { Nature::Change }
}

impl Connector for Stripe {
    fn capability(&self, operation: Operation) -> Option<Capability> {
        match operation {
            Operation::PaymentVerify
            | Operation::PaymentAuthorize
            | Operation::PaymentCapture
            | Operation::PaymentVoid
            | Operation::PaymentRefund => Some(Capability {
                identity: Identity::NativeKey,
                key_lifetime_ms: Some(KEY_LIFETIME_MS),
                settling_ms: self.settling_ms,
                probes: true,
                timeout_ms: self.timeout_ms,
                retracts: false,
            }),
            _ => None,
        }
    }

    fn prepare(&self, call: &Call) -> Result<Prepared, PrepareError> {
        Ok(Prepared { bytes: http::encode(&[self.request(call)?]), mapping: self.fingerprint.clone() })
    }

    fn next(&self, call: &Call, prepared: &[u8], exchanges: &[Exchange]) -> Next {
        match exchanges.last().map(|exchange| &exchange.answer) {
            None => match http::decode(prepared).and_then(|requests| requests.into_iter().next()) {
                Some(request) => Next::Send(request),
                None => Next::End(Outcome::misconfigured("stored_request", "the stored request cannot be read")),
            },
            Some(Err(error)) => Next::End(classify::broken(error, nature(call.operation))),
            Some(Ok(response)) => Next::End(self.ended(call, response)),
        }
    }

    fn probe(&self, call: &Call, _prepared: &[u8], exchanges: &[Exchange]) -> NextProbe {
        let ask = || match self.probe_request(call, exchanges) {
            Ok(request) => NextProbe::Send(request),
            Err(error) => NextProbe::End(Probe::Unclear(Outcome::misconfigured("probe", error.to_string()))),
        };
        match exchanges.last().map(|exchange| &exchange.answer) {
            None => ask(),
            Some(Err(error)) => NextProbe::End(Probe::Unclear(classify::broken(error, Nature::Read))),
            // The intent that we were given is not in this account: whatever we asked of it did not happen.
            Some(Ok(response)) if response.status == 404 => {
                NextProbe::End(Probe::MovedOn(mapping::refused(response, Nature::Read)))
            }
            Some(Ok(response)) if !response.is_success() => {
                NextProbe::End(Probe::Unclear(mapping::refused(response, Nature::Read)))
            }
            Some(Ok(response)) => match self.found(call, response, exchanges.len()) {
                Found::More => ask(),
                Found::End(probe) => NextProbe::End(probe),
            },
        }
    }

    fn translate(&self, kind: &str, body: &[u8]) -> Result<Value, PrepareError> {
        webhook::translate(&self.name, kind, body)
    }

    fn webhook(&self, system: &SystemName, request: &Request, now: Timestamp) -> Result<Vec<Message>, WebhookError> {
        match &self.webhook {
            Some(verifier) => webhook::receive(verifier, request, now),
            None => Err(WebhookError::Unsupported(system.clone())),
        }
    }

    fn authorize(&self, request: &mut Request, _token: Option<&Token>) {
        request.headers.push(("authorization".into(), format!("Bearer {}", self.key.expose())));
        if let Some(version) = &self.version {
            request.headers.push(("stripe-version".into(), version.clone()));
        }
    }
}
