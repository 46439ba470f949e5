//! From a landscape to a wired engine: connectors with their secrets, limits, flows, and policies by market.

use crossdock_canonical::{ChannelId, Duration, Operation, Role, SiteId, Timestamp};
use crossdock_connect::{
    Connector,
    config::{ConfigFault, SystemConfig, fault},
    secret::Secrets,
};
use crossdock_engine::shell::schedule;
use crossdock_engine::{
    Driver, FlowDriver, Pinned, PolicySource, Stray, System, Wiring,
    wiring::{Contracts, Limits, pin},
};
use crossdock_flows::{order::OrderFlow, payment::PaymentFlow};
use crossdock_landscape::{Job, Known, Landscape, LoadError, Missed};
use crossdock_value::Value;
use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

/// What keeps a hub from being wired.
#[derive(Debug, thiserror::Error)]
pub enum WiringError {
    #[error(transparent)]
    Landscape(#[from] LoadError),
    #[error("system {system}: {faults}")]
    System { system: String, faults: String },
}

/// Reads and checks a landscape with what the connectors have to say of it.
pub fn landscape(dir: &Path) -> Result<Landscape, WiringError> {
    Ok(Landscape::load(dir, &known())?)
}

/// What a landscape is checked against. Secrets are placeholders: checking needs none.
pub fn known() -> Known<'static> {
    static NAMES: std::sync::LazyLock<Vec<&'static str>> =
        std::sync::LazyLock::new(|| crossdock_connectors::registry::CONNECTORS.iter().map(|(name, _)| *name).collect());
    Known {
        connectors: &NAMES,
        faults: &|config: &SystemConfig| match crossdock_connectors::registry::build(config, &Secrets::placeholders()) {
            Ok(connector) => lacking(config, &*connector),
            Err(faults) => faults,
        },
    }
}

/// What a system cannot do for the roles it has. It is sure to be asked some day, and an order would have to wait for it.
fn lacking(config: &SystemConfig, connector: &dyn Connector) -> Vec<ConfigFault> {
    let needed = config.roles.iter().flat_map(|role| needed(*role).iter().copied());
    let lacking = needed.filter(|operation| connector.capability(*operation).is_none());
    lacking.map(|operation| fault("roles", format!("a system of this role must offer {operation}"))).collect()
}

/// What the flows ask of every system of a role, whatever the policy.
const fn needed(role: Role) -> &'static [Operation] {
    use Operation as Op;
    match role {
        Role::Storefront => &[Op::ExportStatus, Op::ConfirmationStatus, Op::ShippingStatus, Op::PaymentStatus, Op::OrderStatus],
        Role::Erp => &[Op::ErpCreateOrder, Op::ErpCancelOrder],
        Role::Wms => &[Op::WmsRelease, Op::WmsCancel],
        Role::Inventory => &[Op::Reserve, Op::ReleaseStock, Op::FulfilStock],
        Role::Payment => &[Op::PaymentCapture, Op::PaymentVoid, Op::PaymentRefund],
        Role::Tax => &[Op::TaxCommit, Op::TaxVoid],
        Role::Fraud => &[Op::Screen],
        Role::Notification => &[Op::Notify],
        _ => &[],
    }
}

/// How often storefronts are polled.
const POLL_EVERY: Duration = Duration::seconds(2);
/// How often the others are, whose webhooks tell the same sooner.
const CATCH_UP_EVERY: Duration = Duration::seconds(30);

/// Wires the engine to a landscape's systems. `poll_every` is for the storefronts.
pub fn wire(
    landscape: &Arc<Landscape>,
    environment: &dyn Fn(&str) -> Option<String>,
    poll_every: Option<Duration>,
) -> Result<Wiring, WiringError> {
    let secrets = Secrets::new(|reference| crossdock_landscape::read_secret(reference, &|name: &str| std::env::var(name).ok()));
    let mut systems = Vec::new();
    for system in landscape.systems() {
        let wrong = |faults: String| WiringError::System { system: system.name().to_string(), faults };
        let config = system.resolve(environment).map_err(|e| wrong(e.to_string()))?;
        let connector = crossdock_connectors::registry::build(&config, &secrets)
            .map_err(|faults| wrong(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))?;
        let polled = connector.poll(&Value::Null, &[], Timestamp(0)).is_some();
        let every = match config.roles.contains(&Role::Storefront) {
            true => poll_every.unwrap_or(POLL_EVERY),
            false => CATCH_UP_EVERY,
        };
        // The landscape's own schedule stands, unless the caller wants it otherwise.
        let polls = |entry: &crossdock_landscape::Schedule| entry.job == Job::Poll && entry.system.as_ref() == Some(&config.name);
        let scheduled = poll_every.is_none() && landscape.schedules().iter().any(polls);
        systems.push(System {
            name: config.name.clone(),
            roles: config.roles.clone(),
            product: config.connector.clone(),
            base: config.url.trim_end_matches('/').to_owned(),
            connector: Arc::from(connector),
            limits: Limits { concurrency: config.limits.concurrency, rate: config.limits.rate_per_second, ..Limits::default() },
            poll_every: (polled && !scheduled).then_some(every),
        });
    }
    let drivers: Vec<Arc<dyn Driver>> = vec![
        Arc::new(FlowDriver::<OrderFlow>::default()),
        Arc::new(FlowDriver::<PaymentFlow>::default()),
        Arc::new(FlowDriver::<Stray>::default()),
    ];
    let rules = Arc::new(Rules::new(landscape.clone()));
    Ok(Wiring { contracts: rules.clone(), ..Wiring::new(systems, drivers, rules) })
}

