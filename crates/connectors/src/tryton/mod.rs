//! Tryton, a real ERP, by JSON-RPC: sales, deliveries, invoices and payments, each driven from the state it is found in.
//!
//! Tryton answers most failures with `200`, some successes without having done the work, and knows no idempotency key. So every
//! script looks first, presses the one next button, and reads again; a script that was cut off goes on where it was. The natural key
//! of a sale is the unique pair of web shop and web id. It deliberately keeps no cache of ids: those that never change are settings.

mod plan;
mod sale;
mod script;
#[cfg(test)]
mod tests;
mod wire;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use crossdock_canonical::{Operation, Outcome, OutcomeClass};
use crossdock_connect::classify::{self, Nature};
use crossdock_connect::config::{ConfigFault, Section, SystemConfig, fault, join};
use crossdock_connect::http::{Method, Request, Response};
use crossdock_connect::secret::{Secret, Secrets};
use crossdock_connect::{Call, Capability, Connector, Exchange, Identity, Next, NextProbe, PrepareError, Prepared, Probe, Token};
use crossdock_value::{Decimal, Value, value};
use script::{Script, Stop};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Tryton works through a whole sale in one call; a busy one takes its time.
const TIMEOUT_MS: i64 = 60_000;
/// The server's own limit of a transaction, and a little.
const SETTLING_MS: i64 = 65_000;

/// The settings of a system with `connector: tryton`. Ids are the database's own.
#[derive(Clone, Debug)]
struct Settings {
    database: String,
    company: i64,
    language: String,
    unit: i64,
    payment_term: Option<i64>,
    carrier: Option<i64>,
    currencies: BTreeMap<String, i64>,
    payment_journals: BTreeMap<String, i64>,
    countries: BTreeMap<String, i64>,
    /// Rate as text, such as `0.19`, to the tax.
    taxes: BTreeMap<String, i64>,
    /// SKU to product; others are looked up by code.
    products: BTreeMap<String, i64>,
    /// Warehouses and stores by the channel's name of them.
    locations: BTreeMap<String, Location>,
    /// Web shops by site.
    shops: BTreeMap<String, Shop>,
    items: Items,
    /// Ends of the names of warnings that are policy to skip.
    skip_warnings: Vec<String>,
    /// A difference up to so many minor units is rounding, and booked as such.
    rounding_within: i64,
    /// Move prices by cents so that the tax is the one that was paid, too; the rounding line takes it back.
    match_tax: bool,
    /// A sale whose total differs by more than this is not confirmed.
    tolerance: Decimal,
}

#[derive(Clone, Copy, Debug)]
struct Location {
    warehouse: Option<i64>,
    address: Option<i64>,
}

#[derive(Clone, Copy, Debug)]
struct Shop {
    id: i64,
    warehouse: Option<i64>,
}

/// Products that stand for what has no SKU.
#[derive(Clone, Debug)]
struct Items {
    gift_card: String,
    digital: String,
    shipping: String,
    rounding: String,
}

impl Settings {
    fn skips(&self, warning: &str) -> bool {
        self.skip_warnings.iter().any(|end| warning.ends_with(end.as_str()))
    }
}

struct Tryton {
    settings: Settings,
    user: String,
    password: Secret,
    session_ms: i64,
    timeout_ms: i64,
    settling_ms: i64,
    fingerprint: Arc<str>,
}

