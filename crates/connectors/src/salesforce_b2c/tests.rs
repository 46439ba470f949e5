//! The mapping against orders of the vendor's form, the requests against the vendor's description, polling against a moving list.

use crate::testing::{RICH_ORDER, STOREFRONT, body_of, build, built, call, respond, target_of};
use crossdock_canonical::order::{Delivery, LineKind, Taxation};
use crossdock_canonical::payment::Tender;
use crossdock_canonical::{Money, Operation, Order, OutcomeClass, Timestamp};
use crossdock_connect::conformance::{Case, World, check, check_unsupported};
use crossdock_connect::http::{Request, Response};
use crossdock_connect::{About, Connector, Exchange, Message, Next, NextPoll, TransportError};
use crossdock_value::{Decimal, Value, value};
use std::collections::{BTreeMap, BTreeSet};

fn parse(text: &str) -> Value {
    crossdock_value::parse_str(text).expect("JSON")
}

fn map(order: &Value) -> Result<Value, String> {
    built(STOREFRONT).translate("order.placed", &crossdock_value::to_json(order)).map_err(|error| error.to_string())
}

fn rich() -> Order {
    crossdock_value::from_value(&map(&parse(RICH_ORDER)).expect("maps")).expect("a canonical order")
}

// -- mapping --

#[test]
fn the_vendors_own_example_maps_and_its_sums_tie() {
    let page = parse(include_str!("fixtures/orders-get.json"));
    let mut example = page.at("data.0").clone();
    example.insert("siteId", "RefArch-US");
    let order: Order = crossdock_value::from_value(&map(&example).expect("maps")).expect("a canonical order");
    assert_eq!(order.reference().to_string(), "sfcc/RefArch-US/00000410");
    assert!(order.customer.guest && order.customer.number.is_none(), "a guest has no account");
    assert_eq!(order.lines[0].gross.to_string(), "103.95 USD");
    assert_eq!(order.payments[0].transaction.as_deref(), Some("40f07907428e23c4bbc6fb0446"));
    assert_eq!(order.payments[0].custom["c_issuerBank"].0.as_str(), Some("JPMORGAN CHASE BANK, N.A."));
    assert_ties(&order);
}

/// Parts add up to the total that the shopper pays, in the order's own taxation and without tax.
fn assert_ties(order: &Order) {
    let gross = order.taxation == Taxation::Gross;
    let amount = |net: &Money, with_tax: &Money| if gross { with_tax.amount } else { net.amount };
    let lines: Decimal = order.lines.iter().map(|line| amount(&line.net, &line.gross)).sum();
    let shipping: Decimal = order.shipping.iter().map(|charge| amount(&charge.net, &charge.gross)).sum();
    let adjustments: Decimal = order.adjustments.iter().map(|adjustment| adjustment.amount.amount).sum();
    let tax = if gross { Decimal::ZERO } else { order.totals.tax.amount };
    assert_eq!(lines + shipping + adjustments + tax, order.totals.grand.amount);
    assert_eq!(order.lines.iter().map(|line| line.net.amount).sum::<Decimal>(), order.totals.lines_net.amount);
    assert_eq!(order.shipping.iter().map(|charge| charge.net.amount).sum::<Decimal>(), order.totals.shipping_net.amount);
    assert_eq!(order.payments.iter().map(|payment| payment.amount.amount).sum::<Decimal>(), order.totals.grand.amount);
    for line in &order.lines {
        assert_eq!(line.net.amount + line.tax.amount, line.gross.amount, "line {}", line.id);
    }
}

