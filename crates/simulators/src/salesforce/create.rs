//! `POST /orders`: an order made elsewhere, taken as it is if its sums hold.

use rust_decimal::Decimal;

use super::Storefront;
use super::problem::Problem;
use crate::http::{Call, Response};
use crate::json::{Json, object};
use crate::simulator::Context;

const REQUIRED: &[&str] =
    &["billingAddress", "currency", "orderTotal", "paymentInstruments", "productItems", "shipments", "taxTotal"];

impl Storefront {
    pub(super) fn create(&mut self, call: &Call, site: &str, context: &mut Context) -> Result<Response, Problem> {
        let mut body = self.body(call)?;
        if let Some(missing) = REQUIRED.iter().find(|name| body.get(name).is_none()) {
            return Err(Problem::bad_request(&format!("The property '{missing}' is required.")));
        }
        if body.list("productItems").is_empty() || body.list("shipments").is_empty() {
            return Err(Problem::bad_request("At least one product item and one shipment are required."));
        }
        for item in body.list("productItems") {
            let id = item.text("shipmentId");
            if !body.list("shipments").iter().any(|s| s.text("shipmentId") == id) {
                return Err(Problem::new(
                    404,
                    "Shipment Not Found",
                    "not-found",
                    &format!("No shipment with ID '{id}' could be found."),
                ));
            }
        }
        check_sum(&body, "orderTotal", "grossPrice", "shippingTotal", "Invalid Order Total", "invalid-order-total")?;
        check_sum(&body, "taxTotal", "tax", "taxTotal", "Invalid Tax Total", "invalid-tax-total")?;
        let number = match body.text("orderNo") {
            "" => format!("X{:08}", self.orders.len() + 1),
            number => number.to_owned(),
        };
        complete(&mut body, &number, site, context);
        self.orders.place(body, context).map_err(|why| Problem::bad_request(&why))?;
        let location = format!("/checkout/orders/v1/organizations/{}/orders/{number}?siteId={site}", self.organization);
        Ok(Response::empty(201).with("location", location))
    }
}

/// Items plus shipments less adjustments. The documentation's formula says minus; its examples give adjustments as negative
/// amounts, so they are added.
fn check_sum(body: &Json, total: &str, of_item: &str, of_shipment: &str, title: &str, slug: &str) -> Result<(), Problem> {
    let sum = |items: &[Json], member: &str| items.iter().filter_map(|i| i.decimal(member)).sum::<Decimal>();
    let items = body.list("productItems");
    let mut expected = sum(items, of_item) + sum(body.list("shipments"), of_shipment);
    for item in items {
        expected += sum(item.list("priceAdjustments"), of_item);
        for option in item.list("optionItems") {
            expected += sum(std::slice::from_ref(option), of_item) + sum(option.list("priceAdjustments"), of_item);
        }
    }
    expected += sum(body.list("orderPriceAdjustments"), of_item);
    let given = body.decimal(total).ok_or_else(|| Problem::bad_request(&format!("'{total}' must be a number.")))?;
    if expected == given {
        Ok(())
    } else {
        let detail = format!("The passed {total} '{given}' is not equal to the calculated {total} '{expected}'.");
        Err(Problem::new(400, title, slug, &detail))
    }
}

/// Adds what the platform adds: ids, positions, the site, the shape a read answers.
fn complete(body: &mut Json, number: &str, site: &str, context: &mut Context) {
    body.set("orderNo", number);
    body.set("siteId", site);
    body.set("createdBy", "Customer");
    for (list, id) in [("productItems", "itemId"), ("paymentInstruments", "paymentInstrumentId")] {
        if let Some(Json::List(items)) = body.get_mut(list) {
            for (i, item) in items.iter_mut().enumerate() {
                item.set(id, context.rng.token(26));
                if id == "itemId" {
                    item.set("position", i as u64 + 1);
                    if item.get("taxRate").is_none() {
                        item.set("taxRate", Json::Number("0".into()));
                    }
                    adjustments(item, "priceAdjustments", context);
                    if let Some(Json::List(options)) = item.get_mut("optionItems") {
                        options.iter_mut().for_each(|option| adjustments(option, "priceAdjustments", context));
                    }
                }
            }
        }
    }
    adjustments(body, "orderPriceAdjustments", context);
    if let Some(Json::List(shipments)) = body.get_mut("shipments") {
        for (i, shipment) in shipments.iter_mut().enumerate() {
            let method = shipment.text("shippingMethod").to_owned();
            shipment.set("shippingMethod", object! { "id": method });
            shipment.set("shipmentNo", format!("{number}-{}", i + 1));
            shipment.set("shippingStatus", "not_shipped");
        }
    }
}

/// Gives passed adjustments the members a read has: an id, a promotion of their own, the discount they stand for.
fn adjustments(owner: &mut Json, list: &'static str, context: &mut Context) {
    if let Some(Json::List(items)) = owner.get_mut(list) {
        for item in items {
            let id = context.rng.token(26);
            item.set("promotionId", format!("custom-{id}"));
            item.set("priceAdjustmentId", id);
            item.set("custom", true);
            if let Some(amount) = item.get("amount").cloned() {
                item.set("appliedDiscount", object! { "type": "amount", "amount": amount });
                item.remove("amount");
            }
        }
    }
}
