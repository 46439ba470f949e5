//! What the APIs answer when they are used as meant, and how they pass on what the hub says.

use crate::{
    story,
    world::{World, request},
};
use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use crossdock_engine::face::HubError;
use crossdock_flows::Answer;
use crossdock_server::auth::roles::Role;
use crossdock_store::{ReadStore, StoreError};
use http_body_util::BodyExt;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;

const PROCESS: &str = "/process/v1/processes/order:sfcc%2FDE%2F0001";

fn canonical(number: &str) -> String {
    let order = story::order_document("DE", &story::words(number));
    format!(r#"{{"channel":"sfcc","site":"DE","order":{order}}}"#)
}

#[tokio::test]
async fn an_order_is_accepted_once_and_its_key_is_handed_on() {
    let world = World::new();
    let key = world.key(Role::Machine);
    let first = world.post(key, "/experience/v1/orders", canonical("0001")).await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{}", first.text());
    let body = first.json();
    assert_eq!(body["order"], "sfcc/DE/0001");
    assert_eq!(body["process"], "order:sfcc/DE/0001");
    assert_eq!(body["new"], true);
    assert_eq!(first.header("location"), "/experience/v1/orders/0001?channel=sfcc&site=DE");

    let again = world.post(key, "/experience/v1/orders", canonical("0001")).await;
    assert_eq!((again.status, again.json()["new"].clone()), (StatusCode::OK, false.into()));

    let orders = world.hub.orders.lock().expect("free");
    assert_eq!(orders[0].idempotency_key.as_deref(), Some("k-1"));
    assert_eq!((&*orders[0].actor, orders[0].source.as_str()), ("key:machine", "hub"));
    let sent = crossdock_value::parse_str(std::str::from_utf8(&orders[0].body).expect("UTF-8")).expect("JSON");
    assert_eq!(sent.at("totals.grand.amount").as_str(), Some("332.75"));
}

#[tokio::test]
async fn an_order_in_the_words_of_a_channel_goes_to_its_connector_untouched() {
    let world = World::new();
    let body = r#"{"channel":"sfcc","site":"DE","number":"0002","source":"storefront","order":{"order_no":"0002","total":12.50,"c_gift":true}}"#;
    let reply = world.post(world.key(Role::Machine), "/experience/v1/orders", body).await;
    assert_eq!(reply.status, StatusCode::ACCEPTED, "{}", reply.text());
    let orders = world.hub.orders.lock().expect("free");
    assert_eq!(orders[0].source.as_str(), "storefront");
    assert_eq!(&*orders[0].body, br#"{"order_no":"0002","total":12.50,"c_gift":true}"#, "numbers keep their scale");
}

#[tokio::test]
async fn an_order_for_a_site_outside_the_key_is_refused() {
    let world = World::new();
    let mut principals = crossdock_server::Principals::default();
    let only = crossdock_server::auth::roles::Sites::Only(["sfcc/DE".to_owned()].into());
    let (key, row) = crossdock_server::auth::keys::make("shop", Role::Machine, only, crossdock_server::random::system);
    principals.keys.push(row);
    let auth = crossdock_server::Auth::new(principals, false, crossdock_server::random::system).expect("sound");
    let world = world.with(|app| app.auth = std::sync::Arc::new(auth));
    let body = r#"{"channel":"sfcc","site":"US","number":"1","source":"storefront","order":{}}"#;
    assert_eq!(world.post(&key, "/experience/v1/orders", body).await.problem(), "forbidden_site");
    assert!(world.hub.orders.lock().expect("free").is_empty());
}

#[tokio::test]
async fn a_full_or_stopping_hub_says_when_to_come_back() {
    let world = World::new();
    let key = world.key(Role::Machine);
    for (error, code) in [
        (HubError::Overloaded("inbox".into()), "overloaded"),
        (HubError::Stopping, "stopping"),
        (HubError::Store(StoreError::Busy(5_000)), "overloaded"),
        (HubError::Store(StoreError::Unavailable("disk".into())), "unavailable"),
        (HubError::Store(StoreError::Unknown("reply lost".into())), "outcome_unknown"),
    ] {
        *world.hub.fails.lock().expect("free") = Some(error);
        let reply = world.post(key, "/experience/v1/orders", canonical("0001")).await;
        assert_eq!(reply.problem(), code);
        assert!(reply.header("retry-after").parse::<u64>().is_ok(), "{code}");
    }
    *world.hub.unready.lock().expect("free") = Some("50,000 messages wait".into());
    assert_eq!(world.get("", "/readyz").await.problem(), "overloaded");
    assert_eq!(world.post(key, "/experience/v1/orders", canonical("0003")).await.problem(), "overloaded");
    assert_eq!(world.get("", "/healthz").await.status, StatusCode::OK, "a full hub is alive");
    *world.hub.fails.lock().expect("free") = Some(HubError::Store(StoreError::Damaged("page 7 of the vault".into())));
    *world.hub.unready.lock().expect("free") = None;
    let reply = world.post(key, "/experience/v1/orders", canonical("0004")).await;
    assert_eq!(reply.problem(), "internal");
    assert!(!reply.text().contains("vault"), "a cause is for the log, not for the caller");
}

#[tokio::test]
async fn an_order_is_read_without_personal_data() {
    let world = World::new();
    story::silent_warehouse(&world.store, "DE", &story::words("0001")).await;
    let key = world.key(Role::Viewer);
    let status = world.get(key, "/experience/v1/orders/0001?channel=sfcc&site=DE").await;
    let body = status.json();
    assert_eq!((body["status"].as_str(), body["stage"].as_str()), (Some("open"), Some("booked")));
    assert_eq!(body["total"]["amount"], "332.75");
    assert_eq!(body["open_exceptions"], 1);
    assert_eq!(body["identities"][0]["theirs"], "SO-0001");
    for path in ["", "/events", "/effects"] {
        let text = world.get(key, &format!("{PROCESS}{path}")).await.text();
        assert!(!text.contains("Hanna") && !text.contains("hanna@"), "{path}");
    }
}

#[tokio::test]
async fn a_process_is_found_by_number_and_by_what_a_system_calls_it() {
    let world = World::new();
    for number in ["0001", "0002", "0010"] {
        story::silent_warehouse(&world.store, "DE", &story::words(number)).await;
    }
    let key = world.key(Role::Viewer);
    let numbers = |text: &serde_json::Value| -> Vec<String> {
        text["items"]
            .as_array()
            .expect("items")
            .iter()
            .map(|item| item["number"].as_str().expect("a number").to_owned())
            .collect()
    };
    let found = world.get(key, "/process/v1/processes?kind=order&q=000").await.json();
    assert_eq!(numbers(&found), ["0002", "0001"]);
    let found = world.get(key, "/process/v1/processes?kind=order&q=SO-0010").await.json();
    assert_eq!(numbers(&found), ["0010"]);
    let page = world.get(key, "/process/v1/processes?kind=order&limit=2").await.json();
    assert_eq!(numbers(&page), ["0010", "0002"]);
    let next = page["next"].as_u64().expect("another page");
    let last = world.get(key, &format!("/process/v1/processes?kind=order&limit=2&before={next}")).await.json();
    assert_eq!((numbers(&last), last["next"].is_null()), (vec!["0001".to_owned()], true));

    let whole = world.get(key, PROCESS).await.json();
    assert_eq!(whole["id"], "order:sfcc/DE/0001");
    assert_eq!(whole["state"]["state"], "placed");
    let effects = world.get(key, &format!("{PROCESS}/effects")).await.json();
    assert_eq!(effects["items"][1]["state"], "parked");
    let events = world.get(key, &format!("{PROCESS}/events")).await.json();
    assert_eq!(events["items"][0]["record"]["events"][0]["name"], "order.accepted");
    let exceptions = world.get(key, "/process/v1/exceptions?class=silent").await.json();
    assert_eq!(exceptions["items"].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn a_command_reaches_the_hub_with_actor_key_and_version() {
    let world = World::new();
    story::silent_warehouse(&world.store, "DE", &story::words("0001")).await;
    let key = world.key(Role::Operator);
    let body = r#"{"command":"skip","body":{"step":"release-shipment","intent":"ship-1","reason":"by hand"},"seen_version":4}"#;
    let reply = world.post(key, &format!("{PROCESS}/commands"), body).await;
    assert_eq!(reply.status, StatusCode::ACCEPTED, "{}", reply.text());
    {
        let commands = world.hub.commands.lock().expect("free");
        let command = &commands[0];
        assert_eq!((&*command.name, &*command.actor, &*command.idempotency_key), ("skip", "key:operator", "k-1"));
        assert_eq!((command.seen_version, command.body.at("reason").as_str()), (Some(4), Some("by hand")));
    }
    *world.hub.refuses.lock().expect("free") =
        Some(Answer::Refused { code: "too_late".into(), text: "the wave has begun".into() });
    let refused = world.post(key, &format!("{PROCESS}/commands"), r#"{"command":"cancel"}"#).await;
    assert_eq!(refused.problem(), "command_refused");
    assert_eq!(
        (refused.json()["at"].as_str(), refused.json()["detail"].as_str()),
        (Some("too_late"), Some("the wave has begun"))
    );
    *world.hub.fails.lock().expect("free") = Some(HubError::Conflict { seen: 4, found: 5 });
    assert_eq!(world.post(key, &format!("{PROCESS}/commands"), r#"{"command":"hold"}"#).await.problem(), "version_conflict");

    for body in
        [r#"{"command":"Hold"}"#, r#"{"command":""}"#, r#"{"command":"hold","body":[]}"#, r#"{"command":"hold","role":"admin"}"#]
    {
        assert_eq!(world.post(key, &format!("{PROCESS}/commands"), body).await.problem(), "invalid_request", "{body}");
    }
}

#[tokio::test]
async fn a_cancellation_by_line_becomes_a_command() {
    let world = World::new();
    story::silent_warehouse(&world.store, "DE", &story::words("0001")).await;
    let path = "/experience/v1/orders/0001/cancellations";
    let body = r#"{"channel":"sfcc","site":"DE","lines":[{"line":"1","quantity":{"value":"1","unit":"EA"}}],"reason":"changed her mind"}"#;
    let reply = world.post(world.key(Role::Machine), path, body).await;
    assert_eq!(reply.status, StatusCode::ACCEPTED, "{}", reply.text());
    {
        let commands = world.hub.commands.lock().expect("free");
        assert_eq!(commands[0].body.at("lines.0.quantity.value").as_str(), Some("1"));
    }
    let without = r#"{"channel":"sfcc","site":"DE","reason":" "}"#;
    assert_eq!(world.post(world.key(Role::Machine), path, without).await.problem(), "invalid_request");
    let unknown = "/experience/v1/orders/9999/cancellations";
    assert_eq!(world.post(world.key(Role::Machine), unknown, body).await.problem(), "order_not_found");
}

#[tokio::test]
async fn a_webhook_is_handed_over_byte_for_byte_and_only_when_verified() {
    let world = World::new();
    let body = b"{ \"a\" :1.10,\r\n \"a\":2 }\xff".to_vec();
    let sent = |signature: &str, system: &str| {
        let builder = request(Method::POST, &format!("/inbound/v1/{system}?x=1"), "").header("X-Signature", signature);
        builder.body(Body::from(body.clone())).expect("a request")
    };
    let reply = world.send(sent("right", "payments")).await;
    assert_eq!(reply.status, StatusCode::ACCEPTED);
    assert_eq!((reply.json()["stored"].clone(), reply.json()["duplicates"].clone()), (1.into(), 1.into()));
    {
        let webhooks = world.hub.webhooks.lock().expect("free");
        let (system, request) = &webhooks[0];
        assert_eq!((system.as_str(), request.target.as_str()), ("payments", "/inbound/v1/payments?x=1"));
        assert_eq!(&*request.body, body.as_slice());
    }
    assert_eq!(world.send(sent("wrong", "payments")).await.problem(), "webhook_unverified");
    assert_eq!(world.send(sent("right", "nobody")).await.problem(), "system_not_found");
    let large =
        request(Method::POST, "/inbound/v1/payments", "").header("x-signature", "right").body(Body::from(vec![0; (1 << 20) + 1]));
    assert_eq!(world.send(large.expect("a request")).await.problem(), "payload_too_large");
    assert_eq!(world.hub.webhooks.lock().expect("free").len(), 1);
}

#[tokio::test]
async fn the_audit_can_be_read_and_checked_and_a_person_erased() {
    let world = World::new();
    let admin = world.key(Role::Admin);
    story::silent_warehouse(&world.store, "DE", &story::words("0001")).await;
    let verdict = world.get(admin, "/admin/v1/audit/verify").await.json();
    assert_eq!(verdict["intact"], true);
    let erased = world.post(admin, "/admin/v1/erasures", r#"{"subject":"guest:sfcc/DE/0001"}"#).await;
    assert_eq!(erased.status, StatusCode::OK, "{}", erased.text());
    let rows = world.get(admin, "/admin/v1/audit?limit=1").await.json();
    assert_eq!(rows["items"][0]["actor"], "key:admin");
    for (subject, code) in [("guest:sfcc/DE/9999", "subject_not_found"), ("system:erp", "invalid_request")] {
        let reply = world.post(admin, "/admin/v1/erasures", format!(r#"{{"subject":"{subject}"}}"#)).await;
        assert_eq!(reply.problem(), code, "{subject}");
    }
    let page = world.get(world.key(Role::Viewer), "/orders/sfcc/DE/0001").await;
    assert_eq!(page.status, StatusCode::OK, "an erased order still has its page");
    assert!(page.text().contains("Customer not readable"));
}

#[tokio::test]
async fn events_are_cloud_events_and_a_reader_resumes_where_it_was() {
    let world = World::new();
    let key = world.key(Role::Machine);
    story::silent_warehouse(&world.store, "DE", &story::words("0001")).await;
    let mut stream = Stream::open(&world, key, "/events/v1/stream?since=start", "").await;
    let text = stream.until("id: ").await;
    let data: Vec<serde_json::Value> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).expect("JSON"))
        .collect();
    assert_eq!(
        data.iter().map(|event| event["type"].as_str().expect("a type")).collect::<Vec<_>>(),
        ["order.accepted", "order.booked"]
    );
    assert_eq!((data[0]["specversion"].as_str(), data[0]["subject"].as_str()), (Some("1.0"), Some("sfcc/DE/0001")));
    let id = text.lines().rev().find_map(|line| line.strip_prefix("id: ")).expect("an id").to_owned();

    story::silent_warehouse(&world.store, "US", &story::words("0007")).await;
    let mut resumed = Stream::open(&world, key, "/events/v1/stream?types=order.booked", &id).await;
    let text = resumed.until("id: ").await;
    assert!(text.contains("sfcc/US/0007") && !text.contains("0001") && !text.contains("order.accepted"), "{text}");

    // A scoped reader hears of his sites only.
    let mut scoped = Stream::open(&world, &world.scoped, "/events/v1/stream?since=start", "").await;
    let text = scoped.until("id: ").await;
    assert!(text.contains("sfcc/DE/0001") && !text.contains("sfcc/US"), "{text}");

    let wrong = request(Method::GET, "/events/v1/stream", key)
        .header("last-event-id", "no cursor")
        .body(Body::empty())
        .expect("a request");
    assert_eq!(world.send(wrong).await.problem(), "invalid_parameter");
}

/// An open event stream.
pub struct Stream {
    body: Body,
    seen: String,
}

impl Stream {
    pub async fn open(world: &World, key: &str, path: &str, last: &str) -> Self {
        let mut builder = request(Method::GET, path, key);
        if !last.is_empty() {
            builder = builder.header("last-event-id", last);
        }
        let request = builder.body(Body::empty()).expect("a request");
        let response = TowerToHyperService::new(world.router.clone()).call(request).await.expect("the router does not fail");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body(), seen: String::new() }
    }

    /// Reads on until `mark` was seen.
    pub async fn until(&mut self, mark: &str) -> String {
        while !self.seen.contains(mark) {
            let frame = self.body.frame().await.expect("the stream goes on").expect("no error");
            if let Ok(data) = frame.into_data() {
                self.seen.push_str(std::str::from_utf8(&data).expect("UTF-8"));
            }
        }
        std::mem::take(&mut self.seen)
    }
}

#[tokio::test]
async fn metrics_and_systems_are_answered_as_the_hub_gives_them() {
    let world = World::new();
    world.hub.systems.lock().expect("free").push(crate::world::system("erp", "erp"));
    let key = world.key(Role::Machine);
    let metrics = world.get(key, "/metrics").await;
    assert!(metrics.text().contains("crossdock_orders_total 1"));
    world.hub.nodes.lock().expect("free").push(crate::world::node("one", true));
    let nodes = world.get(key, "/system/v1/nodes").await.json();
    assert_eq!((nodes["items"][0]["name"].as_str(), nodes["items"][0]["partitions"].as_u64()), (Some("one"), Some(256)));
    let systems = world.get(key, "/system/v1/systems").await.json();
    assert_eq!((systems["items"][0]["name"].as_str(), systems["items"][0]["p99_ms"].as_u64()), (Some("erp"), Some(1_900)));
    assert!(world.store.audit(10).await.expect("rows").is_empty(), "reading leaves no audit row");
}