#[test]
fn an_order_with_everything_keeps_everything_in_its_place() {
    let order = rich();
    assert_ties(&order);
    let kinds: Vec<_> = order.lines.iter().map(|line| line.kind).collect();
    assert_eq!(kinds, [LineKind::Physical, LineKind::Physical, LineKind::Bonus, LineKind::GiftCard]);
    // 161.82 for two sweaters after their own discount, 9.90 for the wrapping.
    assert_eq!(order.lines[0].gross.to_string(), "171.72 EUR");
    assert_eq!(order.lines[0].options[0].value.as_deref(), Some("red"));
    assert_eq!(order.lines[0].custom["optionItems"].0.at("0.c_ribbon").as_str(), Some("gold"));
    assert_eq!(order.lines[0].custom["c_monogram"].0.as_str(), Some("EM"));
    let parts: Vec<_> = order.lines[1].components.iter().map(|part| (part.sku.as_str(), part.quantity.to_string())).collect();
    assert_eq!(parts, [("100113-OS", "4 EA".to_owned()), ("100114-OS", "1 EA".to_owned())]);
    assert_eq!(order.lines[3].custom["recipientEmail"].0.as_str(), Some("friend@example.com"));
    assert_eq!(order.shipments[0].gift_message.as_deref(), Some("Happy birthday"));
    assert_eq!((order.shipments[1].delivery, order.shipments[1].store.as_deref()), (Delivery::Pickup, Some("ST-BER")));
    let tenders: Vec<_> = order.payments.iter().map(|payment| (payment.kind, payment.token.as_deref())).collect();
    assert_eq!(tenders, [(Tender::GiftCard, Some("gc_4f2a7788")), (Tender::Card, Some("pm_card_visa"))]);
    assert!(order.coupons[0].applied);
    assert_eq!(order.adjustments[0].custom["c_source"].0.as_str(), Some("newsletter"));
    assert_eq!(order.custom["c_giftNote"].0.at("weight").to_string(), "1.50");
    assert_eq!(order.extra["futureField"].0.at("x.1").to_string(), "2.0");
    assert_eq!(order.extra["bonusDiscountLineItems"].0.at("0.maxBonusItems").as_i64(), Some(1));
    assert_eq!(
        order.bill_to.as_ref().and_then(|address| address.custom.get("c_floor")).map(|c| c.0.to_string()).as_deref(),
        Some("3")
    );
}

#[test]
fn a_bundle_ordered_twice_says_what_one_of_it_holds() {
    let mut order = parse(RICH_ORDER);
    order.set("productItems.1.quantity", 2);
    let canonical: Value = map(&order).expect("maps");
    assert_eq!(canonical.at("lines.1.components.0.quantity.value").as_str(), Some("2"));
    order.set("productItems.1.quantity", 3);
    assert!(map(&order).expect_err("4 parts do not make 3 bundles").contains("bundledProductItems[0].quantity"));
}

/// Every leaf of a document, by its path.
fn leaves(value: &Value, path: &str, out: &mut Vec<String>) {
    match value {
        Value::Obj(entries) => entries.iter().for_each(|(key, value)| leaves(value, &format!("{path}.{key}"), out)),
        Value::Arr(items) => items.iter().enumerate().for_each(|(n, item)| leaves(item, &format!("{path}.{n}"), out)),
        _ => out.push(path.trim_start_matches('.').to_owned()),
    }
}

/// Scenario F17: whatever changes in the storefront's order is seen in the canonical one, or refuses it.
#[test]
fn no_changed_field_goes_unnoticed() {
    let order = parse(RICH_ORDER);
    let before = map(&order).expect("maps");
    let mut paths = Vec::new();
    leaves(&order, "", &mut paths);
    assert!(paths.len() > 150, "{}", paths.len());
    for path in paths {
        let changed = match order.at(&path) {
            Value::Str(text) => Value::from(format!("{text}x")),
            Value::Num(number) => Value::from(*number + Decimal::ONE),
            Value::Bool(flag) => Value::from(!flag),
            _ => Value::from("not null"),
        };
        for other in [changed, value!({"unexpected": []}), value!([1])] {
            let mut mutated = order.clone();
            mutated.set(&path, other);
            if let Ok(after) = map(&mutated) {
                assert_ne!(after, before, "{path} changed unseen");
            }
        }
    }
}

