//! Salesforce B2C Commerce through the SCAPI Orders API: orders are polled, statuses and one attribute are written back.
//!
//! It deliberately does not place, edit or search orders, and it writes no line state but the versioned `c_hubState` attribute,
//! because the API has none. See `README.md` for what the platform allows and where that is documented.

mod mapping;
mod poll;
#[cfg(test)]
mod tests;
mod wire;

use crossdock_canonical::payment::Tender;
use crossdock_canonical::{Operation, Outcome, OutcomeClass, Timestamp};
use crossdock_connect::classify::{self, Credentials, Nature};
use crossdock_connect::config::{ConfigFault, Section, SystemConfig, fault, join};
use crossdock_connect::http::{self, Method, Request, Response};
use crossdock_connect::oauth::ClientCredentials;
use crossdock_connect::secret::Secrets;
use crossdock_connect::{
    Call, Capability, Connector, Exchange, Identity, Next, NextPoll, NextProbe, PrepareError, Prepared, Probe, Token,
};
use crossdock_value::{Budget, Mapping, Value, value};
use std::sync::Arc;

/// The platform ends an administrative call after 60 s itself; one second more lets its 504 arrive.
const TIMEOUT_MS: i64 = 61_000;

/// The settings of a system with `connector: salesforce-b2c`.
#[derive(Clone, Debug)]
struct Settings {
    /// How the hub calls this storefront instance; the first part of every order's reference.
    channel: String,
    /// `f_ecom_` and the tenant.
    organization: String,
    sites: Vec<String>,
    api: String,
    /// Export statuses that mean "for us to take".
    export: Vec<String>,
    /// Statuses polled for changes after an order was taken; empty turns it off.
    watch: Vec<String>,
    page_max: u32,
    overlap_ms: i64,
    overlap_every_ms: i64,
    sweep_every_ms: i64,
    /// Orders changed before this are not polled.
    start: Timestamp,
    /// After a restore: orders that were taken since then are taken once more.
    recover: Option<Timestamp>,
    /// How long the platform may show an old status after a write.
    settling_ms: i64,
    state_attribute: String,
    /// The unit of quantities; the API has none.
    unit: String,
    store_attribute: String,
    pickup_methods: Vec<String>,
    digital_methods: Vec<String>,
    digital_attribute: String,
    tenders: Vec<(String, Tender)>,
    /// Attributes of the payment instrument that hold the provider's token and name.
    token_attribute: Option<String>,
    processor_attribute: Option<String>,
}

/// Methods that are no wallets; a market's own names are added by `settings.tenders`.
const TENDERS: &[(&str, Tender)] = &[
    ("GIFT_CERTIFICATE", Tender::GiftCard),
    ("CREDIT_CARD", Tender::Card),
    ("DEBIT_CARD", Tender::Card),
    ("INVOICE", Tender::Invoice),
    ("PREPAYMENT", Tender::Invoice),
    ("BANK_TRANSFER", Tender::Invoice),
    ("CASH_ON_DELIVERY", Tender::Invoice),
];

struct SalesforceB2c {
    settings: Settings,
    client: ClientCredentials,
    /// Canonical fields that the landscape computes itself, over `{order, canonical}`.
    overrides: Option<Mapping>,
    timeout_ms: i64,
    fingerprint: Arc<str>,
}

pub fn build(config: &SystemConfig, secrets: &Secrets) -> Result<Box<dyn Connector>, Vec<ConfigFault>> {
    let mut faults = Vec::new();
    let settings = settings(Section::new(&config.settings, "settings", &mut faults), &mut faults);
    let mut auth = Section::new(&config.auth, "auth", &mut faults);
    let tenant = settings.organization.strip_prefix("f_ecom_").unwrap_or("");
    let scopes = auth.text("scopes", &mut faults).unwrap_or("sfcc.orders.rw");
    let client = ClientCredentials {
        url: auth.text("token_url", &mut faults).unwrap_or(wire::TOKEN_URL).to_owned(),
        client_id: auth.required("client_id", &mut faults).to_owned(),
        client_secret: auth.secret("client_secret", &config.url, secrets, &mut faults),
        scope: Some(format!("SALESFORCE_COMMERCE_API:{tenant} {scopes}")),
    };
    auth.finish(&mut faults);
    let overrides = overrides(config, &mut faults);
    let timeout_ms = config.timeout_ms(TIMEOUT_MS, &mut faults);
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(Box::new(SalesforceB2c { settings, client, overrides, timeout_ms, fingerprint: config.fingerprint() }))
}

