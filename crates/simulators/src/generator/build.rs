//! One order, from what is put into the basket to its discounts; `document.rs` writes it down.

mod document;

use rust_decimal::Decimal;

use super::people;
use super::price::{Promotion, Taxed, adjustment, prorate};
use super::{Kind, Mix, OrderJson, skus};
use crate::catalog::{Kind as ProductKind, Product, Site};
use crate::json::{Json, object};
use crate::rng::Rng;
use crate::{catalog, money, time};

/// How a shipment reaches the shopper.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Standard,
    Express,
    Pickup,
    Mail,
}

struct Line {
    product: &'static Product,
    quantity: u64,
    shipment: usize,
    item_id: String,
    rate: Decimal,
    before: Taxed,
    after_item: Taxed,
    after_order: Taxed,
    item_promotion: Option<Promotion>,
    option: Option<(&'static Product, Taxed)>,
    bonus_of: Option<String>,
}

struct Shipment {
    id: &'static str,
    way: Way,
    before: Taxed,
    after: Taxed,
    promoted: bool,
    city: usize,
}

struct Builder<'a> {
    rng: &'a mut Rng,
    site: &'static Site,
    kind: Kind,
    instant: String,
    shipments: Vec<Shipment>,
    lines: Vec<Line>,
    gift: Option<Decimal>,
    coupon: Option<&'static str>,
    order_adjustment: Option<Json>,
    features: Vec<&'static str>,
}

pub fn order(
    rng: &mut Rng,
    mix: &Mix,
    site: &'static Site,
    kind: Kind,
    number: &str,
    now: i64,
) -> (OrderJson, Vec<&'static str>) {
    let instant = time::rfc3339(now);
    let mut builder = Builder {
        rng,
        site,
        kind,
        instant,
        shipments: Vec::new(),
        lines: Vec::new(),
        gift: None,
        coupon: None,
        order_adjustment: None,
        features: Vec::new(),
    };
    builder.fill(mix);
    builder.discount_order(mix);
    let order = builder.document(mix, number);
    (order, builder.features)
}

