//! The platform's documented rules: tokens, lists, the state machine, what a write may touch.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::faults::{Faults, Rates};
use crate::json::{Json, object};
use crate::{Config, Request, Response, Station, World, time};

const ORDERS: &str = "/checkout/orders/v1/organizations/f_ecom_zzte_053/orders";
const START: i64 = 1_795_514_400_000;

struct Client {
    world: World,
    now: i64,
    token: String,
}

impl Client {
    fn new() -> Self {
        Client::with(Config::default())
    }

    fn with(config: Config) -> Self {
        let mut client = Client { world: World::new(1, config), now: START, token: String::new() };
        client.token = client.token("crossdockSecret1", "SALESFORCE_COMMERCE_API:zzte_053 sfcc.orders.rw").unwrap();
        client
    }

    fn token(&mut self, secret: &str, scope: &str) -> Result<String, (u16, String)> {
        let body = format!("grant_type=client_credentials&scope={}", scope.replace(' ', "+").replace(':', "%3A"));
        let basic = STANDARD.encode(format!("crossdock-client:{secret}"));
        let request = Request::new("POST", "/dwsso/oauth2/access_token", body).header("Authorization", format!("Basic {basic}"));
        let answer = self.send(&request);
        let json = Json::parse(&answer.body).unwrap();
        if answer.status == 200 {
            Ok(json.text("access_token").to_owned())
        } else {
            Err((answer.status, json.text("error").to_owned()))
        }
    }

    fn send(&mut self, request: &Request) -> Response {
        self.world.storefront.handle(request, self.now).response.unwrap()
    }

    fn call(&mut self, method: &str, path: &str, body: &str) -> (u16, Json) {
        let separator = if path.contains('?') { '&' } else { '?' };
        let request = Request::new(method, format!("{ORDERS}{path}{separator}siteId=RefArch-DE"), body);
        let answer = self.send(&request.header("authorization", format!("Bearer {}", self.token)));
        (answer.status, Json::parse(&answer.body).unwrap_or(Json::Null))
    }

    fn place(&mut self, number: &str, status: &str) {
        let order = object! {
            "orderNo": number, "siteId": "RefArch-DE", "status": status, "currency": "EUR",
            "customerInfo": object! { "guest": false },
            "productItems": vec![object! { "productId": "100101-S", "quantity": 2u64 }],
            "shipments": vec![object! { "shipmentId": "me" }],
            "paymentInstruments": vec![object! { "paymentInstrumentId": "p1" }],
        };
        self.world.place_order(order, self.now).unwrap();
    }

    fn listed(&mut self, query: &str) -> Vec<String> {
        let (status, list) = self.call("GET", query, "");
        assert_eq!(status, 200, "{query}: {}", list.render());
        list.list("data").iter().map(|o| o.text("orderNo").to_owned()).collect()
    }
}