fn settings(mut s: Section<'_>, faults: &mut Vec<ConfigFault>) -> Settings {
    let organization = s.required("organization", faults).to_owned();
    if !organization.is_empty() && !is_organization(&organization) {
        faults.push(fault(s.path_of("organization"), "expected `f_ecom_` and a tenant, such as `f_ecom_zzte_053`"));
    }
    let sites = s.texts("sites", faults).unwrap_or_default();
    if sites.is_empty() || sites.iter().any(|site| site.is_empty() || site.len() > 32) {
        faults.push(fault(s.path_of("sites"), "expected the ids of the sites to serve, each of 1 to 32 characters"));
    }
    let mut instant = |name: &'static str| {
        let text = s.text(name, faults)?;
        let instant = Timestamp::parse(text);
        if instant.is_none() {
            faults.push(fault(s.path_of(name), "expected an instant such as 2026-11-24T10:00:00Z"));
        }
        instant
    };
    let start = instant("start").unwrap_or(Timestamp(0));
    let recover = instant("recover");
    let export = s.texts("export", faults).unwrap_or_else(|| vec!["ready".into()]);
    if export.is_empty() || export.iter().any(|status| !["ready", "not_exported", "failed"].contains(&status.as_str())) {
        faults.push(fault(s.path_of("export"), "expected one or more of ready, not_exported, failed"));
    }
    let watch = s.texts("watch", faults).unwrap_or_else(|| vec!["cancelled".into()]);
    if watch.len() > 2 || watch.iter().any(|status| !["new", "completed", "cancelled"].contains(&status.as_str())) {
        faults.push(fault(s.path_of("watch"), "expected at most two of new, completed, cancelled: the platform lists no others"));
    }
    let mut tenders = Vec::new();
    let given = s.get("tenders");
    for (method, kind) in given.as_obj().into_iter().flat_map(|map| map.iter()) {
        match kind.as_str() {
            Some("gift_card") => tenders.push((method.to_string(), Tender::GiftCard)),
            Some("card") => tenders.push((method.to_string(), Tender::Card)),
            Some("wallet") => tenders.push((method.to_string(), Tender::Wallet)),
            Some("invoice") => tenders.push((method.to_string(), Tender::Invoice)),
            _ => faults.push(fault(join(&s.path_of("tenders"), method), "expected gift_card, card, wallet or invoice")),
        }
    }
    tenders.extend(TENDERS.iter().map(|(method, kind)| ((*method).to_owned(), *kind)));

    let mut pickup = s.section("pickup", faults);
    let store_attribute = pickup.text("store_attribute", faults).unwrap_or("c_fromStoreId").to_owned();
    let pickup_methods = pickup.texts("methods", faults).unwrap_or_default();
    pickup.finish(faults);
    let mut digital = s.section("digital", faults);
    let digital_attribute = digital.text("item_attribute", faults).unwrap_or("c_digital").to_owned();
    let digital_methods = digital.texts("methods", faults).unwrap_or_else(|| vec!["DIGITAL".into(), "EMAIL".into()]);
    digital.finish(faults);

    let settings = Settings {
        channel: s.required("channel", faults).to_owned(),
        organization,
        sites,
        api: s.text("api", faults).unwrap_or(wire::API).to_owned(),
        export,
        watch,
        page_max: u32::try_from(s.number("page_size", 100, 1..i64::from(wire::PAGE_MAX) + 1, faults)).unwrap_or(100),
        overlap_ms: s.duration("overlap", 120_000, faults),
        overlap_every_ms: s.duration("overlap_every", 60_000, faults),
        sweep_every_ms: s.duration("sweep_every", 300_000, faults),
        start,
        recover,
        settling_ms: s.duration("settling", 2_000, faults),
        state_attribute: s.text("state_attribute", faults).unwrap_or("c_hubState").to_owned(),
        unit: s.text("unit", faults).unwrap_or("EA").to_owned(),
        store_attribute,
        pickup_methods,
        digital_methods,
        digital_attribute,
        tenders,
        token_attribute: s.text("token_attribute", faults).map(str::to_owned),
        processor_attribute: s.text("processor_attribute", faults).map(str::to_owned),
    };
    if !settings.state_attribute.starts_with("c_") {
        faults.push(fault(s.path_of("state_attribute"), "the platform takes only attributes that begin with `c_`"));
    }
    if settings.channel.contains('/') {
        faults.push(fault(s.path_of("channel"), "a channel's name has no `/`"));
    }
    s.finish(faults);
    settings
}

