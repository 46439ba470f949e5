//! The orders of a run: which are booked, which are cancelled, which are planted, and what Tryton must show of each.

use crossdock_simulators::{OrderJson, World, json::Json, money, rng::Rng};
use crossdock_value::Decimal;
use std::collections::BTreeMap;

/// One in so many orders is planted.
const PLANTED_ONE_IN: usize = 50;
/// Orders drawn before a plant is given up for want of a fitting one.
const DRAWS_MAX: usize = 5_000;
/// What the tax of a planted order is off by, in minor units: more than any price moved by cents makes up for.
const POSTED_OFF: i64 = 20;
/// And here: within what the market's tax check lets pass, beyond what the ERP may call rounding.
const HELD_OFF: i64 = 4;
/// Up to so many minor units a difference is rounding in this run.
pub(super) const ROUNDING_WITHIN: i64 = 2;

/// Features that spread tax over several places; a planted order has one place that is off.
const SPREADING: [&str; 9] = [
    "item_discount",
    "order_coupon",
    "shipping_promotion",
    "gift_card",
    "gift_certificate",
    "split_shipment",
    "digital",
    "option",
    "bundle",
];

/// Why an order is part of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Booked,
    /// Tax in the prices, stated as no rounding makes it: the total is booked, the tax is Tryton's own.
    Posted,
    /// Tax on top of the prices: the total differs by more than rounding, so the sale is held.
    Held,
    /// The shopper cancels so long after he ordered.
    Cancelled {
        after_ms: u64,
    },
}

/// An order as the storefront has it.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub purpose: Purpose,
    pub site: String,
    pub number: String,
    pub currency: String,
    pub total: Decimal,
    pub tax: Decimal,
    /// Pieces to be shipped by SKU.
    pub goods: BTreeMap<String, Decimal>,
}

impl Placed {
    pub fn name(&self) -> String {
        format!("{}/{}", self.site, self.number)
    }

    /// What a planted tax is off by.
    pub fn off(&self) -> Decimal {
        match self.purpose {
            Purpose::Posted => money::from_minor(POSTED_OFF, &self.currency),
            Purpose::Held => money::from_minor(HELD_OFF, &self.currency),
            Purpose::Booked | Purpose::Cancelled { .. } => Decimal::ZERO,
        }
    }
}

/// What the orders of a run are for, in the order they are placed.
pub(super) fn purposes(orders: usize, cancellations: usize, patience_ms: u64, rng: &mut Rng) -> Vec<Purpose> {
    let planted = orders / PLANTED_ONE_IN;
    let mut purposes: Vec<Purpose> = (0..planted).map(|n| if n % 2 == 0 { Purpose::Posted } else { Purpose::Held }).collect();
    purposes.resize(orders, Purpose::Booked);
    purposes.extend((0..cancellations).map(|_| Purpose::Cancelled { after_ms: rng.between(0..=patience_ms) }));
    for last in (1..purposes.len()).rev() {
        let other = rng.between(0..=last as u64) as usize;
        purposes.swap(last, other);
    }
    purposes
}

/// Places the next order that fits the purpose.
pub(super) fn place(world: &mut World, purpose: Purpose, now: i64) -> Result<Placed, String> {
    for _ in 0..DRAWS_MAX {
        let (mut order, expectation) = world.generate(now);
        let plain = !expectation.features.iter().any(|feature| SPREADING.contains(&feature.as_str()));
        let fits = match purpose {
            Purpose::Posted => plain && order.site == "RefArch-DE",
            Purpose::Held => plain && order.site == "RefArch-US" && has_tax(&order),
            Purpose::Booked | Purpose::Cancelled { .. } => true,
        };
        if !fits {
            continue;
        }
        let mut placed = Placed {
            purpose,
            site: order.site.into(),
            number: order.number.clone(),
            currency: order.currency.into(),
            total: Decimal::ZERO,
            tax: Decimal::ZERO,
            goods: goods(&order.json),
        };
        state_other_tax(&mut order, placed.off());
        placed.total = order.json.decimal("orderTotal").unwrap_or_default();
        placed.tax = order.json.decimal("taxTotal").unwrap_or_default();
        world.place(order, now)?;
        return Ok(placed);
    }
    Err(format!("no order fits {purpose:?}"))
}

