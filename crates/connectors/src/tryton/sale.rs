//! The scripts: from a plan to a sale in process, and what is posted on it. Each looks first and goes on from what it finds.

use super::plan::{self, Place, Sale};
use super::script::{Answers, Run, Script, end};
use super::wire;
use crossdock_canonical::{Operation, Outcome};
use crossdock_connect::{Call, Probe};
use crossdock_value::{Decimal, Value, value};

const SALE: &str = "sale.sale";
const SHIPMENT: &str = "stock.shipment.out";
const INVOICE: &str = "account.invoice";
const PAYMENT: &str = "account.payment";
const MOVE_LINE: &str = "account.move.line";

/// Fields of a sale that scripts look at.
const SALE_FIELDS: &[&str] = &[
    "number",
    "state",
    "party",
    "currency",
    "untaxed_amount",
    "tax_amount",
    "total_amount",
    "shipments",
    "invoices",
    "invoice_state",
    "shipment_state",
];
/// Times a state is read again before a script gives up: each button moves one state on.
const STATES_MAX: usize = 8;

fn id(record: &Value) -> i64 {
    record.get("id").as_i64().unwrap_or(0)
}

fn state(record: &Value) -> &str {
    record.get("state").as_str().unwrap_or("")
}

fn find_sale(s: &mut Script<'_>, plan: &Value) -> Run<Option<Value>> {
    let domain = value!([["web_shop", "=", (plan.get("shop"))], ["web_id", "=", (plan.get("web_id"))]]);
    Ok(s.search(SALE, domain, SALE_FIELDS)?.into_iter().next())
}

fn needed_sale(s: &mut Script<'_>, plan: &Value) -> Run<Value> {
    match find_sale(s, plan)? {
        Some(sale) => Ok(sale),
        None => end(Outcome::refused("record_not_found", "Tryton has no sale for this order")),
    }
}

// -- create --

pub(super) fn create(s: &mut Script<'_>, call: &Call, plan: &Value) -> Run<Outcome> {
    let Ok(wanted) = crossdock_value::from_value::<Sale>(plan) else {
        return end(Outcome::misconfigured("stored_request", "the stored plan is no sale"));
    };
    let mut sale = match find_sale(s, plan)? {
        Some(sale) => sale,
        None => make_sale(s, call, &wanted, plan)?,
    };
    for _ in 0..STATES_MAX {
        let sale_id = id(&sale);
        match state(&sale) {
            "draft" => {
                s.press(SALE, sale_id, "quote")?;
            }
            "quotation" => {
                let total = wire::read_decimal(sale.get("total_amount")).unwrap_or_default();
                if (total - wanted.total.amount).abs() > s.settings.tolerance {
                    let text = format!("Tryton makes it {total}, the storefront {}", wanted.total.amount);
                    return Ok(Outcome { evidence: evidence(&sale, &wanted), ..Outcome::refused("total_differs", text) });
                }
                s.press(SALE, sale_id, "confirm")?;
            }
            // `confirm` says nothing when the work behind it failed; `process` does it again and tells.
            "confirmed" => {
                s.button(SALE, sale_id, "process")?;
            }
            "processing" | "done" => return Ok(created(call, &sale, &wanted)),
            "cancelled" => return Ok(Outcome::refused("cancelled_in_erp", "the sale was cancelled in Tryton")),
            other => return Ok(Outcome::refused("unexpected_state", format!("the sale is {other}"))),
        }
        let before = state(&sale).to_owned();
        sale = s.record(SALE, sale_id, SALE_FIELDS)?;
        if state(&sale) == before {
            return Ok(Outcome::refused("stuck", format!("the sale stays {before}")));
        }
    }
    Ok(Outcome::refused("stuck", "the sale does not come to rest"))
}

fn created(call: &Call, sale: &Value, wanted: &Sale) -> Outcome {
    Outcome::done(evidence(sale, wanted)).with_identity(
        "order",
        call.order.to_string(),
        sale.get("number").as_str().unwrap_or_default(),
    )
}

fn evidence(sale: &Value, wanted: &Sale) -> Value {
    let money = |field: &str| {
        let amount = wire::read_decimal(sale.get(field)).map(|amount| amount.to_string());
        value!({"amount": amount, "currency": (wanted.total.currency.as_str())})
    };
    value!({"order": (sale.get("number")), "total": (money("total_amount")), "tax": (money("tax_amount")), "state": (sale.get("state"))})
}