#[test]
fn what_cannot_be_an_order_is_refused_with_its_place() {
    for (path, wrong, said) in [
        ("orderNo", Value::Null, "orderNo: is missing"),
        ("currency", value!("euro"), "currency"),
        ("taxation", value!("both"), "taxation"),
        ("orderTotal", value!("265.67"), "orderTotal: expected a number"),
        ("productItems.1.quantity", value!("2"), "productItems[1].quantity"),
        ("shipments.0.shippingAddress", value!("x"), "shipments[0].shippingAddress"),
        ("placeDate", value!("yesterday"), "placeDate"),
        ("paymentInstruments.1.paymentTransaction.amount", value!([]), "paymentInstruments[1].paymentTransaction.amount"),
    ] {
        let mut order = parse(RICH_ORDER);
        order.set(path, wrong);
        let error = map(&order).expect_err(path);
        assert!(error.contains(said), "{path}: {error}");
    }
}

#[test]
fn a_landscape_mapping_extends_the_canonical_order() {
    let yaml = format!(
        "{STOREFRONT}\nmappings: {{order.placed: {{customer.name: '.order.c_clientVersion', custom.c_loud: '.canonical.number + \"!\"'}}}}"
    );
    let order = built(&yaml).translate("order.placed", RICH_ORDER.as_bytes()).expect("maps");
    assert_eq!((order.at("customer.name").as_str(), order.at("custom.c_loud").as_str()), (Some("7.2"), Some("00000410!")));
    let broken = STOREFRONT.to_owned() + "\nmappings: {order.placed: {totals.grand: '.order.orderTotal'}}";
    assert!(built(&broken).translate("order.placed", RICH_ORDER.as_bytes()).is_err(), "what a mapping wrote must be an order");
    let faults =
        build(&(STOREFRONT.to_owned() + "\nmappings: {order.placed: {number: '.order.'}}")).err().expect("a syntax error");
    assert_eq!(faults[0].path, "mappings[order.placed].number");
    assert!(faults[0].span.is_some());
}

#[test]
fn faults_of_the_settings_are_named_at_once() {
    let yaml = "
connector: salesforce-b2c
roles: [storefront]
auth: {client_id: hub, client_secret: hunter2}
settings: {channel: a/b, organization: zzte_053, sites: [], export: [exported], watch: [failed], page_size: 500, ovrelap: 1m, tenders: {X: coin}}
";
    let faults = build(yaml).err().expect("faults");
    let told = faults.iter().map(|fault| format!("{fault}\n")).collect::<String>();
    for path in [
        "settings.organization",
        "settings.sites",
        "settings.export",
        "settings.watch",
        "settings.page_size",
        "settings.ovrelap",
        "settings.tenders.X",
        "settings.channel",
        "auth.client_secret",
    ] {
        assert!(told.contains(path), "{path} in\n{told}");
    }
    assert!(told.contains("did you mean `overlap`") && !told.contains("hunter2"), "{told}");
}

// -- effects --

/// A storefront with one order, and a ledger of its writes.
struct Shop {
    order: Value,
    writes: usize,
}

impl World for Shop {
    fn answer(&mut self, request: &Request) -> Response {
        if request.target == "/token" {
            return respond(200, &value!({"access_token": "t", "expires_in": 1800}));
        }
        if request.find_header("authorization") != Some("Bearer t") {
            return Response::new(401, []);
        }
        let (path, query) = target_of(request);
        assert_eq!(query, [("siteId".to_owned(), "RefArch-DE".to_owned())]);
        if path[6] != "00000410" || self.order.is_null() {
            let problem = value!({"type": "https://x/errors/order-not-found", "title": "Order Not Found", "detail": "No order"});
            return respond(404, &problem);
        }
        let body = body_of(request);
        match (request.method.as_str(), path.get(7).map(String::as_str)) {
            ("GET", None) => return respond(200, &self.order),
            ("PATCH", None) => {
                for (key, value) in body.as_obj().expect("an object").iter() {
                    assert!(key.starts_with("c_"));
                    self.order.insert(key.clone(), value.clone());
                }
            }
            ("PUT", Some(resource)) => {
                let field = match resource {
                    "export-status" => "exportStatus",
                    "confirmation-status" => "confirmationStatus",
                    "payment-status" => "paymentStatus",
                    "shipping-status" => "shippingStatus",
                    _ => "status",
                };
                // Writing what is there already changes nothing.
                if self.order.get(field) == body.get("status") {
                    return Response::new(204, []);
                }
                self.order.insert(field, body.get("status").clone());
            }
            _ => return Response::new(405, []),
        }
        self.writes += 1;
        Response::new(204, [])
    }

