//! What may be changed on an order: six statuses, `c_` attributes, a shipping address. Nothing else; there is no line status.

use std::borrow::Cow;

use rust_decimal::Decimal;

use super::Storefront;
use super::problem::Problem;
use crate::http::Response;
use crate::json::Json;
use crate::ledger::Row;
use crate::simulator::Context;

/// A plain status: path, ledger operation, member of the order, allowed values (none: free text up to 256).
const STATUSES: &[(&str, &str, &str, &[&str])] = &[
    ("export-status", "export_status", "exportStatus", &["not_exported", "ready", "exported", "failed"]),
    ("payment-status", "payment_status", "paymentStatus", &["not_paid", "part_paid", "paid"]),
    ("shipping-status", "shipping_status", "shippingStatus", &["not_shipped", "part_shipped", "shipped"]),
    ("confirmation-status", "confirmation_status", "confirmationStatus", &["not_confirmed", "confirmed"]),
    ("external-status", "external_status", "externalOrderStatus", &[]),
];

/// The members an address may have besides `c_` attributes.
const ADDRESS_MEMBERS: &[&str] = &[
    "address1",
    "address2",
    "city",
    "companyName",
    "countryCode",
    "firstName",
    "fullName",
    "jobTitle",
    "lastName",
    "phone",
    "postBox",
    "postalCode",
    "salutation",
    "secondName",
    "stateCode",
    "suffix",
    "suite",
    "title",
];

/// The ledger's name of a write.
pub fn operation(path: &[&str]) -> Option<&'static str> {
    match path {
        [] => Some("order.patch"),
        ["status"] => Some("status"),
        ["oms-status-events"] => Some("oms_status_event"),
        ["payment-instruments", _] => Some("payment_instrument.patch"),
        ["payment-instruments", _, "transaction"] => Some("payment_transaction.patch"),
        ["shipments", _, "shipping-address"] => Some("shipping_address"),
        [one] => STATUSES.iter().find(|s| s.0 == *one).map(|s| s.1),
        _ => None,
    }
}

impl Storefront {
    pub(super) fn write(
        &mut self,
        method: &str,
        path: &[&str],
        index: usize,
        body: &Json,
        key: &str,
        context: &mut Context,
    ) -> Result<Response, Problem> {
        let operation = operation(path).ok_or_else(|| Problem::not_found("resource"))?;
        let needed = match path {
            [] | ["payment-instruments", ..] => "PATCH",
            ["oms-status-events"] => "POST",
            _ => "PUT",
        };
        if method != needed {
            return Err(Problem::method_not_allowed());
        }
        let mut row = Row { operation, key: key.to_owned(), scope: self.orders.get(index).scope.clone(), ..Row::default() };
        row.reference = row.scope.order.to_string();
        let mut response = Response::empty(204);
        match path {
            [] => {
                row.state = patch(body)?;
                self.orders.change(index, context.now, |order| merge(&mut order.json, body));
            }
            ["status"] => {
                row.state = status_value(body)?.to_owned();
                response = self.set_status(index, &row.state, context)?;
            }
            ["oms-status-events"] => {
                row.state = event(body)?;
                response = Response::empty(202);
            }
            ["payment-instruments", id, rest @ ..] => {
                row.state = patch(body)?;
                row.line = (*id).to_owned();
                let on_transaction = !rest.is_empty();
                let instruments = self.orders.json(index).list("paymentInstruments");
                if !instruments.iter().any(|i| i.text("paymentInstrumentId") == *id) {
                    return Err(Problem::not_found(&format!("payment instrument with ID '{id}'")));
                }
                self.orders.change(index, context.now, |order| {
                    let Some(own) = nested(&mut order.json, "paymentInstruments", "paymentInstrumentId", id) else { return };
                    if !on_transaction {
                        merge(own, body);
                    } else {
                        if own.get("paymentTransaction").is_none() {
                            own.set("paymentTransaction", Json::Object(Vec::new()));
                        }
                        if let Some(transaction) = own.get_mut("paymentTransaction") {
                            merge(transaction, body);
                        }
                    }
                });
            }
            ["shipments", id, _] => {
                row.line = (*id).to_owned();
                check_address(body)?;
                let shipments = self.orders.json(index).list("shipments");
                if !shipments.iter().any(|s| s.text("shipmentId") == *id) {
                    return Err(Problem::not_found(&format!("shipment with ID '{id}'")));
                }
                self.orders.change(index, context.now, |order| {
                    if let Some(shipment) = nested(&mut order.json, "shipments", "shipmentId", id) {
                        shipment.set("shippingAddress", body.clone());
                    }
                });
            }
            [one, ..] => {
                let (_, _, member, allowed) =
                    STATUSES.iter().find(|s| s.0 == *one).ok_or_else(|| Problem::not_found("resource"))?;
                let value = status_value(body)?;
                let fits = if allowed.is_empty() { (1..=256).contains(&value.chars().count()) } else { allowed.contains(&value) };
                if !fits {
                    return Err(Problem::bad_request(&format!("'{value}' is not a value of '{member}'.")));
                }
                row.state = value.to_owned();
                self.set_plain_status(index, member, value, context.now);
            }
        }
        context.ledger.add(context.now, row);
        Ok(response)
    }

    fn set_plain_status(&mut self, index: usize, member: &'static str, value: &str, now: i64) {
        if member == "exportStatus" && value == "exported" && self.orders.get(index).export != "exported" {
            // Exporting finalizes the inventory the order held.
            self.orders.hold(index, Decimal::NEGATIVE_ONE);
        }
        self.orders.change(index, now, |order| {
            let slot = match member {
                "exportStatus" => &mut order.export,
                "paymentStatus" => &mut order.payment,
                "shippingStatus" => &mut order.shipping,
                "confirmationStatus" => &mut order.confirmation,
                _ => &mut order.external,
            };
            *slot = value.to_owned();
            order.json.set(member, value);
        });
    }