fn make_sale(s: &mut Script<'_>, call: &Call, wanted: &Sale, plan: &Value) -> Run<Value> {
    let party = party(s, wanted)?;
    let invoice = address(s, party, wanted.party.invoice.as_ref().or(wanted.party.delivery.as_ref()))?;
    let shipment = match wanted.pickup_address {
        Some(address) => Some(address),
        None => address(s, party, wanted.party.delivery.as_ref().or(wanted.party.invoice.as_ref()))?,
    };
    let products = products(s, wanted)?;
    let mut lines = Vec::new();
    for line in &wanted.lines {
        let Some(product) = products.iter().find(|(code, _)| *code == line.code).map(|(_, id)| *id) else {
            return end(Outcome::refused("unknown_sku", format!("Tryton has no product of code {}", line.code)));
        };
        let taxes: Value = line.rate.iter().filter_map(|rate| s.settings.taxes.get(rate)).map(|id| Value::from(*id)).collect();
        lines.push(value!({
            "type": "line",
            "product": product,
            "quantity": (wire::quantity(line.quantity)),
            "unit": (s.settings.unit),
            "unit_price": (wire::decimal(line.unit_price)),
            "taxes": [["add", taxes]],
            "description": (line.line.as_deref().unwrap_or("")),
        }));
    }
    let values = value!({
        "company": (s.settings.company),
        "currency": (wanted.currency),
        "party": party,
        "invoice_address": invoice,
        "shipment_address": shipment,
        "warehouse": (wanted.warehouse),
        "payment_term": (s.settings.payment_term),
        "web_shop": (wanted.shop),
        "web_id": (wanted.web_id.as_str()),
        "reference": (wanted.number.as_str()),
        "sale_date": (wire::date(call.at)),
        "invoice_method": "order",
        "shipment_method": "order",
        // What the customer comes for, nobody carries.
        "carrier": (s.settings.carrier.filter(|_| wanted.pickup_address.is_none())),
        // Tryton would add its own price for shipping; the storefront's is a line.
        "shipment_cost_method": null,
        "lines": [["create", lines]],
    });
    let refusal = s.try_change("model.sale.sale.create", vec![value!([values])])?.err();
    // Whether the refusal was that the pair exists is not said in a code: it is there, or it is not.
    match (find_sale(s, plan)?, refusal) {
        (Some(sale), _) => Ok(sale),
        (None, Some(message)) => end(Outcome::refused("user_error", message)),
        (None, None) => end(Outcome::unknown("not_visible", "the sale was made and cannot be found")),
    }
}

/// The party of our code; the code is unique, so two that make it at once end with one.
fn party(s: &mut Script<'_>, wanted: &Sale) -> Run<i64> {
    let find = |s: &mut Script<'_>| -> Run<Option<i64>> {
        Ok(s.search("party.party", value!([["code", "=", (wanted.party.code.as_str())]]), &["code"])?.first().map(id))
    };
    if let Some(party) = find(s)? {
        return Ok(party);
    }
    let mut values = value!({"code": (wanted.party.code.as_str()), "name": (wanted.party.name.as_str())});
    if let Some(email) = &wanted.party.email {
        values.insert("contact_mechanisms", value!([["create", [{"type": "email", "value": (email.as_str())}]]]));
    }
    let refusal = s.try_change("model.party.party.create", vec![value!([values])])?.err();
    match (find(s)?, refusal) {
        (Some(party), _) => Ok(party),
        (None, Some(message)) => end(Outcome::refused("user_error", message)),
        (None, None) => end(Outcome::unknown("not_visible", "the party was made and cannot be found")),
    }
}

/// The party's address of this content. Two equal ones would be harmless.
fn address(s: &mut Script<'_>, party: i64, place: Option<&Place>) -> Run<Option<i64>> {
    let Some(place) = place else { return Ok(None) };
    let domain = value!([
        ["party", "=", party],
        ["street_unstructured", "=", (place.street.as_str())],
        ["postal_code", "=", (place.postal_code.as_deref())],
        ["city", "=", (place.city.as_deref())],
        ["party_name", "=", (place.name.as_str())],
    ]);
    if let Some(known) = s.search("party.address", domain, &["party"])?.first() {
        return Ok(Some(id(known)));
    }
    let values = value!({
        "party": party,
        "party_name": (place.name.as_str()),
        "street_unstructured": (place.street.as_str()),
        "postal_code": (place.postal_code.as_deref()),
        "city": (place.city.as_deref()),
        "country": (place.country),
        "invoice": true,
        "delivery": true,
    });
    let made = s.change("model.party.address.create", vec![value!([values])])?;
    Ok(made.as_arr().and_then(|ids| ids.first()).and_then(Value::as_i64))
}

