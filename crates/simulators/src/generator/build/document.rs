//! The document of a built order, member by member as the vendor describes them.

use rust_decimal::Decimal;

use super::{Builder, Line, Way};
use crate::catalog::{Kind as ProductKind, Taxation, product};
use crate::generator::people::Shopper;
use crate::generator::price::{Promotion, Taxed, adjustment};
use crate::generator::{Kind, Mix, OrderJson};
use crate::json::{Json, object};
use crate::{catalog, money, stripe};

impl Builder<'_> {
    /// The whole order; the builder is spent after it.
    pub fn document(&mut self, mix: &Mix, number: &str) -> OrderJson {
        let site = self.site;
        let guest = self.draw(mix.guest, "guest");
        let tag = match self.kind {
            Kind::FraudHold => "hold",
            Kind::FraudApproved => "review",
            Kind::FraudDeclined => "declined",
            Kind::FraudReject => "reject",
            _ => "",
        };
        let shopper = Shopper::new(self.rng, guest, tag);
        let zero = Taxed::zero(site);
        let options = self.options(None);
        let before = self.sum(|l| l.before).plus(options);
        let after_item = self.sum(|l| l.after_item).plus(options);
        let after_order = self.sum(|l| l.after_order).plus(options);
        let shipping_before = self.shipments.iter().fold(zero, |sum, s| sum.plus(s.before));
        let shipping = self.shipments.iter().fold(zero, |sum, s| sum.plus(s.after));
        let tax_total = after_order.tax + shipping.tax;
        let gift = self.gift.unwrap_or(zero.price);
        let net_tax = if site.taxation == Taxation::Net { tax_total } else { zero.price };
        let total = after_order.price + shipping.price + gift + net_tax;

        let home = self.shipments[0].city;
        let billing = shopper.address(self.rng, site, home);
        let mut json = object! {
            "adjustedMerchandizeTotalTax": after_order.tax,
            "adjustedShippingTotalTax": shipping.tax,
            "billingAddress": billing,
            "businessType": "b2c",
            "channelType": "storefront",
            "confirmationStatus": "not_confirmed",
            "createdBy": "Customer",
            "creationDate": self.instant.as_str(),
            "currency": site.currency,
            "customerInfo": shopper.json(self.rng),
            "customerLocale": site.locale,
            "exportStatus": "ready",
            "invoiceNo": format!("I{number}"),
            "lastModified": self.instant.as_str(),
            "merchandizeTotalTax": before.tax,
            "orderNo": number,
            "orderTotal": total,
            "paymentStatus": "not_paid",
            "placeDate": self.instant.as_str(),
            "productSubTotal": after_item.price,
            "productTotal": after_order.price,
            "remoteHost": "127.0.0.1",
            "shippingStatus": "not_shipped",
            "shippingTotal": shipping.price,
            "shippingTotalTax": shipping_before.tax,
            "siteId": site.id,
            "status": "new",
            "taxTotal": tax_total,
            "taxation": if site.taxation == Taxation::Net { "net" } else { "gross" },
            "c_clientVersion": "sim-1",
            "c_newsletter": self.rng.chance(0.3),
        };
        let products: Vec<Json> = (0..self.lines.len()).map(|i| self.line_json(i)).collect();
        json.set("productItems", products);
        let shipments: Vec<Json> = (0..self.shipments.len()).map(|i| self.shipment_json(i, number, &shopper)).collect();
        json.set("shipments", shipments);
        let shipping_items: Vec<Json> = (0..self.shipments.len()).map(|i| self.shipping_item(i)).collect();
        json.set("shippingItems", shipping_items);
        if let Some(adjustment) = self.order_adjustment.take() {
            json.set("orderPriceAdjustments", vec![adjustment]);
        }
        if let Some(code) = self.coupon {
            let item = object! { "code": code, "couponItemId": self.rng.token(26), "valid": true };
            json.set("couponItems", vec![item]);
        }
        let bonus: Vec<Json> = self.lines.iter().filter_map(|l| Some((l, l.bonus_of.as_ref()?))).map(bonus_item).collect();
        if !bonus.is_empty() {
            json.set("bonusDiscountLineItems", bonus);
        }
        if let Some(amount) = self.gift {
            json.set("giftCertificateItems", vec![self.gift_item(amount, &shopper)]);
        }
        let mut order = OrderJson {
            site: site.id,
            number: number.to_owned(),
            currency: site.currency,
            total,
            json,
            card: None,
            gift_card: None,
        };
        self.pay(mix, &shopper, &mut order);
        order
    }

    fn line_json(&mut self, index: usize) -> Json {
        let line = &self.lines[index];
        let shipment = &self.shipments[line.shipment];
        let (site, product) = (self.site, line.product);
        let place = if shipment.way == Way::Pickup { site.store } else { site.warehouse };
        let mut json = object! {
            "adjustedTax": line.after_order.tax,
            "basePrice": catalog::price(product.price, site),
            "bonusProductLineItem": line.bonus_of.is_some(),
            "brand": product.brand,
            "gift": false,
            "grossPrice": line.before.gross,
            "itemId": &line.item_id,
            "itemText": product.name,
            "minOrderQuantity": 1u64,
            "netPrice": line.before.net,
            "position": index as u64 + 1,
            "priceAfterItemDiscount": line.after_item.price,
            "priceAfterOrderDiscount": line.after_order.price,
            "productId": product.sku,
            "productName": product.name,
            "quantity": line.quantity,
            "shipmentId": shipment.id,
            "stepQuantity": 1u64,
            "tax": line.before.tax,
            "taxBasis": line.after_order.price,
            "taxRate": line.rate,
        };
        if product.kind == ProductKind::Digital {
            json.set("c_digital", true);
        } else {
            json.set("inventoryId", place);
        }
        if let Some(id) = &line.bonus_of {
            json.set("bonusDiscountLineItemId", id);
        }
        if let Some(promotion) = &line.item_promotion {
            let adjustment = adjustment(line.before, line.after_item, promotion, self.rng.token(26), &self.instant);
            json.set("priceAdjustments", vec![adjustment]);
        }
        if let Some((option, taxed)) = &line.option {
            let option_id = if option.sku == "100501" { "warranty" } else { "giftWrap" };
            let item = object! {
                "basePrice": catalog::price(option.price, site), "grossPrice": taxed.gross, "itemText": option.name,
                "netPrice": taxed.net, "optionId": option_id, "optionValueId": "yes", "productId": option.sku,
                "tax": taxed.tax, "taxBasis": taxed.price,
            };
            json.set("optionItems", vec![item]);
        }
        if !product.parts.is_empty() {
            let zero = money::round(Decimal::ZERO, site.currency);
            let part = |(sku, count): &(&'static str, u32)| {
                let name = crate::catalog::product(sku).map_or("", |p| p.name);
                object! {
                    "adjustedTax": zero, "basePrice": zero, "bonusProductLineItem": false, "gift": false, "grossPrice": zero,
                    "inventoryId": place, "itemId": self.rng.token(26), "itemText": name, "netPrice": zero,
                    "priceAfterItemDiscount": zero, "priceAfterOrderDiscount": zero, "productId": *sku, "productName": name,
                    "quantity": u64::from(*count) * line.quantity, "shipmentId": shipment.id, "tax": zero, "taxBasis": zero,
                    "taxRate": line.rate,
                }
            };
            json.set("bundledProductItems", product.parts.iter().map(part).collect::<Vec<_>>());
        }
        json
    }

    fn shipment_json(&mut self, index: usize, number: &str, shopper: &Shopper) -> Json {
        let city = self.shipments[index].city;
        let mut address = shopper.address(self.rng, self.site, city);
        match self.kind {
            Kind::BadRegion => address.set("stateCode", "North-Westphalia/California"),
            Kind::MissingPostalCode => address.remove("postalCode"),
            _ => {}
        }
        let (site, shipment) = (self.site, &self.shipments[index]);
        let zero = Taxed::zero(site);
        let of = |take: fn(&Line) -> Taxed| self.lines.iter().filter(|l| l.shipment == index).map(take).fold(zero, Taxed::plus);
        let options = self.options(Some(index));
        let (before, after_item) = (of(|l| l.before).plus(options), of(|l| l.after_item).plus(options));
        let after_order = of(|l| l.after_order).plus(options);
        let tax_total = after_order.tax + shipment.after.tax;
        let gift = self.gift.filter(|_| index + 1 == self.shipments.len()).unwrap_or(zero.price);
        let net_tax = if site.taxation == Taxation::Net { after_item.tax + shipment.after.tax } else { zero.price };
        let method = match shipment.way {
            Way::Standard => "standard",
            Way::Express => "express",
            Way::Pickup => "pickup",
            Way::Mail => "email",
        };
        let mut json = object! {
            "adjustedMerchandizeTotalTax": after_order.tax,
            "adjustedShippingTotalTax": shipment.after.tax,
            "gift": false,
            "merchandizeTotalTax": before.tax,
            "productSubTotal": after_item.price,
            "productTotal": after_order.price,
            "shipmentId": shipment.id,
            "shipmentNo": format!("{number}-{}", index + 1),
            "shipmentTotal": after_item.price + shipment.after.price + net_tax + gift,
            "shippingAddress": address,
            "shippingMethod": object! { "id": method },
            "shippingStatus": "not_shipped",
            "shippingTotal": shipment.after.price,
            "shippingTotalTax": shipment.before.tax,
            "taxTotal": tax_total,
        };
        if shipment.way == Way::Pickup {
            json.set("c_fromStoreId", site.store);
            json.set("c_shipmentType", "instore");
        }
        json
    }

    fn shipping_item(&mut self, index: usize) -> Json {
        let shipment = &self.shipments[index];
        let mut json = object! {
            "adjustedTax": shipment.after.tax, "basePrice": shipment.before.price, "grossPrice": shipment.before.gross,
            "itemId": self.rng.token(26), "itemText": "Shipping", "netPrice": shipment.before.net,
            "priceAfterItemDiscount": shipment.after.price, "shipmentId": shipment.id, "tax": shipment.before.tax,
            "taxBasis": shipment.after.price, "taxRate": self.rate(shipment.city, false), "type": "fixed_price",
        };
        if shipment.promoted {
            let applied = object! { "type": "free" };
            let promotion = Promotion { id: "sim-free-shipping", text: "Free shipping", coupon: None, applied };
            let id = self.rng.token(26);
            json.set("priceAdjustments", vec![adjustment(shipment.before, shipment.after, &promotion, id, &self.instant)]);
        }
        json
    }

    fn gift_item(&mut self, amount: Decimal, shopper: &Shopper) -> Json {
        let shipment = self.shipments.last().map_or("me", |s| s.id);
        let zero = money::round(Decimal::ZERO, self.site.currency);
        object! {
            "basePrice": amount, "giftCertificateItemId": self.rng.token(26), "grossPrice": amount, "itemText": "Gift Certificate",
            "message": "With best wishes", "netPrice": amount, "recipientEmail": format!("friend.{}@example.com", shopper.number),
            "recipientName": format!("Friend {}", shopper.number), "senderName": shopper.name(), "shipmentId": shipment,
            "tax": zero, "taxBasis": zero,
        }
    }

    /// A gift card first, if there is one, and a card for the rest.
    fn pay(&mut self, mix: &Mix, shopper: &Shopper, order: &mut OrderJson) {
        let site = self.site;
        let mut instruments = Vec::new();
        let mut rest = order.total;
        if !rest.is_zero() && self.draw(mix.gift_card, "gift_card") {
            let value = catalog::price(*self.rng.pick(&[1000, 2500, 20_000]), site);
            let amount = value.min(rest);
            rest -= amount;
            let token = format!("gc_{}", self.rng.token(16));
            instruments.push(object! {
                "maskedGiftCertificateCode": format!("************{}", &token[token.len() - 4..]),
                "paymentInstrumentId": self.rng.token(26), "paymentMethodId": "GIFT_CERTIFICATE",
                "paymentTransaction": object! { "amount": amount }, "c_giftCardToken": token.as_str(),
            });
            order.gift_card = Some((token, amount));
        }
        if !rest.is_zero() || instruments.is_empty() {
            let mut transaction = object! { "amount": rest };
            if mix.hub_authorised_sites.iter().any(|s| s == site.id) {
                self.features.push("hub_authorised");
            } else {
                transaction.set("transactionId", stripe::intent_id(site.id, &order.number));
                transaction.set("c_authResult", "AUTHORIZED");
                order.card = Some(rest);
            }
            instruments.push(object! {
                "paymentCard": object! {
                    "cardType": "Visa", "creditCardExpired": false, "creditCardToken": "pm_card_visa", "expirationMonth": 12u64,
                    "expirationYear": 2031u64, "holder": shopper.name(), "maskedNumber": "************4242", "numberLastDigits": "4242",
                },
                "paymentInstrumentId": self.rng.token(26), "paymentMethodId": "CREDIT_CARD", "paymentTransaction": transaction,
            });
        }
        order.json.set("paymentInstruments", instruments);
    }
}

fn bonus_item((line, id): (&Line, &String)) -> Json {
    let name = product(line.product.sku).map_or("", |p| p.name);
    object! {
        "bonusProducts": vec![object! { "productId": line.product.sku, "productName": name }], "id": id,
        "maxBonusItems": 1u64, "promotionId": "sim-bonus-sample",
    }
}
