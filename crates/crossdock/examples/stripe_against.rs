//! Drives the hub's Stripe connector against a Stripe-like service that is not ours: `stripe_against http://127.0.0.1:PORT`.
//!
//! The connector and the HTTP client are the ones the hub runs. Afterwards the service's own lists must hold each effect
//! exactly once. It does not try keys again: services like localstripe ignore them.

use crossdock_canonical::{Duration, Operation, OrderRef, Outcome, OutcomeClass};
use crossdock_connect::{
    Call, Exchange, Next, NextProbe, Probe,
    config::SystemConfig,
    http::{Method, Request},
    secret::Secrets,
};
use crossdock_engine::{
    System,
    shell::{client::Client, clock::Clock},
    wiring::Limits,
};
use crossdock_value::{Value, from_value, parse, value};
use std::{process::ExitCode, sync::Arc};

/// The longest answer that is read.
const ANSWER_MAX: usize = 1 << 20;
/// A service on this machine answers well within this.
const CALL_MAX: Duration = Duration::seconds(20);
/// A card that every test account of Stripe takes.
const CARD: &str = "pm_card_visa";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(url) = std::env::args().nth(1) else {
        eprintln!("usage: stripe_against http://127.0.0.1:PORT");
        return ExitCode::from(2);
    };
    match drive(&url).await {
        Ok(()) => {
            println!("ok: every effect is there once");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(1)
        }
    }
}

async fn drive(url: &str) -> Result<(), String> {
    let merchant = Merchant::new(url)?;

    // An ordinary order: authorized, looked at, captured, a part given back.
    let held = merchant.done(Operation::PaymentAuthorize, "1001#card", authorize("49.90", "EUR")).await?;
    let transaction = text(&held, "transaction")?;
    expect("the authorized amount", held.get("amount"), &money("49.90", "EUR"))?;
    let about = |amount: &str| value!({"payment": "p1", "transaction": (transaction.as_str()), "amount": (money(amount, "EUR"))});
    merchant.done(Operation::PaymentVerify, "1001#verify", about("49.90")).await?;
    let captured = merchant.done(Operation::PaymentCapture, "1001#capture", about("49.90")).await?;
    expect("the captured amount", captured.get("amount"), &money("49.90", "EUR"))?;
    let refunded = merchant.done(Operation::PaymentRefund, "1001#refund", about("12.34")).await?;
    expect("the refunded amount", refunded.get("amount"), &money("12.34", "EUR"))?;
    merchant.refused(Operation::PaymentCapture, "1001#again", about("49.90")).await?;

    // A currency without decimals, cancelled before anything was captured.
    let held = merchant.done(Operation::PaymentAuthorize, "1002#card", authorize("5000", "JPY")).await?;
    let cancelled = text(&held, "transaction")?;
    let void = value!({"payment": "p1", "transaction": (cancelled.as_str()), "amount": (money("5000", "JPY"))});
    merchant.done(Operation::PaymentVoid, "1002#void", void).await?;

    // More than was authorized is not to be had, and the refusal leaves the authorization as it was.
    let held = merchant.done(Operation::PaymentAuthorize, "1003#card", authorize("10.00", "EUR")).await?;
    let too_much = value!({"payment": "p1", "transaction": (held.get("transaction").clone()), "amount": (money("10.01", "EUR"))});
    merchant.refused(Operation::PaymentCapture, "1003#capture", too_much).await?;

    // What the service itself says was done.
    let intents = merchant.list("/v1/payment_intents?limit=100").await?;
    let mine = |order: &str| -> Vec<&Value> {
        let order = format!("sfcc/RefArch-DE/{order}");
        intents.iter().filter(|intent| intent.at("metadata.order").as_str() == Some(&order)).collect()
    };
    let [paid] = mine("1001")[..] else { return Err(format!("not one intent of order 1001: {intents:?}")) };
    expect("its state", paid.get("status"), &"succeeded".into())?;
    expect("its amount in cents", paid.get("amount"), &4990.into())?;
    let [void] = mine("1002")[..] else { return Err(format!("not one intent of order 1002: {intents:?}")) };
    expect("the state of the cancelled intent", void.get("status"), &"canceled".into())?;
    expect("its amount in yen", void.get("amount"), &5000.into())?;
    let [open] = mine("1003")[..] else { return Err(format!("not one intent of order 1003: {intents:?}")) };
    expect("the state after a capture too large", open.get("status"), &"requires_capture".into())?;
    let charges = merchant.list("/v1/charges?limit=100").await?;
    let taken: Vec<&Value> = charges.iter().filter(|charge| charge.get("captured").as_bool() == Some(true)).collect();
    let [charge] = taken[..] else { return Err(format!("not one captured charge: {charges:?}")) };
    expect("the charge's intent", charge.get("payment_intent"), &transaction.as_str().into())?;
    let refunds = merchant.list(&format!("/v1/refunds?payment_intent={transaction}&limit=100")).await?;
    let [refund] = &refunds[..] else { return Err(format!("not one refund: {refunds:?}")) };
    expect("the refund in cents", refund.get("amount"), &1234.into())
}