/// Ids of the products, from the settings or by their codes.
fn products<'w>(s: &mut Script<'_>, wanted: &'w Sale) -> Run<Vec<(&'w str, i64)>> {
    let mut known: Vec<(&str, i64)> = Vec::new();
    let mut asked: Vec<Value> = Vec::new();
    for line in &wanted.lines {
        match s.settings.products.get(&line.code) {
            Some(id) => known.push((&line.code, *id)),
            None if asked.iter().any(|code| code.as_str() == Some(&line.code)) => {}
            None => asked.push(Value::from(&line.code)),
        }
    }
    if !asked.is_empty() {
        let found = s.search("product.product", value!([["code", "in", asked]]), &["code"])?;
        for product in &found {
            let line = wanted.lines.iter().find(|line| product.get("code").as_str() == Some(&line.code));
            known.extend(line.map(|line| (line.code.as_str(), id(product))));
        }
    }
    Ok(known)
}

// -- cancel --

pub(super) fn cancel(s: &mut Script<'_>, plan: &Value) -> Run<Outcome> {
    let mut sale = needed_sale(s, plan)?;
    if plan.at("args.whole").as_bool() == Some(false) {
        return Ok(Outcome::refused("partial_cancel", "Tryton's sale cannot be cancelled line by line; post a return instead"));
    }
    if state(&sale) == "confirmed" {
        s.button(SALE, id(&sale), "process")?;
        sale = s.record(SALE, id(&sale), SALE_FIELDS)?;
    }
    match state(&sale) {
        "cancelled" => return Ok(unbooked(&sale)),
        "draft" | "quotation" => {
            s.button(SALE, id(&sale), "cancel")?;
            return Ok(unbooked(&sale));
        }
        _ => {}
    }
    // In process: what hangs on the sale is undone, if nothing has left or was booked.
    let shipments = s.records(SHIPMENT, sale.get("shipments"), &["number", "state"])?;
    let invoices = s.records(INVOICE, sale.get("invoices"), &["number", "state"])?;
    if shipments.iter().any(|shipment| matches!(state(shipment), "shipped" | "done")) {
        return Ok(Outcome::refused("already_delivered", "a shipment of the sale has left"));
    }
    if invoices.iter().any(|invoice| matches!(state(invoice), "posted" | "paid")) {
        return Ok(Outcome::refused("already_invoiced", "an invoice of the sale is posted"));
    }
    for shipment in shipments.iter().filter(|shipment| state(shipment) != "cancelled") {
        s.button(SHIPMENT, id(shipment), "cancel")?;
    }
    for invoice in invoices.iter().filter(|invoice| state(invoice) != "cancelled") {
        s.button(INVOICE, id(invoice), "cancel")?;
    }
    let sale = s.record(SALE, id(&sale), SALE_FIELDS)?;
    // Tryton asks whether to make them anew; the answer is to leave it at that.
    if sale.get("shipment_state").as_str() == Some("exception") {
        let ignore: Answers = |form| {
            form.insert("ignore_moves", form.get("domain_moves").clone());
        };
        s.wizard("sale.handle.shipment.exception", "handle", SALE, id(&sale), Some(("ask", ignore)))?;
    }
    if sale.get("invoice_state").as_str() == Some("exception") {
        let ignore: Answers = |form| {
            form.insert("ignore_invoices", form.get("domain_invoices").clone());
        };
        s.wizard("sale.handle.invoice.exception", "handle", SALE, id(&sale), Some(("ask", ignore)))?;
    }
    Ok(unbooked(&sale))
}

fn unbooked(sale: &Value) -> Outcome {
    Outcome::done(value!({"order": (sale.get("number"))}))
}

// -- deliver --

const SHIPMENT_FIELDS: &[&str] = &["number", "state", "reference", "outgoing_moves", "_timestamp"];
/// When to come back while another delivery holds what is left of the sale.
const DELIVERY_AGAIN_MS: i64 = 2_000;

fn shipments(s: &mut Script<'_>, sale: &Value) -> Run<Vec<Value>> {
    s.records(SHIPMENT, sale.get("shipments"), SHIPMENT_FIELDS)
}

