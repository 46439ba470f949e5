//! The tax engine: quotes that are forgotten, transactions that are saved, committed or voided.
//!
//! Its rates are those of the synthetic catalog's sites, not tax advice.

use std::collections::HashMap;

use rust_decimal::Decimal;

use super::Role;
use super::desk::{self, Answer, Desk, Refusal, call_key, row};
use crate::http::{Call, Response};
use crate::json::{Json, object};
use crate::ledger::{Row, Scope};
use crate::simulator::{Context, Operation};
use crate::{catalog, money, time};

#[derive(Default)]
pub struct Tax {
    transactions: HashMap<String, Vec<Transaction>>,
}

struct Transaction {
    scope: Scope,
    currency: String,
    total: Decimal,
    total_tax: Decimal,
    state: &'static str,
    created_at: i64,
}

impl Role for Tax {
    fn operation(&self, method: &str, path: &[&str]) -> Option<Operation> {
        Some(match (method, path) {
            ("POST", ["quotes"]) => Operation::read("tax.quote"),
            ("POST", ["transactions"]) => Operation::write("tax.create"),
            ("POST", ["transactions", _, "commit"]) => Operation::write("tax.commit"),
            ("POST", ["transactions", _, "void"]) => Operation::write("tax.void"),
            ("GET", ["transactions"] | ["transactions", _]) => Operation::read("tax.get"),
            _ => return None,
        })
    }

    fn apply(&mut self, call: &Call, path: &[&str], body: &Json, desk: &mut Desk, context: &mut Context) -> Answer {
        match (call.method, path) {
            ("POST", ["quotes"]) => quote(body),
            ("POST", ["transactions"]) => self.create(call, body, desk, context),
            ("GET", ["transactions"]) => {
                let code = call.query("external_reference").unwrap_or("");
                Ok(desk::data(self.transactions.get(code).into_iter().flatten().map(|t| t.json(code)).collect()))
            }
            ("GET", ["transactions", code]) => Ok(Response::json(200, &self.transaction(code)?.json(code))),
            (_, ["transactions", code, verb]) => self.settle(call, code, verb, context),
            _ => Err(Refusal::not_found("route")),
        }
    }
}

/// The tax on each line at the standard rate of where it goes: its own region, else the quote's, else the country's first city.
fn quote(body: &Json) -> Answer {
    let (currency, country) = (desk::required(body, "currency")?, desk::required(body, "country")?);
    let rate = rate(country, body.text("region"));
    let gross = body.text("taxation") == "gross";
    let (mut total, mut lines) = (Decimal::ZERO, Vec::new());
    for line in desk::lines(body)? {
        let amount = desk::amount(line, "amount", currency)?;
        let rate = if line.text("region").is_empty() { rate } else { self::rate(country, line.text("region")) };
        let tax = if gross { amount * rate / (Decimal::ONE + rate) } else { amount * rate };
        let tax = money::round(tax, currency);
        total += tax;
        lines.push(object! { "line": desk::required(line, "line")?, "tax_amount": tax.to_string() });
    }
    let total = money::round(total, currency).to_string();
    Ok(Response::json(200, &object! { "currency": currency, "rate": rate.to_string(), "total_tax": total, "lines": lines }))
}

fn rate(country: &str, region: &str) -> Decimal {
    let Some(site) = catalog::SITES.iter().find(|s| s.country == country) else { return Decimal::ZERO };
    let city = site.cities.iter().find(|city| city.2 == region && !region.is_empty()).unwrap_or(&site.cities[0]);
    city.3.parse().unwrap_or_default()
}

impl Tax {
    fn transaction(&self, code: &str) -> Result<&Transaction, Refusal> {
        self.transactions.get(code).and_then(|t| t.first()).ok_or_else(|| Refusal::not_found("transaction of that code"))
    }

    fn create(&mut self, call: &Call, body: &Json, desk: &mut Desk, context: &mut Context) -> Answer {
        let scope = desk::scope(body)?;
        let code = desk::required(body, "code")?;
        desk.unused("transactions", code)?;
        let currency = desk::required(body, "currency")?;
        let transaction = Transaction {
            scope,
            currency: currency.into(),
            total: desk::amount(body, "total", currency)?,
            total_tax: desk::amount(body, "total_tax", currency)?,
            state: "saved",
            created_at: context.now,
        };
        let base = row("tax.create", call_key(call, code), &transaction.scope, code, "", "saved");
        context.ledger.add(context.now, Row { amount: Some(transaction.total_tax), currency: currency.into(), ..base });
        desk.note("transactions", code, code);
        let answer = Response::json(201, &transaction.json(code));
        self.transactions.entry(code.into()).or_default().push(transaction);
        Ok(answer)
    }

    fn settle(&mut self, call: &Call, code: &str, verb: &str, context: &mut Context) -> Answer {
        self.transaction(code)?;
        let transaction = &mut self.transactions.get_mut(code).expect("it was found above")[0];
        let (operation, state) = if verb == "commit" { ("tax.commit", "committed") } else { ("tax.void", "voided") };
        match (transaction.state, state) {
            ("voided", "committed") => return Err(Refusal::new(409, "transaction_voided", "a voided transaction stays void")),
            (now, then) if now == then => {}
            _ => {
                transaction.state = state;
                let base = row(operation, call_key(call, code), &transaction.scope, code, code, state);
                let (amount, currency) = (Some(transaction.total_tax), transaction.currency.clone());
                context.ledger.add(context.now, Row { amount, currency, ..base });
            }
        }
        Ok(Response::json(200, &transaction.json(code)))
    }
}

impl Transaction {
    fn json(&self, code: &str) -> Json {
        object! {
            "id": code, "code": code, "external_reference": code,
            "channel": &self.scope.channel, "site": &self.scope.site, "order": &self.scope.order,
            "state": self.state, "currency": &self.currency, "total": self.total.to_string(),
            "total_tax": self.total_tax.to_string(), "created_at": time::rfc3339(self.created_at),
        }
    }
}