pub fn build(config: &SystemConfig, secrets: &Secrets) -> Result<Box<dyn Connector>, Vec<ConfigFault>> {
    let mut faults = Vec::new();
    let mut auth = Section::new(&config.auth, "auth", &mut faults);
    let user = auth.required("user", &mut faults).to_owned();
    let password = auth.secret("password", &config.url, secrets, &mut faults);
    let session_ms = auth.duration("session", 3_600_000, &mut faults);
    auth.finish(&mut faults);
    let mut s = Section::new(&config.settings, "settings", &mut faults);
    let settling_ms = s.duration("settling", SETTLING_MS, &mut faults);
    let settings = settings(s, &mut faults);
    let timeout_ms = config.timeout_ms(TIMEOUT_MS, &mut faults);
    for name in config.mappings.keys() {
        faults.push(fault(join("mappings", name), "this connector has no mappings: it books through Tryton's own records"));
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(Box::new(Tryton { settings, user, password, session_ms, timeout_ms, settling_ms, fingerprint: config.fingerprint() }))
}

fn settings(mut s: Section<'_>, faults: &mut Vec<ConfigFault>) -> Settings {
    let currencies = ids(&mut s, "currencies", faults);
    let locations = objects(&mut s, "locations", faults, |value| {
        Some(Location { warehouse: value.get("warehouse").as_i64(), address: value.get("address").as_i64() })
    });
    // A shop's warehouse is an id, or the name of a location.
    let shops = objects(&mut s, "web_shops", faults, |value| {
        let warehouse = match value.get("warehouse") {
            Value::Str(name) => Some(locations.get(&**name)?.warehouse?),
            id => id.as_i64(),
        };
        Some(Shop { id: value.get("id").as_i64()?, warehouse })
    });
    if currencies.is_empty() || shops.is_empty() {
        faults.push(fault("settings", "`currencies` and `web_shops` are needed: the ids of the database"));
    }
    let mut items = s.section("items", faults);
    let mut item =
        |key: &'static str, default: &str, faults: &mut Vec<ConfigFault>| items.text(key, faults).unwrap_or(default).to_owned();
    let named = Items {
        gift_card: item("gift_card", "GIFT-CARD", faults),
        digital: item("digital", "DIGITAL", faults),
        shipping: item("shipping", "SHIPPING", faults),
        rounding: item("rounding", "ROUNDING", faults),
    };
    items.finish(faults);
    let settings = Settings {
        database: s.required("database", faults).to_owned(),
        company: s.number("company", 1, 1..i64::MAX, faults),
        language: s.text("language", faults).unwrap_or("en").to_owned(),
        unit: s.number("unit", 1, 1..i64::MAX, faults),
        payment_term: s.get("payment_term").as_i64(),
        carrier: s.get("carrier").as_i64(),
        currencies,
        payment_journals: ids(&mut s, "payment_journals", faults),
        countries: ids(&mut s, "countries", faults),
        taxes: ids(&mut s, "taxes", faults),
        products: ids(&mut s, "products", faults),
        locations,
        shops,
        items: named,
        skip_warnings: s.texts("skip_warnings", faults).unwrap_or_else(|| vec!["invoice_taxes".into()]),
        rounding_within: s.number("rounding_within", 5, 0..1_000, faults),
        match_tax: s.flag("match_tax", true, faults),
        tolerance: amount(&mut s, "tolerance", "0", faults),
    };
    if settings.database.contains(['/', '?', '#']) {
        faults.push(fault("settings.database", "a database's name has no `/`, `?` or `#`"));
    }
    s.finish(faults);
    settings
}

fn ids(s: &mut Section<'_>, key: &'static str, faults: &mut Vec<ConfigFault>) -> BTreeMap<String, i64> {
    objects(s, key, faults, Value::as_i64)
}

fn objects<T>(
    s: &mut Section<'_>,
    key: &'static str,
    faults: &mut Vec<ConfigFault>,
    read: impl Fn(&Value) -> Option<T>,
) -> BTreeMap<String, T> {
    let path = s.path_of(key);
    let value = s.get(key);
    if !value.is_null() && value.as_obj().is_none() {
        faults.push(fault(&path, format!("expected ids by name, found {}", value.kind())));
    }
    let mut found = BTreeMap::new();
    for (name, value) in value.as_obj().into_iter().flat_map(|map| map.iter()) {
        match read(value) {
            Some(entry) => {
                found.insert(name.to_string(), entry);
            }
            None => faults.push(fault(join(&path, name), "expected the id of a record")),
        }
    }
    found
}

fn amount(s: &mut Section<'_>, key: &'static str, default: &str, faults: &mut Vec<ConfigFault>) -> Decimal {
    let path = s.path_of(key);
    let value = s.get(key);
    let given = if value.is_null() { crossdock_value::decimal::read(default) } else { plan::read_number(value) };
    given.filter(|amount| *amount >= Decimal::ZERO).unwrap_or_else(|| {
        faults.push(fault(path, "expected an amount such as `0.05`"));
        Decimal::ZERO
    })
}

impl Connector for Tryton {
    fn capability(&self, operation: Operation) -> Option<Capability> {
        match operation {
            Operation::ErpCreateOrder
            | Operation::ErpCancelOrder
            | Operation::ErpPostDelivery
            | Operation::ErpPostInvoice
            | Operation::ErpPostPayment => Some(Capability {
                // A sale by its unique key; what hangs on it by our reference, within one lane.
                identity: Identity::UniqueReference,
                key_lifetime_ms: None,
                settling_ms: self.settling_ms,
                probes: true,
                timeout_ms: self.timeout_ms,
                retracts: false,
            }),
            _ => None,
        }
    }

    fn prepare(&self, call: &Call) -> Result<Prepared, PrepareError> {
        let plan = match call.operation {
            Operation::ErpCreateOrder => plan::store(&plan::sale(&self.settings, call)?)?,
            Operation::ErpCancelOrder | Operation::ErpPostDelivery | Operation::ErpPostInvoice | Operation::ErpPostPayment => {
                plan::step(&self.settings, call)?
            }
            other => return Err(PrepareError::Unsupported { system: call.system.clone(), operation: other }),
        };
        Ok(Prepared { bytes: Arc::from(crossdock_value::to_json(&plan)), mapping: self.fingerprint.clone() })
    }

    fn next(&self, call: &Call, prepared: &[u8], exchanges: &[Exchange]) -> Next {
        let Ok(plan) = crossdock_value::parse(prepared, &Default::default()) else {
            return Next::End(Outcome::misconfigured("stored_request", "the stored plan cannot be read"));
        };
        let mut script = Script::new(&self.settings, exchanges);
        let ended = match call.operation {
            Operation::ErpCreateOrder => sale::create(&mut script, call, &plan),
            Operation::ErpCancelOrder => sale::cancel(&mut script, &plan),
            Operation::ErpPostDelivery => sale::deliver(&mut script, &plan),
            Operation::ErpPostInvoice => sale::invoice(&mut script, call, &plan),
            _ => sale::pay(&mut script, call, &plan),
        };
        match ended {
            Ok(outcome) => Next::End(outcome),
            Err(Stop::End(outcome)) => Next::End(*outcome),
            Err(Stop::Send(request)) => Next::Send(*request),
        }
    }

    fn probe(&self, call: &Call, prepared: &[u8], exchanges: &[Exchange]) -> NextProbe {
        let Ok(plan) = crossdock_value::parse(prepared, &Default::default()) else {
            return NextProbe::End(Probe::Unclear(Outcome::misconfigured("stored_request", "the stored plan cannot be read")));
        };
        let mut script = Script::new(&self.settings, exchanges);
        match sale::probe(&mut script, call, &plan) {
            Ok(probe) => NextProbe::End(probe),
            Err(Stop::Send(request)) => NextProbe::Send(*request),
            Err(Stop::End(outcome)) => NextProbe::End(Probe::Unclear(*outcome)),
        }
    }

    /// A session; Tryton names it by user, user id and token.
    fn token_request(&self) -> Option<Request> {
        let body = value!({
            "id": 0, "method": "common.db.login",
            "params": [(self.user.as_str()), {"password": (self.password.expose())}, (self.settings.language.as_str())],
        });
        let mut request =
            Request::new(Method::Post, format!("/{}/rpc/", self.settings.database)).json(crossdock_value::to_json(&body));
        request.authorize = false;
        Some(request)
    }

    fn token(&self, response: &Response) -> Result<Token, Outcome> {
        if response.status == 401 {
            return Err(Outcome::misconfigured("bad_password", "Tryton does not take the user's password"));
        }
        match wire::read(response, Nature::Read) {
            wire::Answer::Result(result) => {
                let part = |n: usize| result.as_arr().and_then(|parts| parts.get(n)).cloned().unwrap_or_default();
                match (part(0).as_i64(), part(1).as_str()) {
                    (Some(id), Some(token)) => {
                        let value = BASE64.encode(format!("{}:{id}:{token}", self.user));
                        Ok(Token { value: Arc::from(value), lives_ms: self.session_ms })
                    }
                    _ => Err(Outcome::misconfigured("no_session", "Tryton's login gives no session")),
                }
            }
            wire::Answer::UserError(message) | wire::Answer::UserWarning(_, message) => {
                Err(Outcome::misconfigured("login_refused", message))
            }
            wire::Answer::Ended(outcome) if outcome.class == OutcomeClass::Retry && outcome.code == classify::TOKEN_EXPIRED => {
                Err(Outcome::misconfigured("login_refused", outcome.text))
            }
            wire::Answer::Ended(outcome) => Err(outcome),
        }
    }

    fn authorize(&self, request: &mut Request, token: Option<&Token>) {
        if let Some(token) = token {
            request.headers.push(("authorization".into(), format!("Session {}", token.value)));
        }
    }
}