impl Builder<'_> {
    fn draw(&mut self, rate: f64, feature: &'static str) -> bool {
        let yes = self.rng.chance(rate);
        if yes {
            self.features.push(feature);
        }
        yes
    }

    /// Chooses shipments and what goes into them.
    fn fill(&mut self, mix: &Mix) {
        // A planted order keeps to goods that are shipped, so that its plant is the one thing that matters.
        let shaped = !matches!(self.kind, Kind::BadRegion | Kind::MissingPostalCode | Kind::OutOfStock | Kind::CancelLine);
        let pickup = shaped && self.draw(mix.pickup, "pickup");
        let split = shaped && !pickup && self.draw(mix.split, "split_shipment");
        let digital = shaped && self.draw(mix.digital, "digital");
        let gift = shaped && self.draw(mix.gift_certificate, "gift_certificate");
        let without_goods = (digital || gift) && !pickup && !split && self.rng.chance(0.4);
        let goods = skus(ProductKind::Goods);
        let city = people::city(self.rng, self.site);
        if !without_goods {
            let way = if pickup {
                Way::Pickup
            } else if self.rng.chance(0.2) {
                Way::Express
            } else {
                Way::Standard
            };
            self.add_shipment("me", way, city, mix);
            let least = if self.kind == Kind::CancelLine { 2 } else { 1 };
            for _ in 0..self.rng.between(least..=4) {
                let product = *self.rng.pick(&goods);
                self.add_line(product, 0, mix);
            }
            if shaped && self.draw(mix.bundle, "bundle") {
                let bundle = *self.rng.pick(&skus(ProductKind::Bundle));
                self.add_line(bundle, 0, mix);
            }
        }
        if split {
            let other = people::city(self.rng, self.site);
            let shipment = self.add_shipment("second", Way::Standard, other, mix);
            let product = *self.rng.pick(&goods);
            self.add_line(product, shipment, mix);
        }
        if digital {
            let shipment = self.add_shipment("digital", Way::Mail, city, mix);
            let product = *self.rng.pick(&skus(ProductKind::Digital));
            self.add_line(product, shipment, mix);
        }
        if gift {
            self.gift = Some(catalog::price(*self.rng.pick(&[2500, 5000, 10_000]), self.site));
            if self.shipments.is_empty() {
                self.add_shipment("digital", Way::Mail, city, mix);
            }
        }
        if self.kind == Kind::OutOfStock {
            let product = *self.rng.pick(&skus(ProductKind::SoldOut));
            self.add_line(product, 0, mix);
        }
        if shaped && !without_goods && self.draw(mix.bonus, "bonus") {
            let product = skus(ProductKind::Bonus)[0];
            self.add_line(product, 0, mix);
        }
    }

    fn add_shipment(&mut self, id: &'static str, way: Way, city: usize, mix: &Mix) -> usize {
        let base = match way {
            Way::Standard => 495,
            Way::Express => 1295,
            Way::Pickup | Way::Mail => 0,
        };
        let price = if base == 0 { Decimal::ZERO } else { catalog::price(base, self.site) };
        let rate = self.rate(city, false);
        let before = Taxed::new(price, rate, self.site);
        let promoted = base > 0 && self.draw(mix.shipping_promotion, "shipping_promotion");
        let after = if promoted { Taxed::zero(self.site) } else { before };
        self.shipments.push(Shipment { id, way, before, after, promoted, city });
        self.shipments.len() - 1
    }

    fn rate(&self, city: usize, reduced: bool) -> Decimal {
        let standard = self.site.cities[city].3;
        let text = if reduced { self.site.reduced.unwrap_or(standard) } else { standard };
        Decimal::from_str_exact(text).expect("the catalog's rates are decimals")
    }

    fn add_line(&mut self, product: &'static Product, shipment: usize, mix: &Mix) {
        // One line a product and shipment, as a basket has it.
        if self.lines.iter().any(|l| l.product.sku == product.sku && l.shipment == shipment) {
            return;
        }
        let plain = matches!(product.kind, ProductKind::Goods | ProductKind::Bundle);
        let quantity = if plain && self.rng.chance(0.3) { self.rng.between(2..=3) } else { 1 };
        let rate = self.rate(self.shipments[shipment].city, product.reduced);
        let unit = catalog::price(product.price, self.site);
        let before = Taxed::new(unit * Decimal::from(quantity), rate, self.site);
        let (mut after_item, mut item_promotion) = (before, None);
        if product.kind == ProductKind::Bonus {
            after_item = Taxed::zero(self.site);
            let applied = object! { "type": "bonus" };
            item_promotion = Some(Promotion { id: "sim-bonus-sample", text: "Free sample", coupon: None, applied });
        } else if plain && self.draw(mix.item_discount, "item_discount") {
            let percent = *self.rng.pick(&[10u32, 15, 20, 33]);
            let off = money::round(before.price * Decimal::new(i64::from(percent), 2), self.site.currency);
            after_item = Taxed::new(before.price - off, rate, self.site);
            let applied = object! { "type": "percentage", "percentage": u64::from(percent) };
            item_promotion = Some(Promotion { id: "sim-season-sale", text: "Season sale", coupon: None, applied });
        }
        let option = (plain && product.kind == ProductKind::Goods && self.draw(mix.option, "option")).then(|| {
            let option = *self.rng.pick(&skus(ProductKind::Option));
            let price = catalog::price(option.price, self.site) * Decimal::from(quantity);
            (option, Taxed::new(price, rate, self.site))
        });
        let bonus_of = (product.kind == ProductKind::Bonus).then(|| self.rng.token(26));
        self.lines.push(Line {
            product,
            quantity,
            shipment,
            item_id: self.rng.token(26),
            rate,
            before,
            after_item,
            after_order: after_item,
            item_promotion,
            option,
            bonus_of,
        });
    }

    /// An order-level coupon, spread over the lines.
    fn discount_order(&mut self, mix: &Mix) {
        let total: Decimal = self.lines.iter().map(|l| l.after_item.price).sum();
        if total.is_zero() || !self.draw(mix.order_coupon, "order_coupon") {
            return;
        }
        let (coupon, applied, off) = if self.rng.chance(0.5) {
            (
                "SIM10",
                object! { "type": "percentage", "percentage": 10u64 },
                money::round(total / Decimal::TEN, self.site.currency),
            )
        } else {
            let amount = catalog::price(500, self.site).min(total);
            ("SIM5OFF", object! { "type": "amount", "amount": amount }, amount)
        };
        let weights: Vec<Decimal> = self.lines.iter().map(|l| l.after_item.price).collect();
        let (mut before, mut after) = (Taxed::zero(self.site), Taxed::zero(self.site));
        for (line, share) in self.lines.iter_mut().zip(prorate(off, &weights, self.site.currency)) {
            line.after_order = Taxed::new(line.after_item.price - share, line.rate, self.site);
            before = before.plus(line.after_item);
            after = after.plus(line.after_order);
        }
        let promotion = Promotion { id: "sim-order-coupon", text: "Coupon", coupon: Some(coupon), applied };
        self.order_adjustment = Some(adjustment(before, after, &promotion, self.rng.token(26), &self.instant));
        self.coupon = Some(coupon);
    }

    fn sum(&self, of: impl Fn(&Line) -> Taxed) -> Taxed {
        self.lines.iter().map(of).fold(Taxed::zero(self.site), Taxed::plus)
    }

    fn options(&self, shipment: Option<usize>) -> Taxed {
        let lines = self.lines.iter().filter(|l| shipment.is_none_or(|s| s == l.shipment));
        lines.filter_map(|l| l.option.as_ref()).fold(Taxed::zero(self.site), |sum, (_, taxed)| sum.plus(*taxed))
    }
}
