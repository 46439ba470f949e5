//! Every generated order adds up exactly, is what the vendor's description says, and carries its plants in the asked share.

use std::collections::BTreeMap;

use crossdock_simulators::json::Json;
use crossdock_simulators::{End, Generator, Kind, Mix, OrderJson, money};
use rust_decimal::Decimal;

use crate::schema;

const ORDERS: usize = 2_000;

fn get(json: &Json, name: &str) -> Decimal {
    json.decimal(name).unwrap_or_else(|| panic!("{name} is missing in {}", json.render()))
}

fn sum(items: &[Json], name: &str) -> Decimal {
    items.iter().map(|item| get(item, name)).sum()
}

fn check_sums(order: &OrderJson) {
    let json = &order.json;
    let gross = json.text("taxation") == "gross";
    let items = json.list("productItems");
    let options: Vec<Json> = items.iter().flat_map(|i| i.list("optionItems")).cloned().collect();
    let side = if gross { "grossPrice" } else { "netPrice" };
    let mut adjusted_tax = Decimal::ZERO;
    for item in items {
        let adjustments = item.list("priceAdjustments");
        assert_eq!(get(item, "netPrice") + get(item, "tax"), get(item, "grossPrice"));
        assert_eq!(get(item, "basePrice") * get(item, "quantity"), get(item, side), "unit price times quantity");
        assert_eq!(get(item, side) + sum(adjustments, side), get(item, "priceAfterItemDiscount"));
        let rate = get(item, "taxRate");
        let base = get(item, "priceAfterOrderDiscount");
        let tax = if gross { base * rate / (Decimal::ONE + rate) } else { base * rate };
        assert_eq!(money::round(tax, order.currency), get(item, "adjustedTax"));
        adjusted_tax += get(item, "adjustedTax");
    }
    let option_price = sum(&options, side);
    let option_tax = sum(&options, "tax");
    assert_eq!(sum(items, "priceAfterItemDiscount") + option_price, get(json, "productSubTotal"));
    assert_eq!(sum(items, "priceAfterOrderDiscount") + option_price, get(json, "productTotal"));
    let order_adjustments = json.list("orderPriceAdjustments");
    assert_eq!(get(json, "productSubTotal") + sum(order_adjustments, side), get(json, "productTotal"));
    assert_eq!(sum(items, "tax") + option_tax, get(json, "merchandizeTotalTax"));
    assert_eq!(adjusted_tax + option_tax, get(json, "adjustedMerchandizeTotalTax"));
    let item_adjustment_tax: Decimal = items.iter().map(|i| sum(i.list("priceAdjustments"), "tax")).sum();
    let before = get(json, "merchandizeTotalTax") + item_adjustment_tax + sum(order_adjustments, "tax");
    assert_eq!(before, get(json, "adjustedMerchandizeTotalTax"), "the adjustments take their tax off");
    let shipping = json.list("shippingItems");
    assert_eq!(sum(shipping, "priceAfterItemDiscount"), get(json, "shippingTotal"));
    assert_eq!(sum(shipping, "tax"), get(json, "shippingTotalTax"));
    assert_eq!(sum(shipping, "adjustedTax"), get(json, "adjustedShippingTotalTax"));
    let tax_total = get(json, "taxTotal");
    assert_eq!(get(json, "adjustedMerchandizeTotalTax") + get(json, "adjustedShippingTotalTax"), tax_total);
    let gifts = sum(json.list("giftCertificateItems"), "grossPrice");
    let added = if gross { Decimal::ZERO } else { tax_total };
    assert_eq!(get(json, "productTotal") + get(json, "shippingTotal") + gifts + added, get(json, "orderTotal"));
    let shipments = json.list("shipments");
    for member in ["productSubTotal", "productTotal", "shippingTotal", "taxTotal", "merchandizeTotalTax", "shippingTotalTax"] {
        assert_eq!(sum(shipments, member), get(json, member), "{member} over shipments");
    }
    let paid: Decimal = json.list("paymentInstruments").iter().map(|p| get(p.get("paymentTransaction").unwrap(), "amount")).sum();
    assert_eq!(paid, get(json, "orderTotal"));
    assert_eq!(order.total, paid);
    check_scale(json, money::scale(order.currency));
}