/// A merchant with an account at the service.
struct Merchant {
    client: Client,
    system: System,
}

impl Merchant {
    fn new(url: &str) -> Result<Self, String> {
        let config = value!({
            "name": "payment", "connector": "stripe", "roles": ["payment"], "url": url,
            "auth": {"secret_key": "sim:sk_test_crossdock"}, "settings": {"settling": "1s"},
        });
        let config: SystemConfig = from_value(&config).map_err(|e| e.to_string())?;
        let connector = crossdock_connectors::build(&config, &Secrets::placeholders())
            .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
        let system = System {
            name: config.name.clone(),
            roles: config.roles.clone(),
            product: config.connector.clone(),
            base: url.trim_end_matches('/').to_owned(),
            connector: Arc::from(connector),
            limits: Limits::default(),
            poll_every: None,
        };
        Ok(Self { client: Client::new(ANSWER_MAX), system })
    }

    /// Runs an effect that must be done, and asks afterwards: the probe must find what the answer said.
    async fn done(&self, operation: Operation, reference: &str, args: Value) -> Result<Value, String> {
        let call = self.call(operation, reference, args)?;
        let prepared = self.system.connector.prepare(&call).map_err(|e| format!("{operation}: {e}"))?;
        let outcome = self.attempt(&call, &prepared.bytes).await;
        if outcome.class != OutcomeClass::Done {
            return Err(format!("{operation} {reference} ended as {outcome:?}"));
        }
        match self.probe(&call, &prepared.bytes).await {
            Probe::Complete(found) if found.evidence.get("transaction") == outcome.evidence.get("transaction") => {}
            other => return Err(format!("{operation} {reference} was done, and the probe says {other:?}")),
        }
        println!("  {operation} {reference}");
        Ok(outcome.evidence)
    }

    /// Runs an effect that the service must refuse.
    async fn refused(&self, operation: Operation, reference: &str, args: Value) -> Result<(), String> {
        let call = self.call(operation, reference, args)?;
        let prepared = self.system.connector.prepare(&call).map_err(|e| format!("{operation}: {e}"))?;
        let outcome = self.attempt(&call, &prepared.bytes).await;
        if outcome.class != OutcomeClass::Refused {
            return Err(format!("{operation} {reference} should be refused and ended as {outcome:?}"));
        }
        println!("  {operation} {reference} is refused: {}", outcome.code);
        Ok(())
    }

    /// `reference` is `order#effect`, made into what the engine would call them.
    fn call(&self, operation: Operation, reference: &str, args: Value) -> Result<Call, String> {
        let (number, effect) = reference.split_once('#').ok_or("a reference is order#effect")?;
        let order = OrderRef::parse(&format!("sfcc/RefArch-DE/{number}")).ok_or("no order reference")?;
        Ok(Call {
            system: self.system.name.clone(),
            operation,
            key: Arc::from(format!("{operation}-{reference}")),
            reference: Arc::from(format!("{order}#{effect}")),
            order,
            args,
            document: Value::Null,
            identities: Value::Null,
            at: Clock::System.now(),
        })
    }

    async fn attempt(&self, call: &Call, prepared: &[u8]) -> Outcome {
        let mut exchanges = Vec::new();
        loop {
            match self.system.connector.next(call, prepared, &exchanges) {
                Next::Send(request) => exchanges.push(self.exchange(request).await),
                Next::End(outcome) => return outcome,
            }
        }
    }

    async fn probe(&self, call: &Call, prepared: &[u8]) -> Probe {
        let mut exchanges = Vec::new();
        loop {
            match self.system.connector.probe(call, prepared, &exchanges) {
                NextProbe::Send(request) => exchanges.push(self.exchange(request).await),
                NextProbe::End(probe) => return probe,
            }
        }
    }

    async fn exchange(&self, request: Request) -> Exchange {
        let answer = self.client.send(&self.system, &request, CALL_MAX).await;
        Exchange { request, answer }
    }

    /// The rows of one of the service's lists.
    async fn list(&self, target: &str) -> Result<Vec<Value>, String> {
        let response = self.exchange(Request::new(Method::Get, target)).await.answer.map_err(|e| e.to_string())?;
        let body = parse(&response.body, &Default::default()).map_err(|e| format!("{target}: {e}"))?;
        body.get("data").as_arr().map(<[Value]>::to_vec).ok_or_else(|| format!("{target} has no rows: {body}"))
    }
}

fn authorize(amount: &str, currency: &str) -> Value {
    value!({"payment": "p1", "token": CARD, "amount": (money(amount, currency))})
}

fn money(amount: &str, currency: &str) -> Value {
    value!({"amount": amount, "currency": currency})
}

fn text(evidence: &Value, key: &str) -> Result<String, String> {
    evidence.get(key).as_str().map(str::to_owned).ok_or_else(|| format!("no {key} in {evidence}"))
}

fn expect(what: &str, found: &Value, wanted: &Value) -> Result<(), String> {
    if found == wanted { Ok(()) } else { Err(format!("{what} is {found}, not {wanted}")) }
}