#[test]
fn a_token_opens_its_tenant_with_its_scopes_for_its_lifetime() {
    let mut client = Client::new();
    client.place("1", "new");
    assert_eq!(client.token("wrong", "sfcc.orders").unwrap_err(), (401, "invalid_client".into()));
    assert_eq!(
        client.token("crossdockSecret1", "SALESFORCE_COMMERCE_API:zzte_001 sfcc.orders").unwrap_err(),
        (400, "invalid_scope".into())
    );
    for (scope, get, put) in [
        ("SALESFORCE_COMMERCE_API:zzte_053 sfcc.orders.rw", 200, 204),
        ("SALESFORCE_COMMERCE_API:zzte_053 sfcc.orders", 200, 403),
        ("SALESFORCE_COMMERCE_API:zzte_053", 403, 403),
        ("sfcc.orders.rw", 403, 403),
    ] {
        client.token = client.token("crossdockSecret1", scope).unwrap();
        assert_eq!(client.call("GET", "/1", "").0, get, "{scope}");
        assert_eq!(client.call("PUT", "/1/external-status", r#"{"status":"X"}"#).0, put, "{scope}");
    }
    client.token = client.token("crossdockSecret1", "SALESFORCE_COMMERCE_API:zzte_053 sfcc.orders").unwrap();
    client.now += 1_798_000;
    assert_eq!(client.call("GET", "/1", "").0, 200);
    client.now += 1_000;
    assert_eq!(client.call("GET", "/1", "").0, 401);
    let elsewhere = Request::new("GET", "/checkout/orders/v1/organizations/f_ecom_zzte_001/orders/1?siteId=RefArch-DE", "");
    client.token = client.token("crossdockSecret1", "SALESFORCE_COMMERCE_API:zzte_053 sfcc.orders").unwrap();
    let elsewhere = elsewhere.header("authorization", format!("Bearer {}", client.token));
    assert_eq!(client.send(&elsewhere).status, 403);
}

#[test]
fn a_revoked_token_fails_mid_run_and_a_new_one_works() {
    let mut client = Client::new();
    client.place("1", "new");
    let rates = Rates { unauthorized_rate: 1.0, ..Rates::default() };
    let faults = Faults { operations: [("order.get".to_owned(), rates)].into(), ..Faults::default() };
    client.world.set_faults("storefront", faults, START);
    assert_eq!(client.call("GET", "/1", "").0, 401);
    client.world.set_faults("storefront", Faults::default(), START);
    assert_eq!(client.call("GET", "/1", "").0, 401, "the token is gone for good");
    client.token = client.token("crossdockSecret1", "SALESFORCE_COMMERCE_API:zzte_053 sfcc.orders").unwrap();
    assert_eq!(client.call("GET", "/1", "").0, 200);
}

#[test]
fn the_site_is_required_and_must_exist() {
    let mut client = Client::new();
    let get = |site: &str| Request::new("GET", format!("{ORDERS}{site}"), "");
    for (query, status) in [("", 400), ("?siteId=", 400), ("?siteId=Elsewhere", 404), ("?siteId=RefArch-US", 200)] {
        let request = get(query).header("authorization", format!("Bearer {}", client.token));
        assert_eq!(client.send(&request).status, status, "{query}");
    }
    client.place("1", "new");
    let other = Request::new("GET", format!("{ORDERS}/1?siteId=RefArch-US"), "")
        .header("authorization", format!("Bearer {}", client.token));
    assert_eq!(client.send(&other).status, 404, "an order of another site is not found");
}

#[test]
fn lists_filter_sort_and_page_as_documented() {
    let mut client = Client::new();
    for i in 0..6 {
        client.now = START + i * 1_000;
        client.place(&i.to_string(), ["new", "new", "created", "failed", "completed", "cancelled"][i as usize]);
    }
    client.now = START + 10_000;
    client.call("PUT", "/0/export-status", r#"{"status":"exported"}"#);
    let at = |i: i64| time::rfc3339(START + i * 1_000);
    for (query, expected) in [
        ("".to_owned(), "5410"),
        ("?sortOrder=asc".into(), "0145"),
        ("?sortBy=last_modified_date".into(), "0541"),
        ("?status=new%2Ccompleted&sortOrder=asc".into(), "014"),
        ("?exportStatus=exported".into(), "0"),
        ("?exportStatus=ready,not_exported&sortOrder=asc".into(), "145"),
        ("?sortOrder=asc&limit=2".into(), "01"),
        ("?sortOrder=asc&limit=2&offset=2".into(), "45"),
        (format!("?creationDateFrom={}&creationDateTo={}&sortOrder=asc", at(1), at(5)), "14"),
        (format!("?sortBy=last_modified_date&sortOrder=asc&lastModifiedDateFrom={}", at(4)), "450"),
        (format!("?sortBy=last_modified_date&sortOrder=asc&creationDateTo={}", at(1)), "0"),
        (format!("?sortOrder=asc&lastModifiedDateFrom={}&lastModifiedDateTo={}", at(4), at(10)), "45"),
        ("?paymentStatus=paid".into(), ""),
    ] {
        assert_eq!(client.listed(&query).concat(), expected, "{query}");
    }
    for bad in [
        "?status=created",
        "?status=new,completed,cancelled",
        "?limit=0",
        "?limit=201",
        "?offset=9999&limit=2",
        "?sortBy=order_no",
        "?exportStatus=maybe",
        "?paymentStatus=not_paid,part_paid,paid",
        "?creationDateFrom=yesterday",
        "?limit=ten",
    ] {
        assert_eq!(client.call("GET", bad, "").0, 400, "{bad}");
    }
}

#[test]
fn the_order_status_moves_only_along_the_documented_edges() {
    for (from, to, status) in [
        ("created", "new", 204),
        ("created", "completed", 204),
        ("created", "cancelled", 204),
        ("created", "failed", 204),
        ("created", "failed_with_reopen", 201),
        ("new", "completed", 204),
        ("new", "cancelled", 204),
        ("completed", "cancelled", 204),
        ("cancelled", "new", 204),
        ("failed", "created", 204),
        ("new", "new", 204),
        ("new", "created", 400),
        ("new", "failed", 400),
        ("completed", "created", 400),
        ("cancelled", "failed", 400),
        ("failed", "new", 400),
        ("new", "open", 400),
    ] {
        let mut client = Client::new();
        client.place("1", from);
        let (answer, _) = client.call("PUT", "/1/status", &format!(r#"{{"status":"{to}"}}"#));
        assert_eq!(answer, status, "{from} -> {to}");
        let expected = if status == 400 { from } else { to.trim_end_matches("_with_reopen") };
        assert_eq!(client.call("GET", "/1", "").1.text("status"), expected);
    }
    let config = Config { storefront: super::Config { refuse_undo: true, ..super::Config::default() }, ..Config::default() };
    let mut client = Client::with(config);
    client.place("1", "failed");
    let (status, problem) = client.call("PUT", "/1/status", r#"{"status":"created"}"#);
    assert!(status == 409 && problem.text("type").ends_with("/undo-fail-order"));
}

#[test]
fn writes_touch_only_what_they_may_and_each_success_is_in_the_ledger() {
    let mut client = Client::new();
    client.place("1", "new");
    client.now += 5;
    for (method, path, body, status) in [
        ("PUT", "/1/payment-status", r#"{"status":"part_paid"}"#, 204),
        ("PUT", "/1/payment-status", r#"{"status":"PAID"}"#, 400),
        ("PUT", "/1/payment-status", r#"{"status":"paid","note":"x"}"#, 400),
        ("PUT", "/1/shipping-status", r#"{"status":"shipped"}"#, 204),
        ("PUT", "/1/confirmation-status", r#"{"status":"confirmed"}"#, 204),
        ("PUT", "/1/external-status", r#"{"status":""}"#, 400),
        ("PUT", "/1/export-status", "not json", 400),
        ("PUT", "/2/export-status", r#"{"status":"exported"}"#, 404),
        ("PATCH", "/1", r#"{"c_a":{"x":1.50},"c_b":"2"}"#, 204),
        ("PATCH", "/1", r#"{"c_b":null}"#, 204),
        ("PATCH", "/1", r#"{"c_a":1,"status":"new"}"#, 400),
        ("PATCH", "/1/payment-instruments/p1", r#"{"c_x":1}"#, 204),
        ("PATCH", "/1/payment-instruments/p1/transaction", r#"{"amount":1}"#, 400),
        ("PATCH", "/1/payment-instruments/p2", r#"{"c_x":1}"#, 404),
        ("PUT", "/1/shipments/me/shipping-address", r#"{"city":"Köln","countryCode":"DE"}"#, 204),
        ("PUT", "/1/shipments/me/shipping-address", r#"{"town":"Köln"}"#, 400),
        ("PUT", "/1/shipments/you/shipping-address", r#"{"city":"Köln"}"#, 404),
        (
            "POST",
            "/1/oms-status-events",
            r#"{"adjustment":{"id":"a","type":"refund","occurredAt":"2026-01-01T00:00:00Z","status":"pending"}}"#,
            202,
        ),
        ("POST", "/1/oms-status-events", "{}", 400),
        ("POST", "/1/status", r#"{"status":"new"}"#, 405),
        ("PUT", "/1/nothing", r#"{"status":"new"}"#, 404),
    ] {
        assert_eq!(client.call(method, path, body).0, status, "{method} {path} {body}");
    }
    let (_, order) = client.call("GET", "/1", "");
    assert_eq!(order.get("c_a").unwrap().render(), r#"{"x":1.50}"#, "attributes keep their digits");
    assert!(order.get("c_b").is_none() && order.text("paymentStatus") == "part_paid");
    assert_eq!(order.text("lastModified"), time::rfc3339(START + 5));
    let written = client.world.ledger("storefront").unwrap().rows().iter().filter(|r| !r.operation.starts_with("order.placed"));
    assert_eq!(written.filter(|r| r.at == START + 5).count(), 8);
}

#[test]
fn exporting_or_cancelling_lets_go_of_what_the_order_held_once() {
    let mut client = Client::new();
    for (path, body, held) in [
        ("/1/export-status", r#"{"status":"ready"}"#, "2"),
        ("/1/export-status", r#"{"status":"exported"}"#, "0"),
        ("/1/export-status", r#"{"status":"exported"}"#, "0"),
        ("/1/status", r#"{"status":"cancelled"}"#, "0"),
    ] {
        if client.world.storefront.service.order_count() == 0 {
            client.place("1", "new");
        }
        client.call("PUT", path, body);
        assert_eq!(client.world.storefront.service.on_order("100101-S").to_string(), held, "{path} {body}");
    }
}

#[test]
fn load_shedding_and_timeouts_look_like_the_platforms() {
    let mut client = Client::new();
    client.place("1", "new");
    let mut faulty = |change: fn(&mut Faults)| {
        let mut faults = Faults::default();
        change(&mut faults);
        client.world.set_faults("storefront", faults, START);
        let request = Request::new("PUT", format!("{ORDERS}/1/external-status?siteId=RefArch-DE"), r#"{"status":"A"}"#)
            .header("authorization", format!("Bearer {}", client.token))
            .header("correlation-id", "c-1");
        client.send(&request)
    };
    let throttled = faulty(|f| (f.rates.throttle_rate, f.rates.retry_after_s) = (1.0, 7));
    assert_eq!(
        (throttled.status, throttled.header("retry-after"), throttled.header("x-correlation-id")),
        (429, Some("7"), Some("c-1"))
    );
    let shed = faulty(|f| f.outages = vec![crate::Outage { after_ms: 0, for_ms: 10, ..Default::default() }]);
    assert_eq!((shed.status, shed.header("sfdc_load_status")), (503, Some("THROTTLE")));
    let late = faulty(|f| f.rates.apply_then_error_rate = 1.0);
    assert_eq!((late.status, late.header("content-type")), (504, Some("application/problem+json")));
    client.world.set_faults("storefront", Faults::default(), START);
    assert_eq!(client.call("GET", "/1", "").1.text("externalOrderStatus"), "A", "the 504 came after the write");
}