    fn applied(&self) -> usize {
        // The state attribute may be written again with the same content.
        self.writes.min(1)
    }
}

fn effects() -> Vec<(Operation, Value)> {
    vec![
        (Operation::ExportStatus, value!({"status": "exported"})),
        (Operation::ConfirmationStatus, value!({"status": "confirmed"})),
        (Operation::PaymentStatus, value!({"status": "part_paid"})),
        (Operation::ShippingStatus, value!({"status": "part_shipped"})),
        (Operation::OrderStatus, value!({"status": "completed"})),
        (Operation::HubState, value!({"state": {"version": 3, "lines": {"line-set": {"state": "shipped"}}}})),
    ]
}

#[test]
fn every_write_keeps_the_promises_of_a_connector() {
    let connector = built(STOREFRONT);
    for (operation, args) in effects() {
        let world = || Box::new(Shop { order: parse(RICH_ORDER), writes: 0 }) as Box<dyn World>;
        let gone = || Box::new(Shop { order: Value::Null, writes: 0 }) as Box<dyn World>;
        let case = Case {
            call: call(operation, args),
            world: Box::new(world),
            refusing: Some(Box::new(gone)),
            reads_only: false,
            resumes: false,
        };
        check(&*connector, &case);
    }
    check_unsupported(&*connector, &call(Operation::ExportStatus, Value::Null));
}

#[test]
fn an_order_that_was_deleted_is_gone() {
    let connector = built(STOREFRONT);
    let call = call(Operation::ExportStatus, value!({"status": "exported"}));
    let prepared = connector.prepare(&call).expect("prepares");
    let Next::Send(request) = connector.next(&call, &prepared.bytes, &[]) else { panic!("sends") };
    let answer = respond(
        404,
        &value!({"type": "https://x/errors/order-not-found", "detail": "No order with number '00000410' was found."}),
    );
    let Next::End(outcome) = connector.next(&call, &prepared.bytes, &[Exchange { request, answer: Ok(answer) }]) else {
        panic!("ends")
    };
    assert_eq!((outcome.class, outcome.code.as_str()), (OutcomeClass::Refused, "order_gone"));
}