fn sale_lines(s: &mut Script<'_>, sale: &Value) -> Run<Vec<Value>> {
    s.search("sale.line", value!([["sale", "=", (id(sale))]]), &["description", "quantity", "quantity_to_ship"])
}

/// How much of a move leaves with this delivery; the move's whole quantity beside it.
struct Leaving {
    movement: i64,
    quantity: Decimal,
    whole: Decimal,
}

pub(super) fn deliver(s: &mut Script<'_>, plan: &Value) -> Run<Outcome> {
    let sale = needed_sale(s, plan)?;
    let reference = plan.get("reference").as_str().unwrap_or("");
    let known = shipments(s, &sale)?;
    let sale_lines = sale_lines(s, &sale)?;
    let ours = known.iter().find(|shipment| shipment.get("reference").as_str() == Some(reference)).cloned();
    let mut shipment = match ours {
        Some(shipment) => shipment,
        None => match choose(s, &known, &sale_lines, plan)? {
            Some(shipment) => {
                let mut values = value!({"reference": reference});
                if let Some(tracking) = plan.at("args.tracking").as_str() {
                    values.insert("shipping_reference", tracking);
                }
                claim(s, &shipment, values)?;
                shipment
            }
            // What is left comes as a shipment of its own once the other one is done.
            None if has_goods(&sale_lines, plan) && known.iter().any(|shipment| is_open(shipment) && !is_free(shipment)) => {
                let text = "another delivery of the sale is under way";
                return Ok(Outcome::retry("delivery_under_way", text).after_ms(DELIVERY_AGAIN_MS));
            }
            None => return Ok(delivered_without_shipment()),
        },
    };
    for _ in 0..STATES_MAX + 2 {
        let shipment_id = id(&shipment);
        let before = state(&shipment).to_owned();
        match before.as_str() {
            "draft" => {
                keep_to(s, &shipment, &sale_lines, plan)?;
                s.button(SHIPMENT, shipment_id, "wait")?;
            }
            "waiting" => {
                let leaving = leaving(s, &shipment, &sale_lines, plan)?;
                // Quantities are written on a draft only.
                let whole = leaving.iter().all(|leaving| leaving.quantity == leaving.whole);
                s.button(SHIPMENT, shipment_id, if whole { "assign_try" } else { "draft" })?;
            }
            "assigned" => {
                s.button(SHIPMENT, shipment_id, "pick")?;
            }
            "picked" => {
                s.button(SHIPMENT, shipment_id, "pack")?;
            }
            "packed" => {
                s.button(SHIPMENT, shipment_id, "ship")?;
            }
            "shipped" => {
                s.button(SHIPMENT, shipment_id, "do")?;
            }
            "done" => return Ok(Outcome::done(value!({"delivery": (shipment.get("number"))}))),
            other => return Ok(Outcome::refused("unexpected_state", format!("the shipment is {other}"))),
        }
        shipment = s.record(SHIPMENT, shipment_id, SHIPMENT_FIELDS)?;
        if state(&shipment) == before {
            // `assign_try` answers nothing when there is too little.
            let code = if before == "waiting" { "not_enough_stock" } else { "stuck" };
            return Ok(Outcome::refused(code, format!("the shipment stays {before}")));
        }
    }
    Ok(Outcome::refused("stuck", "the shipment does not come to rest"))
}

/// Downloads, services and certificates.
fn delivered_without_shipment() -> Outcome {
    Outcome::done(value!({"delivery": null}))
}

fn is_open(shipment: &Value) -> bool {
    !matches!(state(shipment), "done" | "cancelled" | "shipped")
}

/// No delivery has it yet.
fn is_free(shipment: &Value) -> bool {
    shipment.get("reference").as_str().is_none_or(str::is_empty)
}

/// Whether something of this delivery is shipped at all: services have nothing to ship, not even none.
fn has_goods(sale_lines: &[Value], plan: &Value) -> bool {
    let given = plan.at("args.lines").as_arr();
    let ours = |line: &Value| given.is_none_or(|given| given.iter().any(|entry| entry.get("line") == line.get("description")));
    sale_lines.iter().any(|line| ours(line) && !line.get("quantity_to_ship").is_null())
}