    /// The order state machine of the documentation.
    fn set_status(&mut self, index: usize, wanted: &str, context: &mut Context) -> Result<Response, Problem> {
        let order = self.orders.get(index);
        let (number, now_status) = (order.scope.order.clone(), order.status.clone());
        let reopen = wanted == "failed_with_reopen";
        let target = if reopen { "failed" } else { wanted };
        let undo = match (now_status.as_str(), target) {
            (a, b) if a == b && !reopen => return Ok(Response::empty(204)),
            ("created", "new" | "completed" | "cancelled" | "failed") => false,
            ("new", "completed" | "cancelled") | ("completed", "new" | "cancelled") => false,
            ("failed", "created") | ("cancelled", "new" | "completed") => true,
            (from, to) => {
                return Err(Problem::bad_request(&format!(
                    "The status of order '{number}' can't change from '{from}' to '{to}'."
                )));
            }
        };
        if undo && self.config.refuse_undo {
            let detail = format!("The failed order with number '{number}' cannot be reopened.");
            return Err(Problem::new(409, "Undo Fail Order", "undo-fail-order", &detail));
        }
        let releases = matches!(target, "failed" | "cancelled");
        if (undo || releases) && self.orders.get(index).export != "exported" {
            self.orders.hold(index, if undo { Decimal::ONE } else { Decimal::NEGATIVE_ONE });
        }
        let places = now_status == "created" && matches!(target, "new" | "completed" | "cancelled");
        let instant = crate::time::rfc3339(context.now);
        self.orders.change(index, context.now, |order| {
            order.status = target.to_owned();
            order.json.set("status", target);
            if places {
                order.json.set("placeDate", instant);
                order.json.set("invoiceNo", format!("{number}-I"));
            }
        });
        let customer = self.orders.json(index).get("customerInfo");
        let registered = customer.is_some_and(|c| c.get("guest").and_then(Json::as_bool) == Some(false));
        if reopen && registered {
            let location =
                format!("/checkout/shopper-baskets/v1/organizations/{}/baskets/{}", self.organization, context.rng.token(24));
            return Ok(Response::empty(201).with("location", location));
        }
        Ok(Response::empty(204))
    }
}

/// The one member a status body may have.
fn status_value(body: &Json) -> Result<&str, Problem> {
    match body.members() {
        [(name, Json::Text(value))] if name == "status" => Ok(value),
        _ => Err(Problem::bad_request("The body must be exactly {\"status\": \"...\"}.")),
    }
}

/// Refuses a patch of anything but `c_` attributes; answers their names.
fn patch(body: &Json) -> Result<String, Problem> {
    let names: Vec<&str> = body.members().iter().map(|(name, _)| name.as_ref()).collect();
    match names.iter().find(|name| !name.starts_with("c_")) {
        Some(bad) => Err(Problem::bad_request(&format!("The property '{bad}' can't be changed; only 'c_' attributes can."))),
        None => Ok(names.join(",")),
    }
}

/// Sets attributes; `null` removes one.
fn merge(target: &mut Json, body: &Json) {
    for (name, value) in body.members() {
        match value {
            Json::Null => target.remove(name),
            _ => target.set(Cow::Owned(name.to_string()), value.clone()),
        }
    }
}

fn nested<'a>(order: &'a mut Json, list: &str, id_member: &str, id: &str) -> Option<&'a mut Json> {
    match order.get_mut(list) {
        Some(Json::List(items)) => items.iter_mut().find(|item| item.text(id_member) == id),
        _ => None,
    }
}

fn check_address(body: &Json) -> Result<(), Problem> {
    for (name, value) in body.members() {
        let known = ADDRESS_MEMBERS.contains(&name.as_ref());
        let fits = value.as_text().is_some_and(|text| text.chars().count() <= 256);
        if !(name.starts_with("c_") || (known && fits)) {
            return Err(Problem::bad_request(&format!("The property '{name}' is not a valid part of an address.")));
        }
    }
    let country = body.text("countryCode");
    let fits = country.is_empty() || (country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase()));
    if !fits {
        return Err(Problem::bad_request("'countryCode' must be two upper-case letters."));
    }
    Ok(())
}

/// Checks a post-processing event: exactly one of the two kinds, with its required members.
fn event(body: &Json) -> Result<String, Problem> {
    let (name, event) = match (body.get("fulfillmentEvent"), body.get("adjustment")) {
        (Some(event), None) => ("fulfillmentEvent", event),
        (None, Some(event)) => ("adjustment", event),
        _ => return Err(Problem::bad_request("Exactly one of 'fulfillmentEvent' and 'adjustment' is required.")),
    };
    let needed: &[&str] =
        if name == "adjustment" { &["id", "type", "occurredAt", "status"] } else { &["id", "type", "occurredAt"] };
    if let Some(missing) = needed.iter().find(|m| event.text(m).is_empty()) {
        return Err(Problem::bad_request(&format!("'{name}.{missing}' is required.")));
    }
    if crate::time::parse(event.text("occurredAt")).is_none() {
        return Err(Problem::bad_request(&format!("'{name}.occurredAt' must be a date-time.")));
    }
    if name == "fulfillmentEvent" && event.list("lineItems").is_empty() {
        return Err(Problem::bad_request("'fulfillmentEvent.lineItems' needs at least one item."));
    }
    if name == "adjustment" && !["pending", "completed", "failed"].contains(&event.text("status")) {
        return Err(Problem::bad_request("'adjustment.status' must be pending, completed or failed."));
    }
    Ok(format!("{name}:{}", event.text("id")))
}
