//! The OpenAPI document and the routes say the same, both ways; what is committed is what the code makes.

use crate::world::{World, request, system};
use axum::{body::Body, http::Method};
use crossdock_server::{
    auth::roles::Role,
    openapi,
    problem::Code,
    route::{self, Access},
};
use std::collections::BTreeSet;

#[test]
fn the_committed_description_is_what_the_code_makes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == openapi::text(),
        "docs/openapi.json is not what the code makes: run `cargo run -p crossdock-server --example openapi -- docs/openapi.json`"
    );
}

#[tokio::test]
async fn every_described_operation_is_routed_and_every_api_route_is_described() {
    let world = World::new();
    let document = openapi::document();
    let mut described = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for method in operations.as_object().expect("operations").keys() {
            let method: Method = method.to_ascii_uppercase().parse().expect("a method");
            described.insert((path.clone(), method.to_string()));
            // Without a key a guarded route says 401, an open one something of its own; a missing one says 404 or 405.
            let sample = path.replace("{code}", "forbidden").replace(['{', '}'], "x");
            let reply = world.send(request(method.clone(), &sample, "").body(Body::empty()).expect("a request")).await;
            assert_ne!(reply.status, 405, "{method} {path}");
            assert!(reply.status != 404 || reply.json()["code"] != "not_found", "{method} {path}");
        }
    }
    let routed: BTreeSet<_> = route::table()
        .iter()
        .filter(|route| route.doc.is_some())
        .map(|route| (route.path.to_owned(), route.method.to_string()))
        .collect();
    assert_eq!(described, routed);
    let undescribed: Vec<_> = route::table().into_iter().filter(|route| route.doc.is_none()).map(|route| route.path).collect();
    let is_api = |path: &&str| path.contains("/v1/");
    assert!(!undescribed.iter().any(is_api), "{undescribed:?}");
}

#[test]
fn operations_have_distinct_ids_and_name_only_known_codes_and_roles() {
    let document = openapi::document();
    let mut ids = BTreeSet::new();
    for route in route::table() {
        let Some(doc) = &route.doc else { continue };
        assert!(ids.insert(doc.id), "{} is used twice", doc.id);
        assert!(doc.summary.ends_with('.'), "{}", doc.id);
        assert!(!doc.answers.is_empty(), "{}", doc.id);
        let operation = &document["paths"][route.path][route.method.as_str().to_ascii_lowercase()];
        let secured = operation["security"].as_array().is_some_and(|security| !security.is_empty());
        assert_eq!(secured, matches!(route.access, Access::To(_)), "{}", doc.id);
        assert_eq!(operation["x-body-max"].as_u64().unwrap_or(0), route.body_max as u64, "{}", doc.id);
    }
    let text = document.to_string();
    let references: BTreeSet<&str> =
        text.split("\"#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    for reference in references {
        assert!(document["components"]["schemas"].get(reference).is_some(), "{reference} is referred to and not there");
    }
    assert!(Code::ALL.len() > 30);
}

#[tokio::test]
async fn the_described_system_has_the_fields_that_are_sent() {
    let world = World::new();
    let mut erp = system("erp", "erp");
    erp.trouble_since = Some(world.app.hub.now());
    erp.oldest_waiting = Some(world.app.hub.now());
    world.hub.systems.lock().expect("free").push(erp);
    let sent = world.get(world.key(Role::Viewer), "/system/v1/systems").await.json();
    let sent: BTreeSet<_> = sent["items"][0].as_object().expect("a system").keys().cloned().collect();
    let document = openapi::document();
    let described = document["components"]["schemas"]["System"]["properties"].as_object().expect("properties");
    assert_eq!(sent, described.keys().cloned().collect());
}

#[tokio::test]
async fn the_catalogue_of_problems_is_served_whole() {
    let world = World::new();
    let all = world.get("", "/problems").await.json();
    assert_eq!(all["items"].as_array().map(Vec::len), Some(Code::ALL.len()));
    for code in Code::ALL {
        let one = world.get("", &format!("/problems/{}", code.as_str())).await.json();
        assert_eq!(one["title"], code.title());
    }
}