/// Makes a shipment this delivery's. Two parcels may be told at once: the one that read it before the other wrote is turned away.
fn claim(s: &mut Script<'_>, shipment: &Value, values: Value) -> Run<()> {
    let mut read = value!({});
    read.insert(format!("{SHIPMENT},{}", id(shipment)), shipment.get("_timestamp").clone());
    let context = value!({"_timestamp": read});
    s.change_within("model.stock.shipment.out.write", vec![value!([(id(shipment))]), values], context)?;
    Ok(())
}

/// The open shipment that moves something of this delivery.
fn choose(s: &mut Script<'_>, known: &[Value], sale_lines: &[Value], plan: &Value) -> Run<Option<Value>> {
    for shipment in known.iter().filter(|shipment| is_open(shipment) && is_free(shipment)) {
        if leaving(s, shipment, sale_lines, plan)?.iter().any(|leaving| leaving.quantity > Decimal::ZERO) {
            return Ok(Some(shipment.clone()));
        }
    }
    Ok(None)
}

/// What of each move of a shipment leaves. A sale line carries the order's line in its description; the parts of a bundle carry the
/// bundle's, and leave in its proportion.
fn leaving(s: &mut Script<'_>, shipment: &Value, sale_lines: &[Value], plan: &Value) -> Run<Vec<Leaving>> {
    let given = plan.at("args.lines").as_arr();
    let moves = s.records("stock.move", shipment.get("outgoing_moves"), &["quantity", "origin"])?;
    let number = |record: &Value| record.get("quantity").as_decimal().unwrap_or_default();
    let leaving = moves.iter().map(|movement| {
        let whole = number(movement);
        let line = movement.get("origin").as_str().and_then(|origin| origin.strip_prefix("sale.line,")?.parse().ok());
        let line = sale_lines.iter().find(|record| Some(id(record)) == line);
        let quantity = match (given, line) {
            (None, _) | (Some(_), None) => whole,
            (Some(given), Some(line)) => {
                let name = line.get("description");
                let sold = sale_lines.iter().find(|record| record.get("description") == name).map(number).unwrap_or_default();
                let entry = given.iter().find(|entry| entry.get("line") == name);
                let pieces = entry.and_then(|entry| plan::read_number(entry.at("quantity.value"))).unwrap_or_default();
                if sold.is_zero() { Decimal::ZERO } else { (pieces * number(line) / sold).min(whole) }
            }
        };
        Leaving { movement: id(movement), quantity, whole }
    });
    Ok(leaving.collect())
}

/// Lowers a draft's moves to what leaves; Tryton makes another shipment of the rest when this one is done.
fn keep_to(s: &mut Script<'_>, shipment: &Value, sale_lines: &[Value], plan: &Value) -> Run<()> {
    let mut writes = Vec::new();
    let mut gone = Vec::new();
    for leaving in leaving(s, shipment, sale_lines, plan)?.iter().filter(|leaving| leaving.quantity != leaving.whole) {
        match leaving.quantity.is_zero() {
            true => gone.push(Value::from(leaving.movement)),
            false => writes.push(value!(["write", [(leaving.movement)], {"quantity": (wire::quantity(leaving.quantity))}])),
        }
    }
    if !gone.is_empty() {
        writes.push(value!(["delete", gone]));
    }
    if !writes.is_empty() {
        s.change("model.stock.shipment.out.write", vec![value!([(id(shipment))]), value!({"outgoing_moves": writes})])?;
    }
    Ok(())
}

// -- invoice and payment --

fn invoices(s: &mut Script<'_>, sale: &Value) -> Run<Vec<Value>> {
    let found = s.records(INVOICE, sale.get("invoices"), &["number", "state", "total_amount", "lines_to_pay", "party"])?;
    Ok(found.into_iter().filter(|invoice| state(invoice) != "cancelled").collect())
}

pub(super) fn invoice(s: &mut Script<'_>, call: &Call, plan: &Value) -> Run<Outcome> {
    let sale = needed_sale(s, plan)?;
    let Some(invoice) = invoices(s, &sale)?.into_iter().next() else {
        return Ok(Outcome::refused("no_invoice", "the sale has no invoice to post"));
    };
    if matches!(state(&invoice), "posted" | "paid") {
        return Ok(posted(call, &invoice));
    }
    // Two parcels ask for the one invoice of their sale, maybe at once.
    let refusal = s.press(INVOICE, id(&invoice), "post")?;
    let invoice = s.record(INVOICE, id(&invoice), &["number", "state", "total_amount"])?;
    match (state(&invoice), refusal) {
        ("posted" | "paid", _) => Ok(posted(call, &invoice)),
        (_, Some(message)) => Ok(Outcome::refused("user_error", message)),
        (other, None) => Ok(Outcome::refused("stuck", format!("the invoice stays {other}"))),
    }
}