/// `f_ecom_{realm}_{instance}`, as the API's own pattern has it.
fn is_organization(text: &str) -> bool {
    let Some((realm, instance)) = text.strip_prefix("f_ecom_").and_then(|tenant| tenant.split_once('_')) else { return false };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    realm.len() == 4
        && realm.bytes().all(|byte| byte.is_ascii_lowercase())
        && (matches!(instance, "prd" | "stg" | "dev")
            || (instance.len() == 3 && (digits(instance) || instance.strip_prefix('s').is_some_and(digits))))
}

/// `mappings: {order.placed: {canonical.path: jq}}`.
fn overrides(config: &SystemConfig, faults: &mut Vec<ConfigFault>) -> Option<Mapping> {
    for name in config.mappings.keys().filter(|name| name.as_str() != "order.placed") {
        faults.push(fault(join("mappings", name), "this connector maps `order.placed` only"));
    }
    let given = config.mappings.get("order.placed")?;
    let path = join("mappings", "order.placed");
    let entries: Vec<(String, String)> = given
        .as_obj()
        .into_iter()
        .flat_map(|map| map.iter())
        .map(|(target, source)| (target.to_string(), source.as_str().unwrap_or("").to_owned()))
        .collect();
    match Mapping::compile(&entries, &[]) {
        Ok(mapping) => Some(mapping),
        Err(found) => {
            faults.extend(found.into_iter().map(|(at, error)| ConfigFault {
                path: join(&path, &entries[at].0),
                span: Some(error.span.clone()),
                message: error.to_string(),
            }));
            None
        }
    }
}

impl SalesforceB2c {
    fn target(&self, call: &Call, resource: Option<&str>) -> String {
        wire::order_target(&self.settings.api, &self.settings.organization, &call.order, resource)
    }

    fn read(&self, call: &Call) -> Request {
        Request::new(Method::Get, self.target(call, None))
    }

    fn mapped(&self, body: &[u8]) -> Result<Value, PrepareError> {
        let failed = |target: &str, reason: String| PrepareError::Mapping { target: target.to_owned(), reason };
        let raw = crossdock_value::parse(body, &Default::default()).map_err(|e| failed("", e.to_string()))?;
        let order = mapping::order(&self.settings, &raw).map_err(|e| failed(&e.path, e.reason))?;
        let canonical = crossdock_value::to_value(&order).map_err(|e| failed("", e.to_string()))?;
        let Some(overrides) = &self.overrides else { return Ok(canonical) };
        let input = value!({"order": raw, "canonical": (canonical.clone())});
        let made = overrides.run(&input, &[], &Budget::default()).map_err(|e| failed(&e.target, e.error.to_string()))?;
        let mut canonical = canonical;
        for (target, _) in overrides.entries() {
            let value = made.at(target);
            if !value.is_null() {
                canonical.set(target, value.clone());
            }
        }
        // Whatever a mapping wrote must still be an order.
        crossdock_value::from_value::<crossdock_canonical::Order>(&canonical).map_err(|e| failed("", e.to_string()))?;
        Ok(canonical)
    }
}

