//! A storefront order to the canonical form, and on to an ERP's sales order: both as one program.

use crossdock_value::{Budget, Limits, Program, Value, parse};

const ORDER: &[u8] = include_bytes!("data/storefront-order.json");

fn map(source: &str, input: &Value) -> Value {
    let program = Program::compile(source, &[]).unwrap_or_else(|error| panic!("{error} at {:?}", error.span));
    program.run(input, &[], &Budget::default()).unwrap()
}

fn canonical() -> Value {
    map(include_str!("data/storefront-to-canonical.jq"), &parse(ORDER, &Limits::default()).unwrap())
}

#[test]
fn a_storefront_order_becomes_a_canonical_one_to_the_cent() {
    let order = canonical();
    let expected = [
        ("number", r#""00012345""#),
        ("lines.0.gross.amount", r#""21.79""#),
        ("lines.2.quantity", "12"),
        ("totals.check.amount", r#""99.94""#),
        ("totals.net.amount", r#""99.94""#),
        ("totals.grand.amount", r#""115.33""#),
        ("payments.0.last4", r#""1111""#),
        ("bill_to.country", r#""US""#),
        ("ship_to.0.method", r#""ground""#),
        ("loyalty", "12345678901234567890.123456"),
    ];
    for (path, text) in expected {
        assert_eq!(order.at(path).to_string(), text, "{path}");
    }
    assert_eq!(order.get("lines").as_arr().map(<[_]>::len), Some(3));
}

#[test]
fn a_canonical_order_becomes_a_sales_order() {
    let sales = map(include_str!("data/canonical-to-erp.jq"), &canonical());
    let expected = [
        ("salesOrder.organization", r#""US01""#),
        ("salesOrder.externalNumber", r#""00012345""#),
        ("salesOrder.date", r#""2026-11-24""#),
        ("salesOrder.items.1.number", "20"),
        ("salesOrder.items.2.conditions.0.value", r#""2.50""#),
        ("salesOrder.taxTotal", "8.99"),
        ("salesOrder.receiver.street", r#""1 Main St""#),
    ];
    for (path, text) in expected {
        assert_eq!(sales.at(path).to_string(), text, "{path}");
    }
}

#[test]
fn an_order_for_an_unknown_country_says_so() {
    let mut order = canonical();
    order.set("bill_to.country", "DE");
    let program = Program::compile(include_str!("data/canonical-to-erp.jq"), &[]).unwrap();
    let error = program.run(&order, &[], &Budget::default()).unwrap_err();
    assert_eq!(error.to_string(), "no sales organization serves DE");
}

#[test]
fn what_the_mapping_reads_is_known_before_it_runs() {
    let program = Program::compile(include_str!("data/storefront-to-canonical.jq"), &[]).unwrap();
    let reads: Vec<String> = program.reads().iter().map(ToString::to_string).collect();
    for path in
        [".orderNo", ".productItems[].netPrice", ".billingAddress.fullName", ".paymentInstruments[].paymentCard.numberLastDigits"]
    {
        assert!(reads.iter().any(|read| read == path), "{path} in {reads:?}");
    }
    let known = parse(ORDER, &Limits::default()).unwrap();
    for read in &reads {
        let path = read.trim_start_matches('.').replace("[]", ".0");
        assert!(!known.at(&path).is_null(), "{read} is in the sample");
    }
}

#[test]
fn the_default_budget_has_room_for_large_orders() {
    let mut order = parse(ORDER, &Limits::default()).unwrap();
    let three = order.get("productItems").as_arr().unwrap().to_vec();
    let lines: Vec<Value> = three.iter().cycle().take(150).cloned().collect();
    order.insert("productItems", lines);
    let program = Program::compile(include_str!("data/storefront-to-canonical.jq"), &[]).unwrap();
    let tenth = Budget { fuel: Budget::default().fuel / 10, ..Budget::default() };
    assert_eq!(program.run(&order, &[], &tenth).unwrap().at("lines.149.line"), &Value::from(3));
}