fn posted(call: &Call, invoice: &Value) -> Outcome {
    let number = invoice.get("number").as_str().unwrap_or_default();
    Outcome::done(value!({"invoice": number})).with_identity("invoice", &*call.reference, number)
}

const PAYMENT_FIELDS: &[&str] = &["number", "state", "amount", "kind", "line"];

fn find_payment(s: &mut Script<'_>, plan: &Value) -> Run<Option<Value>> {
    let domain = value!([["reference", "=", (plan.get("reference"))]]);
    let found = s.search(PAYMENT, domain, PAYMENT_FIELDS)?;
    Ok(found.into_iter().find(|payment| state(payment) != "failed"))
}

pub(super) fn pay(s: &mut Script<'_>, call: &Call, plan: &Value) -> Run<Outcome> {
    let refund = plan.at("args.kind").as_str() == Some("refund");
    let mut payment = match find_payment(s, plan)? {
        Some(payment) => payment,
        None => {
            let sale = needed_sale(s, plan)?;
            let currency = plan.at("args.amount.currency").as_str().unwrap_or("");
            let Some(journal) = s.settings.payment_journals.get(currency).copied() else {
                return Ok(Outcome::misconfigured(
                    "no_journal",
                    format!("`settings.payment_journals` has no journal for {currency}"),
                ));
            };
            let Some(amount) = plan::read_number(plan.at("args.amount.amount")) else {
                return Ok(Outcome::misconfigured("stored_request", "the stored plan has no amount"));
            };
            // Money that comes in pays an invoice, money that goes out a credit note.
            let sign = |invoice: &Value| wire::read_decimal(invoice.get("total_amount")).unwrap_or_default() < Decimal::ZERO;
            let due = invoices(s, &sale)?
                .into_iter()
                .find(|invoice| sign(invoice) == refund && matches!(state(invoice), "posted" | "paid"));
            let line = due.as_ref().and_then(|invoice| invoice.get("lines_to_pay").as_arr()?.first()?.as_i64());
            let Some(line) = line else {
                let (code, what) = if refund { ("no_credit_note", "credit note") } else { ("no_invoice", "posted invoice") };
                return Ok(Outcome::refused(code, format!("the sale has no {what} with something left to pay")));
            };
            let values = value!({
                "company": (s.settings.company),
                "journal": journal,
                "kind": (if refund { "payable" } else { "receivable" }),
                "party": (sale.get("party")),
                "line": line,
                "amount": (wire::decimal(amount)),
                "reference": (plan.get("reference")),
                "date": (wire::date(call.at)),
            });
            s.change("model.account.payment.create", vec![value!([values])])?;
            match find_payment(s, plan)? {
                Some(payment) => payment,
                None => return Ok(Outcome::unknown("not_visible", "the payment was made and cannot be found")),
            }
        }
    };
    for _ in 0..STATES_MAX {
        let payment_id = id(&payment);
        match state(&payment) {
            "draft" => {
                s.button(PAYMENT, payment_id, "submit")?;
            }
            "submitted" if refund => {
                s.button(PAYMENT, payment_id, "approve")?;
            }
            "submitted" | "approved" => {
                s.wizard("account.payment.process", "process", PAYMENT, payment_id, None)?;
            }
            "processing" => {
                s.button(PAYMENT, payment_id, "succeed")?;
            }
            "succeeded" => {
                reconcile(s, &payment)?;
                return Ok(Outcome::done(value!({"posting": (payment.get("number"))})));
            }
            other => return Ok(Outcome::refused("unexpected_state", format!("the payment is {other}"))),
        }
        let before = state(&payment).to_owned();
        payment = s.record(PAYMENT, payment_id, PAYMENT_FIELDS)?;
        if state(&payment) == before {
            return Ok(Outcome::refused("stuck", format!("the payment stays {before}")));
        }
    }
    Ok(Outcome::refused("stuck", "the payment does not come to rest"))
}