impl Connector for SalesforceB2c {
    /// Every write sets a field to a value and can be read back, so a repeat has one effect.
    fn capability(&self, operation: Operation) -> Option<Capability> {
        if wire::status_field(operation).is_none() && operation != Operation::HubState {
            return None;
        }
        Some(Capability {
            identity: Identity::UniqueReference,
            key_lifetime_ms: None,
            settling_ms: self.settings.settling_ms,
            probes: true,
            timeout_ms: self.timeout_ms,
            retracts: false,
        })
    }

    fn prepare(&self, call: &Call) -> Result<Prepared, PrepareError> {
        let request = match wire::status_field(call.operation) {
            Some(field) => {
                let status = required(&call.args, "status")?;
                Request::new(Method::Put, self.target(call, Some(field.resource)))
                    .json(crossdock_value::to_json(&value!({"status": status})))
            }
            None if call.operation == Operation::HubState => {
                // The attribute is of type text: the state travels as JSON within JSON.
                let state = crossdock_value::to_json_string(call.args.get("state"));
                let body = crossdock_value::obj([(self.settings.state_attribute.as_str(), state)]);
                Request::new(Method::Patch, self.target(call, None)).json(crossdock_value::to_json(&body))
            }
            None => return Err(PrepareError::Unsupported { system: call.system.clone(), operation: call.operation }),
        };
        Ok(Prepared { bytes: http::encode(&[request]), mapping: self.fingerprint.clone() })
    }

    fn next(&self, _call: &Call, prepared: &[u8], exchanges: &[Exchange]) -> Next {
        match exchanges.last().map(|exchange| &exchange.answer) {
            None => match http::decode(prepared).and_then(|requests| requests.into_iter().next()) {
                Some(request) => Next::Send(request),
                None => Next::End(Outcome::misconfigured("stored_request", "the stored request cannot be read")),
            },
            Some(Err(error)) => Next::End(classify::broken(error, Nature::Change)),
            Some(Ok(response)) => Next::End(written(response)),
        }
    }

    fn probe(&self, call: &Call, prepared: &[u8], exchanges: &[Exchange]) -> NextProbe {
        let response = match exchanges.last().map(|exchange| &exchange.answer) {
            None => return NextProbe::Send(self.read(call)),
            Some(Err(error)) => return NextProbe::End(Probe::Unclear(classify::broken(error, Nature::Read))),
            Some(Ok(response)) => response,
        };
        if response.status == 404 {
            return NextProbe::End(Probe::MovedOn(gone(response)));
        }
        let order = classify::body(response);
        if !response.is_success() || order.as_obj().is_none() {
            return NextProbe::End(Probe::Unclear(classify::answered(response, Nature::Read, Credentials::Token)));
        }
        // What was sent counts, not what is called for by now.
        let sent = http::decode(prepared).and_then(|requests| requests.into_iter().next());
        let sent = sent.and_then(|request| crossdock_value::parse(&request.body, &Default::default()).ok());
        let Some(sent) = sent else {
            return NextProbe::End(Probe::Unclear(Outcome::misconfigured("stored_request", "the stored request cannot be read")));
        };
        let attribute = self.settings.state_attribute.as_str();
        NextProbe::End(match wire::status_field(call.operation) {
            Some(field) => compare_status(field, sent.get("status").as_str().unwrap_or(""), &order),
            None => compare_state(sent.get(attribute), order.get(attribute)),
        })
    }

    fn translate(&self, kind: &str, body: &[u8]) -> Result<Value, PrepareError> {
        match kind {
            "order.placed" | "order.observed" => self.mapped(body),
            "order.cancel_requested" => {
                let raw = crossdock_value::parse(body, &Default::default())
                    .map_err(|e| PrepareError::Mapping { target: String::new(), reason: e.to_string() })?;
                Ok(value!({"reason": (raw.get("cancelCode").clone()), "text": (raw.get("cancelDescription").clone())}))
            }
            other => {
                Err(PrepareError::Mapping { target: other.to_owned(), reason: "the storefront sends no such message".into() })
            }
        }
    }

