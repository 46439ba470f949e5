//! What the hub of the benchmark is wired to: six systems at one address, and for *full* a Salesforce storefront with the demo's
//! policies. The mappings are jq over the whole order, as a landscape writes them.

use super::{
    Workload,
    flow::{STEPS, SixSteps},
    opaque::Opaque,
};
use crate::{fixture, hub};
use crossdock_canonical::SystemName;
use crossdock_connect::{
    Connector,
    config::{Limits as ConfigLimits, SystemConfig},
    secret::Secrets,
};
use crossdock_connectors::registry;
use crossdock_engine::{Driver, FlowDriver, Pinned, PolicySource, Stray, System, Wiring, wiring::Limits};
use crossdock_landscape::Landscape;
use crossdock_value::{Value, value};
use std::{collections::BTreeMap, sync::Arc};

/// The system that opaque orders come from.
pub const SHOP: &str = "shop";
/// Calls at once to each system.
pub const CONCURRENCY: u32 = 64;

/// The body of each step in jq, in the order of `STEPS`.
const BODIES: [&str; 6] = [
    "{ reference, email: .document.customer.email, total: .document.totals.grand, ship_to: .document.shipments[0].ship_to,
       lines: [ .document.lines[] | { sku, quantity: .quantity.value, amount: .gross.amount } ] }",
    "{ reference, amount: .document.totals.grand.amount, currency: .document.currency,
       method: .document.payments[0].method, transaction: .document.payments[0].transaction }",
    "{ reference, lines: [ .document.lines[] | { line: .id, sku, quantity: .quantity.value, location: .inventory } ] }",
    r#".document as $order | $order.currency as $currency
     | [ $order.lines[] | { line: .id, sku: (.sku // "GIFT-CARD"), quantity: .quantity.value, unit_price: .unit_price.amount,
                            amount: .gross.amount, tax_amount: .tax.amount } ] as $lines
     | [ $order.shipping[]? | { code: "SHIPPING", amount: .gross.amount, tax_amount: .tax.amount } ] as $shipping
     | (($order.totals.grand.amount | tonumber) - ([ $lines[], $shipping[] | .amount | tonumber ] | add)) as $rest
     | { external_reference: .reference, channel: .order.channel, site: .order.site, order: .order.number, currency: $currency,
         total: $order.totals.grand.amount,
         customer: ({ reference: $order.customer.number, name: $order.customer.name, email: $order.customer.email }
                    | with_entries(select(.value != null))),
         lines: $lines,
         charges: ($shipping + (if $rest == 0 then [] else [ { code: "ADJUSTMENT", amount: ($rest | fixed($currency)) } ] end)) }"#,
    r#".document as $order | $order.shipments[0] as $planned
     | { external_reference: .reference, channel: .order.channel, site: .order.site, order: .order.number,
         location: $order.lines[0].inventory, service: (if $planned.method == "express" then "express" else "standard" end),
         lines: [ $order.lines[] | { line: .id, sku, quantity: .quantity.value } ],
         ship_to: ($planned.ship_to | { name, street: .line1, city, postal_code, region, country }
                   | with_entries(select(.value != null and .value != ""))) }"#,
    r#"{ template: "order_released", reference, to: .document.customer.email, locale: .document.locale, order: .order.number,
         total: .document.totals.grand, lines: [ .document.lines[] | { name, quantity: .quantity.value } ] }"#,
];

/// Wires a hub, or a caller without one, to the systems at `urls`, in the order of `STEPS`.
pub fn wire(workload: Workload, urls: &[String]) -> Result<Wiring, String> {
    let [first, ..] = urls else { return Err("the systems have no addresses".into()) };
    let landscape = Landscape::from_folder(&fixture::demo_landscape(), &hub::known()).map_err(|report| report.to_string())?;
    let mut systems = Vec::new();
    match workload {
        Workload::Engine => systems.push(system(SHOP, first, Arc::new(Opaque::new()))),
        Workload::Full => systems.push(system("storefront", first, storefront(&landscape, first)?)),
    }
    for ((step, body), url) in STEPS.iter().zip(BODIES).zip(urls) {
        let connector: Arc<dyn Connector> = match workload {
            Workload::Engine => Arc::new(Opaque::new()),
            Workload::Full => mapped(step, body, url)?,
        };
        systems.push(system(step.system, url, connector));
    }
    let policies: Arc<dyn PolicySource> = match workload {
        Workload::Engine => Arc::new(Unused),
        Workload::Full => Arc::new(hub::Rules::new(Arc::new(landscape))),
    };
    let drivers: Vec<Arc<dyn Driver>> =
        vec![Arc::new(FlowDriver::<SixSteps>::default()), Arc::new(FlowDriver::<Stray>::default())];
    Ok(Wiring::new(systems, drivers, policies))
}

fn system(name: &str, url: &str, connector: Arc<dyn Connector>) -> System {
    System {
        name: SystemName::new(name),
        roles: Vec::new(),
        product: "bench".into(),
        base: url.into(),
        connector,
        limits: Limits { concurrency: CONCURRENCY, ..Limits::default() },
        poll_every: None,
    }
}

/// The demo's storefront: it only reads orders here.
fn storefront(landscape: &Landscape, url: &str) -> Result<Arc<dyn Connector>, String> {
    let configured = landscape.system(&SystemName::new("storefront")).ok_or("the demo's landscape has no storefront")?;
    let config = configured.resolve(&|_: &str| Some(url.to_owned())).map_err(|e| e.to_string())?;
    built(&config)
}

fn mapped(step: &super::flow::Step, body: &str, url: &str) -> Result<Arc<dyn Connector>, String> {
    let mut operations = Value::Null;
    operations.insert(
        step.operation.as_str(),
        value!({
            "method": "POST",
            "path": (format!("/{}/{{.order.number}}", step.system)),
            "body": body,
            "evidence": "{ id: .body.id }",
            "identities": (format!(r#"[ {{ kind: "{}", ours: .order.reference, theirs: .record.id }} ]"#, step.name)),
        }),
    );
    let config = SystemConfig {
        name: SystemName::new(step.system),
        connector: "http-json".into(),
        roles: vec![step.operation.role()],
        url: url.into(),
        auth: Value::Null,
        limits: ConfigLimits { concurrency: CONCURRENCY, ..ConfigLimits::default() },
        settings: value!({
            "identity": "native_key",
            "headers": {"idempotency-key": ".key"},
            "operations": operations,
        }),
        mappings: BTreeMap::new(),
    };
    built(&config)
}

fn built(config: &SystemConfig) -> Result<Arc<dyn Connector>, String> {
    let secrets = Secrets::placeholders();
    let connector = registry::build(config, &secrets)
        .map_err(|faults| faults.iter().map(|fault| format!("{}: {fault}", config.name)).collect::<Vec<_>>().join("\n"))?;
    Ok(Arc::from(connector))
}

/// Opaque orders have no policy.
struct Unused;

impl PolicySource for Unused {
    fn policy_for(&self, _: &Value) -> Result<Pinned, String> {
        Err("opaque orders have no policy".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_workloads_can_be_wired() {
        for workload in Workload::ALL {
            let wiring =
                wire(workload, &vec!["http://127.0.0.1:1".into(); STEPS.len()]).unwrap_or_else(|e| panic!("{workload:?}: {e}"));
            assert_eq!(wiring.systems.len(), 7);
        }
    }
}