/// Tryton reconciles what one payment pays whole. What several pay together is reconciled here, by the last of them: only then is the
/// invoice paid.
fn reconcile(s: &mut Script<'_>, payment: &Value) -> Run<()> {
    let Some(lines) = together(s, payment)? else { return Ok(()) };
    let refusal = s.try_wizard("account.move.reconcile_lines", "start", MOVE_LINE, &lines, None)?.err();
    match refusal {
        // Another payment of the same invoice may have been faster.
        Some(message) if together(s, payment)?.is_some() => end(Outcome::refused("user_error", message)),
        _ => Ok(()),
    }
}

/// The lines of the books that several payments settle together, if they do and are not reconciled: the invoice's and each payment's.
fn together(s: &mut Script<'_>, payment: &Value) -> Run<Option<Vec<i64>>> {
    let fields = &["reconciliation", "account", "debit", "credit", "amount_second_currency"];
    let line = value!([(payment.get("line"))]);
    let Some(due) = s.records(MOVE_LINE, &line, fields)?.into_iter().next() else { return Ok(None) };
    if !due.get("reconciliation").is_null() {
        return Ok(None);
    }
    let domain = value!([["line", "=", (id(&due))], ["state", "=", "succeeded"]]);
    let payments = s.search(PAYMENT, domain, &["amount", "clearing_move"])?;
    let number = |record: &Value, field: &str| wire::read_decimal(record.get(field));
    let paid: Decimal = payments.iter().filter_map(|payment| number(payment, "amount")).sum();
    let in_books = number(&due, "debit").unwrap_or_default() - number(&due, "credit").unwrap_or_default();
    if payments.len() < 2 || paid != number(&due, "amount_second_currency").unwrap_or(in_books).abs() {
        return Ok(None);
    }
    let moves: Value = payments.iter().map(|payment| payment.get("clearing_move").clone()).collect();
    let domain = value!([["move", "in", moves], ["account", "=", (due.get("account"))]]);
    let mut lines = vec![id(&due)];
    lines.extend(s.search(MOVE_LINE, domain, &["account"])?.iter().map(id));
    Ok(Some(lines))
}

// -- probe --

pub(super) fn probe(s: &mut Script<'_>, call: &Call, plan: &Value) -> Run<Probe> {
    let partial = |what: &str| Probe::Partial(Outcome::unknown("under_way", format!("the {what} is there, not at its end")));
    if call.operation == Operation::ErpPostPayment {
        return Ok(match find_payment(s, plan)? {
            None => Probe::Absent,
            Some(payment) if state(&payment) == "succeeded" && together(s, &payment)?.is_none() => {
                Probe::Complete(Outcome::done(value!({"posting": (payment.get("number"))})))
            }
            Some(_) => partial("payment"),
        });
    }
    let Some(sale) = find_sale(s, plan)? else { return Ok(Probe::Absent) };
    Ok(match call.operation {
        Operation::ErpCreateOrder => match (state(&sale), crossdock_value::from_value::<Sale>(plan)) {
            ("processing" | "done", Ok(wanted)) => Probe::Complete(created(call, &sale, &wanted)),
            ("cancelled", _) => Probe::MovedOn(Outcome::refused("cancelled_in_erp", "the sale was cancelled in Tryton")),
            _ => partial("sale"),
        },
        Operation::ErpCancelOrder => {
            let shipments = shipments(s, &sale)?;
            let invoices = invoices(s, &sale)?;
            let undone = shipments.iter().all(|shipment| state(shipment) == "cancelled") && invoices.is_empty();
            let settled = |field: &str| sale.get(field).as_str() != Some("exception");
            let booked = matches!(state(&sale), "draft" | "quotation" | "confirmed");
            if state(&sale) == "cancelled" || (!booked && undone && settled("shipment_state") && settled("invoice_state")) {
                Probe::Complete(unbooked(&sale))
            } else {
                Probe::Absent
            }
        }
        Operation::ErpPostDelivery => {
            let reference = plan.get("reference").as_str();
            match shipments(s, &sale)?.iter().find(|shipment| shipment.get("reference").as_str() == reference) {
                None if !has_goods(&sale_lines(s, &sale)?, plan) => Probe::Complete(delivered_without_shipment()),
                None => Probe::Absent,
                Some(shipment) if state(shipment) == "done" => {
                    Probe::Complete(Outcome::done(value!({"delivery": (shipment.get("number"))})))
                }
                Some(_) => partial("shipment"),
            }
        }
        _ => match invoices(s, &sale)?.first() {
            Some(invoice) if matches!(state(invoice), "posted" | "paid") => Probe::Complete(posted(call, invoice)),
            _ => Probe::Absent,
        },
    })
}