/// The landscape's schedules as the engine follows them. A sweep is a poll: the storefront's connector looks behind its watermark.
pub fn schedules(landscape: &Landscape) -> Vec<schedule::Schedule> {
    let plan = |entry: &crossdock_landscape::Schedule| {
        let job = match entry.job {
            Job::Poll | Job::Sweep => schedule::Job::Poll(entry.system.clone()?),
            Job::Reconcile => schedule::Job::Reconcile(entry.market.clone()),
        };
        let times = entry.clone();
        let next_after = Arc::new(move |at| times.next_after(at));
        Some(schedule::Schedule { name: entry.name.clone(), job, next_after, catch_up: entry.missed == Missed::Once })
    };
    landscape.schedules().iter().filter_map(plan).collect()
}

/// The landscape as the engine asks it.
pub struct Rules {
    landscape: Arc<Landscape>,
    /// The policies that orders were given lately, so that each is written and digested once.
    pinned: Mutex<Vec<Pinned>>,
}

/// Policies remembered: a landscape has a few for each market.
const PINNED_MAX: usize = 64;

impl Rules {
    pub fn new(landscape: Arc<Landscape>) -> Self {
        Self { landscape, pinned: Mutex::default() }
    }
}

impl Contracts for Rules {
    fn check(&self, kind: &str, message: &Value) -> Result<(), String> {
        self.landscape.check_contract(kind, message)
    }
}

/// Policies are by the market an order's site belongs to.
impl PolicySource for Rules {
    fn policy_for(&self, document: &Value) -> Result<Pinned, String> {
        let channel = ChannelId::new(document.get("channel").as_str().unwrap_or_default());
        let site = SiteId::new(document.get("site").as_str().unwrap_or_default());
        let market =
            self.landscape.market_of(&channel, &site).ok_or_else(|| format!("no market has the site {channel}/{site}"))?;
        let policy = self.landscape.policy_for(market, document).map_err(|e| e.to_string())?;
        let mut known = self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pinned) = known.iter().find(|pinned| *pinned.policy == policy) {
            return Ok(pinned.clone());
        }
        let pinned = pin(policy);
        if known.len() < PINNED_MAX {
            known.push(pinned.clone());
        }
        Ok(pinned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossdock_canonical::SystemName;

    #[test]
    fn a_system_that_cannot_do_what_its_role_needs_is_found_before_an_order_is() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../landscapes/demo");
        let demo = crossdock_landscape::Folder::read(&folder).expect("it can be read");
        let fraud_only = demo.files().map(|(path, text)| (path, text.replace("roles: [fraud]", "roles: [fraud, notification]")));
        let report =
            Landscape::from_folder(&crossdock_landscape::Folder::from_files(fraud_only), &known()).expect_err("it is faulty");
        let told = report.to_string();
        assert!(
            told.lines().any(|line| line.starts_with("systems/fraud.yaml:3:") && line.contains("notification.send")),
            "{told}"
        );
    }

    #[test]
    fn every_system_whose_connector_polls_is_polled() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../landscapes/demo");
        let landscape = Arc::new(landscape(&folder).unwrap_or_else(|error| panic!("{error}")));
        let address = |_: &str| Some("http://127.0.0.1:9".to_owned());
        let wiring = wire(&landscape, &address, Some(Duration::millis(200))).unwrap_or_else(|error| panic!("{error}"));
        let mut polled: Vec<(&str, Duration)> =
            wiring.systems.values().filter_map(|system| Some((system.name.as_str(), system.poll_every?))).collect();
        polled.sort();
        let expected = [("fraud", CATCH_UP_EVERY), ("storefront", Duration::millis(200)), ("warehouse", CATCH_UP_EVERY)];
        assert_eq!(polled, expected);
        let scheduled = wire(&landscape, &address, None).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(scheduled.systems[&SystemName::new("storefront")].poll_every, None, "its own schedule stands");
    }
}
