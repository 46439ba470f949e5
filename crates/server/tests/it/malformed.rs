//! Bodies nobody should send: each is answered with a problem of the catalogue, none reaches the hub, none panics.

use crate::{
    story,
    world::{World, request},
};
use axum::{body::Body, http::Method};
use crossdock_server::auth::roles::Role;

const ORDERS: &str = "/experience/v1/orders";

/// An order envelope around `order`.
fn envelope(order: &str) -> Vec<u8> {
    format!(r#"{{"channel":"sfcc","site":"DE","number":"1","source":"storefront","order":{order}}}"#).into_bytes()
}

fn canonical(change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
    let mut order = story::order_document("DE", &story::words("1"));
    change(&mut order);
    format!(r#"{{"channel":"sfcc","site":"DE","order":{order}}}"#).into_bytes()
}

fn nested(open: &str, close: &str, depth: usize) -> String {
    format!("{}1{}", open.repeat(depth), close.repeat(depth))
}

#[tokio::test]
async fn forty_malformed_bodies_are_told_apart_and_none_is_accepted() {
    let world = World::new();
    let key = world.key(Role::Machine);
    let many = format!("[{}1]", "1,".repeat(300_000));
    let huge = format!("\"{}\"", "x".repeat(5 << 20));
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"".to_vec(), "malformed_json"),
        (b" ".to_vec(), "malformed_json"),
        (b"null".to_vec(), "invalid_request"),
        (b"[]".to_vec(), "invalid_request"),
        (b"1".to_vec(), "invalid_request"),
        (b"\"text\"".to_vec(), "invalid_request"),
        (b"{".to_vec(), "malformed_json"),
        (b"{}".to_vec(), "invalid_request"),
        (b"{}{}".to_vec(), "malformed_json"),
        (b"{} x".to_vec(), "malformed_json"),
        (b"{\"channel\":}".to_vec(), "malformed_json"),
        (b"{'channel':1}".to_vec(), "malformed_json"),
        (b"{channel:1}".to_vec(), "malformed_json"),
        (b"// comment\n{}".to_vec(), "malformed_json"),
        (b"\xef\xbb\xbf{}".to_vec(), "malformed_json"),
        (b"{\"a\":\"\xff\xfe\"}".to_vec(), "invalid_utf8"),
        (b"{\"a\":\"\xc0\xaf\"}".to_vec(), "invalid_utf8"),
        (b"{\"a\":\"\xed\xa0\x80\"}".to_vec(), "invalid_utf8"),
        (b"{\"a\":\"\\ud800\"}".to_vec(), "malformed_json"),
        (b"{\"a\":\"\\x41\"}".to_vec(), "malformed_json"),
        (b"{\"a\":\"tab\there\"}".to_vec(), "malformed_json"),
        (b"{\"a\":\"no end".to_vec(), "malformed_json"),
        (b"{\"a\":\0}".to_vec(), "malformed_json"),
        (envelope("NaN"), "malformed_json"),
        (envelope("Infinity"), "malformed_json"),
        (envelope("-Infinity"), "malformed_json"),
        (envelope("{\"total\":01}"), "malformed_json"),
        (envelope("{\"total\":1.}"), "malformed_json"),
        (envelope("{\"total\":.5}"), "malformed_json"),
        (envelope("{\"total\":+1}"), "malformed_json"),
        (envelope("{\"total\":0x10}"), "malformed_json"),
        (envelope("{\"total\":1e400}"), "number_out_of_range"),
        (envelope("{\"total\":0.12345678901234567890123456789}"), "number_out_of_range"),
        (envelope("{\"a\":1,\"a\":2}"), "duplicate_key"),
        (envelope("{\"a\":{\"b\":1,\"b\":1}}"), "duplicate_key"),
        (envelope("{\"a\":1,\"\\u0061\":2}"), "duplicate_key"),
        (envelope("{\"a\":[1,]}"), "malformed_json"),
        (envelope(&nested("[", "]", 100)), "too_deep"),
        (envelope(&nested("{\"a\":", "}", 100)), "too_deep"),
        (envelope(&nested("[", "]", 200_000)), "too_deep"),
        (envelope(&many), "too_many_values"),
        (envelope(&huge), "payload_too_large"),
        (br#"{"channel":"sfcc","site":"DE","order":{},"tenant_id":1}"#.to_vec(), "invalid_request"),
        (br#"{"channel":"sfcc","site":"DE","order":{},"status":"closed"}"#.to_vec(), "invalid_request"),
        (br#"{"channel":"sfcc","site":"DE","order":{},"epoch":3}"#.to_vec(), "invalid_request"),
        (br#"{"channel":"sfcc","site":"DE","source":"storefront","order":{}}"#.to_vec(), "invalid_request"),
        (br#"{"channel":"a/b","site":"DE","number":"1","source":"storefront","order":{}}"#.to_vec(), "invalid_parameter"),
        (br#"{"channel":"sfcc","site":"DE","number":"1/2","source":"storefront","order":{}}"#.to_vec(), "invalid_parameter"),
        (br#"{"channel":7,"site":"DE","number":"1","source":"storefront","order":{}}"#.to_vec(), "invalid_request"),
        (canonical(|order| order["lines"] = 3.into()), "invalid_request"),
        (canonical(|order| order["number"] = serde_json::Value::Null), "invalid_request"),
        (canonical(|order| order["site"] = "US".into()), "invalid_request"),
        (canonical(|order| order["totals"]["grand"]["amount"] = "ten".into()), "invalid_request"),
        (canonical(|order| order["totals"]["grand"]["currency"] = "Euro".into()), "invalid_request"),
        (canonical(|order| order["loyalty"] = "gold".into()), "invalid_request"),
        (canonical(|order| order["lines"][0]["colour"] = "red".into()), "invalid_request"),
    ];
    assert!(cases.len() >= 40);
    for (body, code) in cases {
        let shown: String = String::from_utf8_lossy(&body).chars().take(80).collect();
        let reply = world.post(key, ORDERS, body).await;
        assert_eq!(reply.problem(), code, "{shown}: {}", reply.text());
        assert!(reply.body.len() < 2_000, "{shown}: an answer does not echo the body");
    }
    assert!(world.hub.orders.lock().expect("free").is_empty());
}

#[tokio::test]
async fn a_lost_field_is_named_with_its_place() {
    let world = World::new();
    let reply = world.post(world.key(Role::Machine), ORDERS, canonical(|order| order["lines"][0]["colour"] = "red".into())).await;
    assert_eq!(reply.json()["at"], "order.lines[0].colour");
    let reply = world.post(world.key(Role::Machine), ORDERS, envelope("{\"a\":[{\"b\":1e400}]}")).await;
    assert_eq!(reply.json()["at"], "order.a[0].b");
}

#[tokio::test]
async fn what_is_not_json_is_not_read_as_json() {
    let world = World::new();
    for kind in ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp"] {
        let builder =
            request(Method::POST, ORDERS, world.key(Role::Machine)).header("idempotency-key", "k").header("content-type", kind);
        let reply = world.send(builder.body(Body::from("{}")).expect("a request")).await;
        assert_eq!(reply.problem(), "unsupported_media_type", "{kind}");
    }
    let builder = request(Method::POST, ORDERS, world.key(Role::Machine)).header("idempotency-key", "k");
    let reply = world
        .send(
            builder.header("content-type", "application/vnd.shop+json; charset=utf-8").body(Body::from("{}")).expect("a request"),
        )
        .await;
    assert_eq!(reply.problem(), "invalid_request");
}

#[tokio::test]
async fn malformed_parameters_paths_and_keys_are_problems_too() {
    let world = World::new();
    let key = world.key(Role::Viewer);
    for (path, code) in [
        ("/process/v1/processes?limit=0", "invalid_parameter"),
        ("/process/v1/processes?limit=201", "invalid_parameter"),
        ("/process/v1/processes?limit=x", "invalid_parameter"),
        ("/process/v1/processes?limit=1&limit=2", "invalid_parameter"),
        ("/process/v1/processes?tenant=1", "invalid_parameter"),
        ("/process/v1/processes?exceptional=maybe", "invalid_parameter"),
        ("/process/v1/processes?before=-1", "invalid_parameter"),
        ("/process/v1/processes/nothing", "process_not_found"),
        ("/process/v1/processes/:", "process_not_found"),
        ("/process/v1/processes/order:%00", "process_not_found"),
        ("/process/v1/processes/order:%FF", "invalid_parameter"),
        ("/experience/v1/orders/1", "invalid_parameter"),
        ("/experience/v1/orders/1?channel=a", "invalid_parameter"),
        ("/experience/v1/orders/a%2Fb?channel=a&site=b", "invalid_parameter"),
        ("/experience/v1/orders/1?channel=a&site=b", "order_not_found"),
        ("/events/v1/stream?since=yesterday", "invalid_parameter"),
        ("/nothing/here", "not_found"),
        ("/experience/v2/orders", "not_found"),
        ("/problems/no_such_code", "not_found"),
    ] {
        assert_eq!(world.get(key, path).await.problem(), code, "{path}");
    }
    assert_eq!(world.get(key, "/process/v1/processes?before=18446744073709551615").await.status, 200);
    for path in ["/experience/v1/orders", "/inbound/v1/erp"] {
        let reply = world.get(key, path).await;
        assert_eq!(reply.problem(), "method_not_allowed", "{path}");
        assert_eq!(reply.header("allow"), "POST", "{path}");
    }
    let long = "k".repeat(129);
    for key in ["", " ", "a b", "\u{fc}", &long] {
        let mut builder = request(Method::POST, ORDERS, world.key(Role::Machine)).header("content-type", "application/json");
        builder = builder.header("idempotency-key", axum::http::HeaderValue::from_bytes(key.as_bytes()).expect("bytes"));
        let reply = world.send(builder.body(Body::from("{}")).expect("a request")).await;
        assert_eq!(reply.problem(), "idempotency_key_missing", "{key:?}");
    }
    let twice =
        request(Method::POST, ORDERS, world.key(Role::Machine)).header("idempotency-key", "a").header("idempotency-key", "b");
    assert_eq!(world.send(twice.body(Body::empty()).expect("a request")).await.problem(), "idempotency_key_missing");
}