#[test]
fn a_later_status_means_that_ours_arrived() {
    let connector = built(STOREFRONT);
    let probe = |operation, asked: Value, field: &str, found: Value| {
        let sent = connector.prepare(&call(operation, asked)).expect("it can be made").bytes;
        // What is called for by now does not matter.
        let call = call(operation, Value::Null);
        let mut order = parse(RICH_ORDER);
        order.insert(field, found);
        let request = Request::new(crossdock_connect::http::Method::Get, "/");
        let exchange = Exchange { request, answer: Ok(respond(200, &order)) };
        format!("{:?}", connector.probe(&call, &sent, &[exchange]))
            .split_once("End(")
            .expect("ends")
            .1
            .split('(')
            .next()
            .unwrap_or("")
            .to_owned()
    };
    let status = |text: &str| value!({"status": text});
    let state = |version: i64| value!({"state": {"version": version}});
    assert_eq!(probe(Operation::ShippingStatus, status("part_shipped"), "shippingStatus", value!("shipped")), "Complete");
    assert_eq!(probe(Operation::ShippingStatus, status("shipped"), "shippingStatus", value!("part_shipped")), "Absent)");
    assert_eq!(probe(Operation::OrderStatus, status("completed"), "status", value!("cancelled")), "MovedOn");
    assert_eq!(probe(Operation::OrderStatus, status("completed"), "status", value!("new")), "Absent)");
    assert_eq!(probe(Operation::HubState, state(3), "c_hubState", value!(r#"{"version":4}"#)), "Complete");
    assert_eq!(probe(Operation::HubState, state(3), "c_hubState", value!(r#"{"version":2}"#)), "Absent)");
    assert_eq!(probe(Operation::HubState, state(3), "c_hubState", value!("mangled")), "Absent)");
}

/// Method, path, query and body of every request, against the vendor's own description of the API.
#[test]
fn every_request_fits_the_vendors_openapi() {
    let spec: serde_json::Value =
        serde_json::from_str(include_str!("../../specs/salesforce-orders-1.5.2-trimmed.json")).expect("JSON");
    let connector = built(STOREFRONT);
    let mut requests = Vec::new();
    for (operation, args) in effects() {
        let call = call(operation, args);
        let prepared = connector.prepare(&call).expect("prepares");
        let Next::Send(request) = connector.next(&call, &prepared.bytes, &[]) else { panic!("sends") };
        requests.push(request);
        let crossdock_connect::NextProbe::Send(request) = connector.probe(&call, &prepared.bytes, &[]) else { panic!("sends") };
        requests.push(request);
    }
    let mut list = Moving::new(12);
    requests.extend(read_all(&*connector, &mut list, &mut Value::Null, 0).requests);
    assert!(requests.len() > 15);
    for request in requests {
        validate(&spec, &request);
    }
}

fn validate(spec: &serde_json::Value, request: &Request) {
    let (path, query) = target_of(request);
    assert_eq!(path[..3], ["checkout", "orders", "v1"]);
    let place = &path[3..];
    let (template, operations) = spec["paths"]
        .as_object()
        .expect("paths")
        .iter()
        .find(|(template, _)| {
            let parts: Vec<&str> = template.split('/').filter(|part| !part.is_empty()).collect();
            parts.len() == place.len() && parts.iter().zip(place).all(|(part, given)| part.starts_with('{') || part == given)
        })
        .unwrap_or_else(|| panic!("{} is not in the description", request.target));
    let operation = &operations[request.method.as_str().to_lowercase()];
    assert!(operation.is_object(), "{} {template}", request.method.as_str());
    let parameters: BTreeMap<String, serde_json::Value> = operation["parameters"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|parameter| resolve(spec, parameter))
        .map(|parameter| (parameter["name"].as_str().unwrap_or("").to_owned(), parameter))
        .collect();
    for (name, text) in &query {
        let parameter = parameters.get(name).unwrap_or_else(|| panic!("{name} is no parameter of {template}"));
        let schema = resolve(spec, &parameter["schema"]);
        let given = match schema["type"].as_str() {
            Some("integer" | "number") => serde_json::from_str(text).expect("a number"),
            Some("array") => serde_json::Value::from(text.split(',').collect::<Vec<_>>()),
            _ => serde_json::Value::from(text.as_str()),
        };
        fits(spec, &schema, &given, &format!("{name} of {template}"));
    }
    for (name, parameter) in parameters.iter().filter(|(_, p)| p["in"] == "query" && p["required"] == true) {
        assert!(query.iter().any(|(given, _)| given == name), "{name} is required: {parameter}");
    }
    if let Some(schema) = operation["requestBody"]["content"]["application/json"].get("schema") {
        let body: serde_json::Value = serde_json::from_slice(&request.body).expect("JSON");
        fits(spec, &resolve(spec, schema), &body, template);
    }
}

fn resolve(spec: &serde_json::Value, value: &serde_json::Value) -> serde_json::Value {
    match value["$ref"].as_str() {
        Some(reference) => resolve(spec, spec.pointer(reference.trim_start_matches('#')).expect("the reference is there")),
        None => value.clone(),
    }
}

fn fits(spec: &serde_json::Value, schema: &serde_json::Value, given: &serde_json::Value, what: &str) {
    let mut schema = schema.clone();
    schema["components"] = spec["components"].clone();
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let errors: Vec<String> = validator.iter_errors(given).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{what}: {given} {errors:?}");
}

// -- polling --

/// A list of orders that others change while it is read.
struct Moving {
    orders: BTreeMap<String, Value>,
    /// A page of more rows than this is too much for the platform.
    limit: usize,
}

impl Moving {
    fn new(count: i64) -> Self {
        let mut list = Self { orders: BTreeMap::new(), limit: usize::MAX };
        for n in 0..count {
            list.put(n, 1_000 + n);
        }
        list
    }

    fn put(&mut self, n: i64, at: i64) {
        let at = Timestamp(at).to_string();
        let order = value!({"orderNo": (format!("{n:04}")), "siteId": "RefArch-DE", "status": "new", "exportStatus": "ready",
            "creationDate": (at.as_str()), "lastModified": (at.as_str()), "orderTotal": 1});
        self.orders.insert(format!("{n:04}"), order);
    }

    fn set(&mut self, number: &str, field: &str, value: &str, at: i64) {
        let order = self.orders.get_mut(number).expect("known");
        order.insert(field, value);
        order.insert("lastModified", Timestamp(at).to_string());
    }

    fn answer(&self, request: &Request) -> Response {
        let (_, query) = target_of(request);
        let query: BTreeMap<_, _> = query.into_iter().collect();
        let has =
            |name: &str, value: &Value| query.get(name).is_none_or(|list| list.split(',').any(|one| value.as_str() == Some(one)));
        let time = if query["sortBy"] == "creation_date" { "creationDate" } else { "lastModified" };
        let from = query.get("lastModifiedDateFrom").or(query.get("creationDateFrom")).expect("a watermark");
        let mut rows: Vec<&Value> = self
            .orders
            .values()
            .filter(|order| {
                has("siteId", order.get("siteId"))
                    && has("status", order.get("status"))
                    && has("exportStatus", order.get("exportStatus"))
            })
            .filter(|order| order.get(time).as_str().is_some_and(|at| at >= from.as_str()))
            .collect();
        rows.sort_by_key(|order| (order.get(time).to_string(), order.get("orderNo").to_string()));
        let number = |name: &str| query[name].parse::<usize>().expect("a number");
        let page: Value = rows.into_iter().skip(number("offset")).take(number("limit")).cloned().collect();
        if page.as_arr().is_some_and(|rows| rows.len() > self.limit) {
            return Response::new(504, []);
        }
        respond(200, &value!({"data": page}))
    }
}

#[derive(Default)]
struct Seen {
    messages: Vec<Message>,
    requests: Vec<Request>,
}

impl Seen {
    fn numbers(&self, kind: &str) -> BTreeSet<String> {
        let of_kind = self.messages.iter().filter(|message| message.kind == kind);
        of_kind
            .map(|message| match &message.about {
                About::Order(order) => order.number.to_string(),
                About::Theirs { id, .. } => id.clone(),
            })
            .collect()
    }
}

/// Polls until nothing more is waiting.
fn read_all(connector: &dyn Connector, list: &mut Moving, cursor: &mut Value, now: i64) -> Seen {
    let mut seen = Seen::default();
    for _ in 0..500 {
        let now = Timestamp(now);
        let Some(NextPoll::Send(request)) = connector.poll(cursor, &[], now) else { panic!("a poll begins with a request") };
        seen.requests.push(request.clone());
        let exchange = Exchange { answer: Ok(list.answer(&request)), request };
        match connector.poll(cursor, &[exchange], now) {
            Some(NextPoll::Page { messages, cursor: next, more }) => {
                seen.messages.extend(messages);
                *cursor = next;
                if !more {
                    return seen;
                }
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("the poll does not end");
}

#[test]
fn orders_are_polled_from_an_inclusive_watermark_at_offset_zero() {
    let connector = built(STOREFRONT);
    let mut list = Moving::new(23);
    let mut cursor = Value::Null;
    let first = read_all(&*connector, &mut list, &mut cursor, 10_000);
    assert_eq!(first.numbers("order.placed").len(), 23);
    let offsets: BTreeSet<_> = first.requests.iter().map(|request| target_of(request).1.pop().expect("offset").1).collect();
    assert_eq!(offsets, BTreeSet::from(["0".to_owned()]));
    list.put(23, 1_022);
    assert!(
        read_all(&*connector, &mut list, &mut cursor, 10_001).numbers("order.placed").contains("0023"),
        "it came at the watermark itself"
    );
}

#[test]
fn an_order_is_told_again_for_each_change_and_told_apart_from_what_is_placed() {
    let connector = built(STOREFRONT);
    let mut list = Moving::new(2);
    let mut cursor = Value::Null;
    read_all(&*connector, &mut list, &mut cursor, 10_000);
    list.set("0000", "exportStatus", "exported", 11_000);
    list.set("0000", "status", "cancelled", 12_000);
    let seen = read_all(&*connector, &mut list, &mut cursor, 13_000);
    assert_eq!(seen.numbers("order.cancel_requested"), BTreeSet::from(["0000".to_owned()]));
    assert!(!seen.numbers("order.placed").contains("0000"));
    let mut ids: Vec<_> = seen
        .messages
        .iter()
        .filter(|message| message.kind == "order.cancel_requested")
        .map(|message| message.id.clone())
        .collect();
    // The same version has the same id at every poll; a later change back to the same content has another.
    list.set("0000", "status", "completed", 14_000);
    list.set("0000", "status", "cancelled", 15_000);
    let later = read_all(&*connector, &mut list, &mut cursor, 16_000);
    let changed =
        later.messages.iter().filter(|message| message.kind == "order.cancel_requested").map(|message| message.id.clone());
    ids.extend(changed);
    assert!(ids.iter().all(Option::is_some), "{ids:?}");
    let distinct: BTreeSet<_> = ids.iter().flatten().collect();
    assert_eq!(distinct.len(), 2, "{ids:?}");
}

#[test]
fn many_orders_of_one_instant_are_all_read() {
    let connector = built(STOREFRONT);
    let mut list = Moving::new(0);
    for n in 0..37 {
        list.put(n, 5_000);
    }
    let seen = read_all(&*connector, &mut list, &mut Value::Null, 10_000);
    assert_eq!(seen.numbers("order.placed").len(), 37);
}

#[test]
fn the_page_shrinks_until_the_platform_can_answer_it() {
    let connector = built(STOREFRONT);
    let mut list = Moving::new(9);
    list.limit = 2;
    let seen = read_all(&*connector, &mut list, &mut Value::Null, 10_000);
    assert_eq!(seen.numbers("order.placed").len(), 9);
}

#[test]
fn the_sweep_finds_what_the_watermark_has_passed() {
    let connector = built(STOREFRONT);
    let mut list = Moving::new(0);
    let mut cursor = Value::Null;
    let now = 1_000_000_000;
    list.put(1, now);
    read_all(&*connector, &mut list, &mut cursor, now);
    // Became visible with a time that lies behind the watermark and its overlap: nothing ascending will meet it.
    list.put(7, 10);
    assert!(!read_all(&*connector, &mut list, &mut cursor, now + 1_000).numbers("order.placed").contains("0007"));
    let seen = read_all(&*connector, &mut list, &mut cursor, now + 301_000);
    assert!(seen.numbers("order.placed").contains("0007"));
}

#[test]
fn after_a_restore_orders_that_were_exported_meanwhile_are_taken_once_more() {
    let connector = built(&STOREFRONT.replace("settings: {", "settings: {recover: '2026-11-24T10:00:00Z', "));
    let mut cursor = Value::Null;
    let mut kinds = Vec::new();
    for _ in 0..40 {
        let Some(NextPoll::Send(request)) = connector.poll(&cursor, &[], Timestamp(0)) else { panic!("sends") };
        let recovers = request.target.contains("exportStatus=exported");
        assert!(!recovers || request.target.contains("lastModifiedDateFrom=2026-11-24T10"), "{}", request.target);
        let row =
            r#"{"orderNo":"1","siteId":"S","lastModified":"2026-11-24T10:00:01Z","status":"new","exportStatus":"exported"}"#;
        let page = if recovers { format!(r#"{{"data":[{row}]}}"#) } else { r#"{"data":[]}"#.to_owned() };
        let exchange = Exchange { request, answer: Ok(Response::new(200, page.into_bytes())) };
        let Some(NextPoll::Page { messages, cursor: next, .. }) = connector.poll(&cursor, &[exchange], Timestamp(0)) else {
            panic!("a page")
        };
        kinds.extend(messages.into_iter().map(|message| message.kind));
        cursor = next;
    }
    assert!(!kinds.is_empty() && kinds.iter().all(|kind| kind == "order.placed"), "{kinds:?}");
    let none = built(STOREFRONT);
    let Some(NextPoll::Send(request)) = none.poll(&Value::Null, &[], Timestamp(0)) else { panic!("sends") };
    assert!(!request.target.contains("exported"), "{}", request.target);
}

#[test]
fn a_poll_that_fails_says_how_to_go_on() {
    let connector = built(STOREFRONT);
    let ends = |answer: Result<Response, TransportError>| {
        let Some(NextPoll::Send(request)) = connector.poll(&Value::Null, &[], Timestamp(0)) else { panic!("sends") };
        match connector.poll(&Value::Null, &[Exchange { request, answer }], Timestamp(0)) {
            Some(NextPoll::Failed(outcome)) => (outcome.class, outcome.code, outcome.retry_after_ms),
            other => panic!("{other:?}"),
        }
    };
    let mut throttled = Response::new(429, []);
    throttled.headers.push(("retry-after".into(), "3".into()));
    assert_eq!(ends(Ok(throttled)), (OutcomeClass::Retry, "http_429".into(), Some(3_000)));
    assert_eq!(ends(Ok(Response::new(401, []))).1, "token_expired");
    assert_eq!(ends(Ok(Response::new(403, []))).0, OutcomeClass::Misconfigured);
    assert_eq!(ends(Ok(respond(200, &value!({"hits": []})))).1, "malformed_page");
    assert_eq!(ends(Err(TransportError::Broken("reset".into()))).0, OutcomeClass::Retry);
}

#[test]
fn an_order_without_a_usable_name_is_told_of_and_does_not_hold_up_its_page() {
    let connector = built(STOREFRONT);
    for unnamed in [
        r#""orderNo":null"#,
        r#""orderNo":7"#,
        r#""orderNo":"""#,
        r#""orderNo":"a/b""#,
        r#""other":1"#,
        r#""orderNo":"1","siteId":"a\nb""#,
    ] {
        let Some(NextPoll::Send(request)) = connector.poll(&Value::Null, &[], Timestamp(0)) else { panic!("sends") };
        let page = format!(r#"{{"data":[{{{unnamed},"status":"new","exportStatus":"ready"}},{{"orderNo":"2"}}]}}"#);
        let exchange = Exchange { request, answer: Ok(Response::new(200, page.into_bytes())) };
        let Some(NextPoll::Page { messages, .. }) = connector.poll(&Value::Null, &[exchange], Timestamp(0)) else {
            panic!("a page: {unnamed}")
        };
        let (first, second) = (&messages[0], &messages[1]);
        assert!(first.id.is_some() && matches!(first.about, About::Theirs { .. }), "{unnamed}: {first:?}");
        assert!(matches!(&second.about, About::Order(order) if order.number.as_str() == "2"), "{unnamed}: {second:?}");
    }
}

#[test]
fn one_order_that_cannot_be_parsed_does_not_hold_up_its_page() {
    let connector = built(STOREFRONT);
    let Some(NextPoll::Send(request)) = connector.poll(&Value::Null, &[], Timestamp(0)) else { panic!("sends") };
    let page = br#"{"data":[{"orderNo":"1","lastModified":"2026-11-24T10:00:00Z","status":"new","exportStatus":"ready","orderTotal":1e99},
        {"orderNo":"2","lastModified":"2026-11-24T10:00:01Z","status":"new","exportStatus":"ready"}]}"#;
    let exchange = Exchange { request, answer: Ok(Response::new(200, *page)) };
    let Some(NextPoll::Page { messages, .. }) = connector.poll(&Value::Null, &[exchange], Timestamp(0)) else { panic!("a page") };
    assert_eq!(messages.len(), 2);
    let unreadable = connector.translate("order.placed", &messages[0].body).expect_err("28 digits at most").to_string();
    assert!(unreadable.contains("orderTotal"), "{unreadable}");
}