fn has_tax(order: &OrderJson) -> bool {
    order.json.decimal("taxTotal").is_some_and(|tax| tax > Decimal::ZERO)
}

fn goods(order: &Json) -> BTreeMap<String, Decimal> {
    let mut goods: BTreeMap<String, Decimal> = BTreeMap::new();
    let mut add = |item: &Json| {
        *goods.entry(item.text("productId").to_owned()).or_default() += item.decimal("quantity").unwrap_or_default();
    };
    for item in order.list("productItems") {
        let parts = item.list("bundledProductItems");
        if !parts.is_empty() {
            parts.iter().for_each(&mut add);
        } else if item.get("c_digital").and_then(Json::as_bool) != Some(true) {
            add(item);
        }
    }
    goods
}

/// States another tax on the first line, and makes every sum of the document follow.
fn state_other_tax(order: &mut OrderJson, off: Decimal) {
    if off.is_zero() {
        return;
    }
    let net = order.json.text("taxation") == "net";
    let taxes = ["adjustedMerchandizeTotalTax", "merchandizeTotalTax", "taxTotal"];
    let line = |order: &mut OrderJson, members: &[&'static str], by| add_to(first(&mut order.json, "productItems"), members, by);
    line(order, &["tax", "adjustedTax"], off);
    if net {
        line(order, &["grossPrice"], off);
    } else {
        line(order, &["netPrice"], -off);
    }
    add_to(first(&mut order.json, "shipments"), &taxes, off);
    add_to(Some(&mut order.json), &taxes, off);
    if net {
        // It is paid for, too.
        add_to(first(&mut order.json, "shipments"), &["shipmentTotal"], off);
        add_to(Some(&mut order.json), &["orderTotal"], off);
        let payment = first(&mut order.json, "paymentInstruments").and_then(|payment| payment.get_mut("paymentTransaction"));
        add_to(payment, &["amount"], off);
        order.total += off;
        order.card = order.card.map(|amount| amount + off);
    }
}

fn add_to(object: Option<&mut Json>, members: &[&'static str], by: Decimal) {
    let Some(object) = object else { return };
    for member in members {
        if let Some(amount) = object.decimal(member) {
            object.set(*member, amount + by);
        }
    }
}

fn first<'a>(object: &'a mut Json, list: &str) -> Option<&'a mut Json> {
    match object.get_mut(list) {
        Some(Json::List(items)) => items.first_mut(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossdock_simulators::Config;

    #[test]
    fn a_planted_order_differs_in_its_tax_and_still_adds_up() {
        for purpose in [Purpose::Posted, Purpose::Held] {
            let mut world = World::new(3, Config::default());
            let placed = place(&mut world, purpose, 1_000).expect("one fits");
            let ledger = world.ledger("storefront").expect("it is simulated");
            let row = ledger.rows().iter().find(|row| row.operation == "order.placed").expect("it was placed");
            assert_eq!((&*row.scope.order, row.amount), (&*placed.number, Some(placed.total)), "{purpose:?}");
            assert!(placed.tax > placed.off() && !placed.goods.is_empty(), "{placed:?}");
        }
    }

    #[test]
    fn the_plan_has_as_many_of_each_as_asked_for() {
        let purposes = purposes(200, 20, 1_000, &mut Rng::named(1, "plan"));
        let count = |wanted: fn(&Purpose) -> bool| purposes.iter().filter(|purpose| wanted(purpose)).count();
        let counts = (
            count(|p| *p == Purpose::Booked),
            count(|p| *p == Purpose::Posted),
            count(|p| *p == Purpose::Held),
            count(|p| matches!(p, Purpose::Cancelled { .. })),
        );
        assert_eq!(counts, (196, 2, 2, 20));
    }
}