/// Every money member shows exactly the currency's decimals.
fn check_scale(json: &Json, scale: u32) {
    for (name, value) in json.members() {
        if let Json::Number(digits) = value
            && !["quantity", "taxRate", "position", "percentage", "minOrderQuantity", "stepQuantity", "maxBonusItems"]
                .contains(&name.as_ref())
            && !name.starts_with("expiration")
        {
            let decimals = digits.split_once('.').map_or(0, |(_, d)| d.len());
            assert_eq!(decimals, scale as usize, "{name}: {digits}");
        }
        check_scale(value, scale);
        value.items().iter().for_each(|item| check_scale(item, scale));
    }
}

#[test]
fn two_thousand_orders_add_up_and_match_the_vendors_schema() {
    let validator = schema::validator("Order");
    let mix = Mix { hub_authorised_sites: vec!["RefArch-JP".into()], ..Mix::default() };
    let mut generator = Generator::new(11, mix);
    let (mut features, mut sites) = (BTreeMap::<String, usize>::new(), BTreeMap::<&str, usize>::new());
    for _ in 0..ORDERS {
        let (order, expectation) = generator.next(1_795_514_400_000);
        check_sums(&order);
        let value: serde_json::Value = serde_json::from_str(&order.json.render()).unwrap();
        let errors: Vec<String> = validator.iter_errors(&value).map(|e| format!("{e} at {}", e.instance_path())).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", order.number);
        assert_eq!(schema::undeclared("Order", &value), Vec::<String>::new(), "{}", order.number);
        *sites.entry(order.site).or_default() += 1;
        for feature in expectation.features {
            *features.entry(feature).or_default() += 1;
        }
    }
    assert_eq!(sites.len(), 5);
    for feature in [
        "bonus",
        "bundle",
        "digital",
        "gift_card",
        "gift_certificate",
        "guest",
        "hub_authorised",
        "item_discount",
        "option",
        "order_coupon",
        "pickup",
        "shipping_promotion",
        "split_shipment",
    ] {
        assert!(features.get(feature).is_some_and(|n| *n >= 20), "{feature}: {features:?}");
    }
}

#[test]
fn plants_appear_in_the_asked_share_with_their_expectation() {
    let mut generator = Generator::new(5, Mix::default());
    let mut kinds = BTreeMap::<Kind, usize>::new();
    for _ in 0..10_000 {
        let (order, expectation) = generator.next(0);
        *kinds.entry(expectation.kind).or_default() += 1;
        let address = order.json.list("shipments")[0].get("shippingAddress").unwrap().clone();
        match expectation.kind {
            Kind::FraudHold => {
                assert!(order.json.get("customerInfo").unwrap().text("email").contains("+hold@"));
                assert_eq!(expectation.expected_end, End::Parked("fraud_review".into()));
            }
            Kind::MissingPostalCode => assert!(address.get("postalCode").is_none()),
            Kind::BadRegion => assert!(address.text("stateCode").len() > 3),
            Kind::CancelLine => {
                let lines = order.json.list("productItems");
                assert!(lines.len() >= 2 && lines.iter().any(|l| l.text("itemId") == expectation.cancel_lines[0]));
            }
            Kind::OutOfStock => assert!(order.json.render().contains("\"productId\":\"10090")),
            _ => {}
        }
    }
    for (kind, share) in [(Kind::FraudHold, 80), (Kind::BadRegion, 50), (Kind::CancelLate, 150), (Kind::OutOfStock, 80)] {
        let found = kinds[&kind];
        assert!(found > share / 2 && found < share * 2, "{kind:?}: {found}, asked for about {share}");
    }
}

#[test]
fn an_order_of_three_lines_has_four_to_five_kilobytes() {
    let mut generator = Generator::new(3, Mix { guest: 0.5, ..Mix::plain() });
    let sizes: Vec<usize> = std::iter::repeat_with(|| generator.next(0).0)
        .filter(|order| order.json.list("productItems").len() == 3)
        .map(|order| order.json.render().len())
        .take(100)
        .collect();
    let mean = sizes.iter().sum::<usize>() / sizes.len();
    assert!((3_800..5_200).contains(&mean), "{mean}");
}