    fn poll(&self, cursor: &Value, exchanges: &[Exchange], now: Timestamp) -> Option<NextPoll> {
        Some(poll::poll(&self.settings, cursor, exchanges, now))
    }

    fn token_request(&self) -> Option<Request> {
        Some(self.client.request())
    }

    fn token(&self, response: &Response) -> Result<Token, Outcome> {
        self.client.token(response)
    }

    fn authorize(&self, request: &mut Request, token: Option<&Token>) {
        if let Some(token) = token {
            request.headers.push(("authorization".into(), format!("Bearer {}", token.value)));
        }
    }
}

fn required<'a>(args: &'a Value, key: &str) -> Result<&'a str, PrepareError> {
    args.get(key)
        .as_str()
        .ok_or_else(|| PrepareError::Mapping { target: key.to_owned(), reason: format!("the argument `{key}` is missing") })
}

/// The outcome of a write.
fn written(response: &Response) -> Outcome {
    let mut outcome = classify::answered(response, Nature::Change, Credentials::Token);
    match outcome.class {
        OutcomeClass::Refused if response.status == 404 => return gone(response),
        OutcomeClass::Refused => {
            let problem = classify::body(response);
            if let Some(slug) = slug(&problem) {
                outcome.code = slug;
            }
            outcome.text = problem.get("detail").as_str().unwrap_or_default().chars().take(300).collect();
        }
        OutcomeClass::Retry if response.status == 503 => {
            if let Some(load) = response.header("sfdc_load") {
                outcome.text = format!("the platform sheds load at {load}");
            }
        }
        _ => {}
    }
    outcome
}

/// Orders may be deleted once they are exported.
fn gone(response: &Response) -> Outcome {
    let problem = classify::body(response);
    let detail =
        problem.get("detail").as_str().unwrap_or("the storefront does not know the order").chars().take(300).collect::<String>();
    Outcome::refused("order_gone", detail)
}

/// The last part of a problem's type: `order-not-found` becomes `order_not_found`.
fn slug(problem: &Value) -> Option<String> {
    let slug = problem.get("type").as_str()?.rsplit('/').next()?.replace('-', "_");
    let plain = !slug.is_empty()
        && slug.len() <= 60
        && slug.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    plain.then_some(slug)
}

fn compare_status(field: &wire::StatusField, asked: &str, order: &Value) -> Probe {
    let found = order.get(field.field).as_str().unwrap_or("");
    let rank = |value: &str| field.values.iter().position(|known| *known == value);
    if found == asked {
        return Probe::Complete(Outcome::done(value!({"status": found})));
    }
    match (rank(asked), rank(found)) {
        // A later write of ours has already gone past it.
        (Some(asked_rank), Some(found_rank)) if found_rank > asked_rank => {
            Probe::Complete(Outcome::done(value!({"status": asked, "superseded_by": found})))
        }
        (None, None) if !found.is_empty() => Probe::MovedOn(Outcome::refused(
            format!("order_{found}"),
            format!("the order is {found} in the storefront, not {asked}"),
        )),
        _ => Probe::Absent,
    }
}

/// Compares our state with what the order carries: the same or a later version means that ours has arrived.
fn compare_state(asked: &Value, found: &Value) -> Probe {
    let read = |state: &Value| state.as_str().and_then(|text| crossdock_value::parse_str(text).ok());
    let (Some(asked), Some(found)) = (read(asked), read(found)) else { return Probe::Absent };
    let version = |state: &Value| state.get("version").as_decimal();
    if found == asked || (version(&found).is_some() && version(&found) > version(&asked)) {
        return Probe::Complete(Outcome::done(value!({"version": (found.get("version").clone())})));
    }
    Probe::Absent
}
