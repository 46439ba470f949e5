//! The demo's landscape, wired as the hub does it, once for all runs of a thread.

use crossdock_canonical::{ChannelId, Duration, SiteId, Timestamp};
use crossdock_connect::{Connector, config::SystemConfig, secret::Secrets};
use crossdock_connectors::registry;
use crossdock_engine::{
    Driver, FlowDriver, Pinned, PolicySource, Stray, System, Wiring,
    wiring::{Contracts, Limits, Retry, pin},
};
use crossdock_flows::{order::OrderFlow, payment::PaymentFlow};
use crossdock_landscape::{Known, Landscape};
use crossdock_value::Value;
use std::{path::Path, sync::Arc};

/// A person is asked sooner than in production, so that a run ends.
const GIVE_UP_AFTER: Duration = Duration::hours(2);

/// Wires the landscape in `landscapes/demo` to addresses nobody listens on; the bytes go to the simulated town instead.
pub fn demo() -> Result<Wiring, String> {
    demo_at(&|_: &str| Some("http://127.0.0.1:9".to_owned()), Duration::seconds(2), &|_| ())
}

/// Wires the same landscape to systems at the addresses its variables stand for. `set` changes what it says of a system.
pub fn demo_at(
    environment: &dyn Fn(&str) -> Option<String>,
    poll_every: Duration,
    set: &dyn Fn(&mut SystemConfig),
) -> Result<Wiring, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../landscapes/demo");
    let landscape = Arc::new(Landscape::load(&folder, &Known::ANYTHING).map_err(|e| e.to_string())?);
    let secrets = Secrets::new(|_| Err("the demo keeps no secret outside its landscape".into()));
    let mut systems = Vec::new();
    for system in landscape.systems() {
        let mut config = system.resolve(environment).map_err(|e| e.to_string())?;
        set(&mut config);
        let connector: Arc<dyn Connector> = registry::build(&config, &secrets)
            .map_err(|faults| faults.iter().map(|fault| format!("{}: {fault}", config.name)).collect::<Vec<_>>().join("\n"))?
            .into();
        let polled = connector.poll(&Value::Null, &[], Timestamp(0)).is_some();
        let default = Limits::default();
        systems.push(System {
            name: config.name.clone(),
            roles: config.roles.clone(),
            product: config.connector.clone(),
            base: config.url.clone(),
            connector,
            limits: Limits {
                concurrency: config.limits.concurrency,
                rate: config.limits.rate_per_second,
                retry: Retry { give_up_after: GIVE_UP_AFTER, ..default.retry },
            },
            poll_every: polled.then_some(poll_every),
        });
    }
    let drivers: Vec<Arc<dyn Driver>> = vec![
        Arc::new(FlowDriver::<OrderFlow>::default()),
        Arc::new(FlowDriver::<PaymentFlow>::default()),
        Arc::new(FlowDriver::<Stray>::default()),
    ];
    let rules = Arc::new(Rules(landscape));
    Ok(Wiring { contracts: rules.clone(), ..Wiring::new(systems, drivers, rules) })
}

/// The landscape as the engine asks it.
struct Rules(Arc<Landscape>);

impl Contracts for Rules {
    fn check(&self, kind: &str, message: &Value) -> Result<(), String> {
        self.0.check_contract(kind, message)
    }
}

/// Policies are by the market an order's site belongs to.
impl PolicySource for Rules {
    fn policy_for(&self, document: &Value) -> Result<Pinned, String> {
        let channel = ChannelId::new(document.get("channel").as_str().unwrap_or_default());
        let site = SiteId::new(document.get("site").as_str().unwrap_or_default());
        let market = self.0.market_of(&channel, &site).ok_or_else(|| format!("no market has the site {channel}/{site}"))?;
        Ok(pin(self.0.policy_for(market, document).map_err(|e| e.to_string())?))
    }
}
