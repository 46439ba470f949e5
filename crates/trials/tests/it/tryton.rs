//! What the connector plans for Tryton, priced as Tryton prices it, for more orders than a real one books in a night.
//!
//! The arithmetic is read from `account/tax.py` and `sale/sale.py` of trytond 8.2, and shares nothing with the connector's own
//! forecast: a line is its price times its quantity, rounded; a tax is that of the prices as they are, summed up by rate and by sign and
//! rounded then. All rounding is half to even. That Tryton really does so is what `cargo xtask campaign tryton` shows.

use crossdock_canonical::{Operation, OrderRef, Timestamp};
use crossdock_connect::{Call, Connector, config::SystemConfig, secret::Secrets};
use crossdock_connectors::registry;
use crossdock_landscape::{Known, Landscape};
use crossdock_simulators::{Config, Mix, World};
use crossdock_value::{Decimal, Value, value};
use std::{collections::BTreeMap, path::Path, sync::Arc};

const ORDERS: usize = 2_000;

fn repository(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn connector(config: &SystemConfig) -> Box<dyn Connector> {
    registry::build(config, &Secrets::placeholders()).unwrap_or_else(|faults| panic!("{faults:?}"))
}

fn storefront() -> Box<dyn Connector> {
    let landscape = Landscape::load(&repository("landscapes/demo"), &Known::ANYTHING).expect("the demo's landscape");
    let system = landscape.systems().iter().find(|system| system.name().as_str() == "storefront").expect("it has a storefront");
    connector(&system.resolve(&|_| Some("http://127.0.0.1:9".into())).expect("an address"))
}

fn listed<'v>(content: &'v Value, key: &str) -> &'v [Value] {
    content.get(key).as_arr().expect("a list")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// The content of the set-up, with ids as they come.
fn tryton(content: &Value) -> Box<dyn Connector> {
    let (mut currencies, mut taxes, mut shops) = (value!({}), value!({}), value!({}));
    for (currency, id) in listed(content, "currencies").iter().zip(1_i64..) {
        currencies.insert(text(currency.get("code")), id);
    }
    for (rate, id) in listed(content, "tax_rates").iter().zip(1_i64..) {
        taxes.insert(text(rate), id);
    }
    for (site, _) in content.get("shops").as_obj().expect("shops").iter() {
        shops.insert(site.clone(), value!({"id": 1}));
    }
    let system = value!({
        "name": "erp", "connector": "tryton", "roles": ["erp"], "url": "http://127.0.0.1:9",
        "auth": {"user": "hub", "password": "env:PASSWORD"},
        "settings": {
            "database": "tryton",
            "currencies": currencies,
            "taxes": taxes,
            "web_shops": shops,
        },
    });
    connector(&crossdock_value::from_value(&system).expect("a system"))
}

/// What Tryton makes of a sale: its total and its tax.
fn priced(sale: &Value, digits: u32) -> (Decimal, Decimal) {
    let number = |value: &Value| match value {
        Value::Str(text) => text.parse().expect("a number"),
        value => value.as_decimal().expect("a number"),
    };
    let (mut untaxed, mut taxed) = (Decimal::ZERO, BTreeMap::<(String, bool), Decimal>::new());
    for line in sale.get("lines").as_arr().expect("lines") {
        let amount = number(line.get("unit_price")) * number(line.get("quantity"));
        untaxed += amount.round_dp(digits);
        if let Some(rate) = line.get("rate").as_str() {
            *taxed.entry((rate.to_owned(), amount >= Decimal::ZERO)).or_default() += amount * number(&Value::from(rate));
        }
    }
    let tax: Decimal = taxed.values().map(|tax| tax.round_dp(digits)).sum();
    (untaxed + tax, tax)
}

#[test]
fn tryton_makes_of_every_ordinary_order_what_the_shopper_paid() {
    let read = std::fs::read(repository("peers/tryton/content.json")).expect("the set-up's content");
    let content = crossdock_value::parse(&read, &Default::default()).expect("it is JSON");
    let scale = |currency: &Value| u32::try_from(currency.get("digits").as_i64().expect("digits")).expect("few");
    let digits: BTreeMap<&str, u32> = listed(&content, "currencies").iter().map(|c| (text(c.get("code")), scale(c))).collect();
    let (storefront, tryton) = (storefront(), tryton(&content));
    let mut world = World::new(1, Config { orders: Mix::plain(), ..Config::default() });
    let mut differ = Vec::new();
    for _ in 0..ORDERS {
        let (order, expectation) = world.generate(1_000);
        let name = format!("{}/{} {:?}", order.site, order.number, expectation.features);
        let document =
            storefront.translate("order.placed", order.json.render().as_bytes()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let reference = OrderRef::parse(&format!("sfcc/{}/{}", order.site, order.number)).expect("three parts");
        let call = Call {
            system: "erp".into(),
            operation: Operation::ErpCreateOrder,
            key: Arc::from("0123456789abcdef0123456789abcdef"),
            reference: Arc::from(reference.to_string()),
            order: reference,
            args: Value::Null,
            document,
            identities: Value::Null,
            at: Timestamp(1_000),
        };
        let prepared = tryton.prepare(&call).unwrap_or_else(|e| panic!("{name}: {e}"));
        let sale = crossdock_value::parse(&prepared.bytes, &Default::default()).expect("a plan");
        let paid = (order.total, order.json.decimal("taxTotal").unwrap_or_default());
        let found = priced(&sale, digits[order.currency]);
        if found != paid {
            differ.push(format!("{name}: total and tax are {found:?}, paid were {paid:?}: {sale}"));
        }
    }
    assert!(differ.is_empty(), "{} of {ORDERS}:\n{}", differ.len(), differ.join("\n"));
}
