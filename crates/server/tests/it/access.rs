//! Who gets where: every route, every role; sessions, forms, failed attempts.

use crate::{
    story,
    world::{PASSWORD, World, request},
};
use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use crossdock_server::{
    Auth, Principals,
    auth::{
        Peer,
        roles::{Action, Role, Sites},
    },
    random,
    route::{self, Access},
};
use crossdock_store::ReadStore;
use std::sync::Arc;

/// A path of a route with something in its parameters.
fn filled(path: &str) -> String {
    path.replace("{channel}", "sfcc")
        .replace("{site}", "DE")
        .replace("{number}", "0001")
        .replace("{id}", "order:sfcc%2FDE%2F0001")
        .replace("{system}", "erp")
        .replace("{command}", "hold")
        .replace("{version}", "x")
        .replace("{code}", "forbidden")
        .replace("{name}", "console.css")
}

#[tokio::test]
async fn every_route_lets_in_exactly_the_roles_of_its_action() {
    let world = World::new();
    story::silent_warehouse(&world.store, "DE", &story::words("0001")).await;
    let table = route::table();
    assert!(table.len() > 30, "the table has all routes");
    for route in &table {
        let path = filled(route.path);
        assert!(!path.contains('{'), "a parameter of {path} has no sample value: add one");
        let streams = ["/events/v1/stream", "/live"].contains(&route.path);
        for role in Role::ALL {
            if streams {
                continue;
            }
            let sent = request(route.method.clone(), &path, world.key(role)).body(Body::empty()).expect("a request");
            let status = world.send(sent).await.status;
            let allowed = match route.access {
                Access::To(action) => action.roles().contains(&role),
                Access::Public | Access::Verified => continue,
            };
            assert_eq!(status == StatusCode::FORBIDDEN, !allowed, "{} {path} as {}: {status}", route.method, role.as_str());
            assert_ne!(status, StatusCode::UNAUTHORIZED, "{} {path} as {}", route.method, role.as_str());
            assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR, "{} {path} as {}", route.method, role.as_str());
        }
        if let Access::To(_) = route.access {
            let reply = world.send(request(route.method.clone(), &path, "").body(Body::empty()).expect("a request")).await;
            let sent_away =
                route.doc.is_none() && route.method == Method::GET && reply.header("location").starts_with("/sign-in");
            assert!(
                reply.status == StatusCode::UNAUTHORIZED || sent_away,
                "{} {path} without a key: {}",
                route.method,
                reply.status
            );
        }
    }
}

#[test]
fn only_these_routes_are_open() {
    let open: Vec<String> = route::table()
        .iter()
        .filter(|route| !matches!(route.access, Access::To(_)))
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    let expected = [
        "POST /inbound/v1/{system}",
        "GET /healthz",
        "GET /readyz",
        "GET /openapi.json",
        "GET /problems",
        "GET /problems/{code}",
        "GET /assets/{version}/{name}",
        "GET /sign-in",
        "POST /sign-in",
    ];
    assert_eq!(open, expected);
    let state_changing: Vec<_> = route::table()
        .into_iter()
        .filter(|route| !route.method.is_safe() && matches!(route.access, Access::To(Action::ReadOrders | Action::ReadProcesses)))
        .map(|route| route.path)
        .collect();
    assert!(state_changing.is_empty(), "a reading action guards a writing route: {state_changing:?}");
}

#[tokio::test]
async fn nobody_sees_what_lies_outside_his_sites() {
    let world = World::new();
    let words = story::words("0001");
    story::silent_warehouse(&world.store, "DE", &words).await;
    story::silent_warehouse(&world.store, "US", &words).await;
    let key = world.scoped.as_str();
    for (path, inside) in [
        ("/experience/v1/orders/0001?channel=sfcc&site=DE", true),
        ("/experience/v1/orders/0001?channel=sfcc&site=US", false),
        ("/process/v1/processes/order:sfcc%2FDE%2F0001", true),
        ("/process/v1/processes/order:sfcc%2FUS%2F0001", false),
        ("/process/v1/processes/order:sfcc%2FUS%2F0001/events", false),
        ("/process/v1/processes/payment:sfcc%2FUS%2F0001/effects", false),
        ("/orders/sfcc/DE/0001", true),
        ("/orders/sfcc/US/0001", false),
        ("/processes/order:sfcc%2FUS%2F0001/commands/hold", false),
    ] {
        let reply = world.get(key, path).await;
        let expected = if inside { StatusCode::OK } else { StatusCode::NOT_FOUND };
        assert_eq!(reply.status, expected, "{path}");
    }
    for path in ["/process/v1/processes", "/process/v1/exceptions", "/orders", "/exceptions", "/"] {
        let text = world.get(key, path).await.text();
        assert!(!text.contains("sfcc/US") && !text.contains("sfcc%2FUS"), "{path}");
    }
    let reply = world.post(key, "/process/v1/processes/order:sfcc%2FUS%2F0001/commands", r#"{"command":"hold"}"#).await;
    assert_eq!(reply.problem(), "process_not_found");
    assert!(world.hub.commands.lock().expect("free").is_empty());
    // What no scope divides is closed to whoever has one.
    assert_eq!(world.get(key, "/break").await.problem(), "forbidden");
}

#[tokio::test]
async fn a_wrong_key_is_nobody_and_a_revoked_one_too() {
    let world = World::new();
    for key in ["cdk_00000000_000000000000000000000000", "x", "cdk__"] {
        assert_eq!(world.get(key, "/system/v1/systems").await.problem(), "unauthenticated", "{key}");
    }
    let basic = Request::builder().uri("/metrics").header("authorization", "Basic YTpi").body(Body::empty()).expect("a request");
    assert_eq!(world.send(basic).await.problem(), "unauthenticated");

    let admin = world.key(Role::Admin);
    let made = world.post(admin, "/admin/v1/keys", r#"{"name":"shop","role":"machine","sites":["sfcc/DE"]}"#).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    let key = made.json()["key"].as_str().expect("a key").to_owned();
    assert_eq!(world.get(&key, "/system/v1/systems").await.status, StatusCode::OK);
    assert!(!world.get(admin, "/admin/v1/keys").await.text().contains(&key), "the secret is shown once");
    let revoke = request(Method::DELETE, "/admin/v1/keys/shop", admin).body(Body::empty()).expect("a request");
    assert_eq!(world.send(revoke).await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.get(&key, "/system/v1/systems").await.problem(), "unauthenticated");
}

#[tokio::test]
async fn people_sign_in_with_their_password_and_nothing_else() {
    let world = World::new();
    let cookie = world.sign_in().await;
    assert!(cookie.starts_with("crossdock="));
    assert_eq!(world.page(&cookie, "/").await.status, StatusCode::OK);
    let audit = world.store.audit(10).await.expect("rows");
    assert!(audit.iter().any(|row| row.action.contains("signed in") && &*row.actor == "person:anna"));

    for form in ["name=anna&password=wrong", "name=ben&password=correct+horse+battery", "name=&password=", "token=x"] {
        let reply = world.form("", "/sign-in", form).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{form}");
        assert!(reply.headers.get("set-cookie").is_none(), "{form}");
    }
    // Unknown names and wrong passwords are told apart by nothing.
    let texts: Vec<String> = [("anna", "wrong"), ("ben", "wrong")].map(|(name, _)| name).map(String::from).to_vec();
    let mut answers = Vec::new();
    for name in texts {
        let text = world.form("", "/sign-in", &format!("name={name}&password=wrong")).await.text();
        answers.push(text.replace(&format!("value=\"{name}\""), ""));
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn cookies_over_https_are_bound_to_the_host() {
    let world = World::new();
    let auth = Auth::new(Principals::default(), true, random::system).expect("no principals");
    let token = auth.demo_token();
    let (cookie, actor) = auth.sign_in_to_demo(&token, Peer([127, 0, 0, 1].into()), world.app.hub.now()).expect("the token fits");
    assert_eq!(&*actor, "person:demo");
    assert!(cookie.starts_with("__Host-crossdock="), "{cookie}");
    for part in ["; Path=/", "; HttpOnly", "; SameSite=Strict", "; Secure"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
}

#[tokio::test]
async fn the_first_run_token_names_one_administrator_once() {
    let world = World::new();
    let auth = Arc::new(Auth::new(Principals::default(), false, random::system).expect("no principals"));
    let token = auth.first_run_token().expect("nobody can sign in yet");
    let fresh = world.with(|app| app.auth = auth.clone());

    let page = fresh.form("", "/sign-in", "token=guess&name=kim&password=long+enough+password").await;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);
    let short = fresh.form("", "/sign-in", &format!("token={token}&name=kim&password=short")).await;
    assert_eq!(short.status, StatusCode::UNAUTHORIZED);
    assert!(short.text().contains("12 to 256 characters"));
    let named = fresh.form("", "/sign-in", &format!("token={token}&name=kim&password=long+enough+password")).await;
    assert_eq!(named.status, StatusCode::SEE_OTHER, "{}", named.text());

    let again = fresh.form("", "/sign-in", &format!("token={token}&name=eve&password=long+enough+password")).await;
    assert_eq!(again.status, StatusCode::UNAUTHORIZED);
    assert!(auth.first_run_token().is_none());
    assert!(!auth.awaits_first_run());

    // Another start of the hub knows kim from the store.
    let restarted = Auth::new(Principals::default(), false, random::system).expect("no principals");
    assert!(restarted.first_run_token().is_some());
    restarted.load(&*fresh.store).await.expect("readable");
    assert!(restarted.first_run_token().is_none());
    let signed = restarted.sign_in("kim", "long enough password".into(), Peer([127, 0, 0, 1].into()), fresh.app.hub.now()).await;
    assert!(signed.is_ok());
}

#[tokio::test]
async fn guessing_is_slowed_and_the_right_password_is_not() {
    let world = World::new();
    for _ in 0..5 {
        assert_eq!(world.form("", "/sign-in", "name=anna&password=guess").await.status, StatusCode::UNAUTHORIZED);
    }
    let reply = world.form("", "/sign-in", &format!("name=anna&password={}", PASSWORD.replace(' ', "+"))).await;
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(reply.header("retry-after"), "300");
    world.hub.advance(300_000);
    world.sign_in().await;
    // Keys: only wrong ones are counted.
    for _ in 0..60 {
        world.get("cdk_00000000_000000000000000000000000", "/metrics").await;
    }
    assert_eq!(world.get("cdk_00000000_000000000000000000000000", "/metrics").await.problem(), "too_many_attempts");
    assert_eq!(world.get(world.key(Role::Viewer), "/metrics").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_form_must_come_from_its_own_session() {
    let world = World::new();
    story::silent_warehouse(&world.store, "DE", &story::words("0001")).await;
    let cookie = world.sign_in().await;
    let token = world.form_token(&cookie).await;
    let path = "/processes/order:sfcc%2FDE%2F0001/commands/hold";
    for form in [
        "reason=x".to_owned(),
        "reason=x&_csrf=".to_owned(),
        format!("reason=x&_csrf={}", "0".repeat(32)),
        format!("reason=_csrf={token}"),
    ] {
        let reply = world.form(&cookie, path, &form).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{form}");
    }
    assert!(world.hub.commands.lock().expect("free").is_empty());

    for (name, value) in [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")] {
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header("cookie", &cookie)
            .header("host", "127.0.0.1:8080")
            .header(name, value)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(format!("reason=x&_csrf={token}")))
            .expect("a request");
        assert_eq!(world.send(request).await.problem(), "forgery_refused", "{name}");
    }
    let reply = world.form(&cookie, path, &format!("reason=x&key=k1&_csrf={token}")).await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.text());
    assert_eq!(world.hub.commands.lock().expect("free").len(), 1);

    // A session alone commands no API either.
    let request = Request::builder()
        .method(Method::POST)
        .uri("/process/v1/processes/order:sfcc%2FDE%2F0001/commands")
        .header("cookie", &cookie)
        .header("content-type", "application/json")
        .header("idempotency-key", "k")
        .body(Body::from(r#"{"command":"hold"}"#))
        .expect("a request");
    assert_eq!(world.send(request).await.problem(), "forgery_refused");
}

#[tokio::test]
async fn signing_out_ends_the_session() {
    let world = World::new();
    let cookie = world.sign_in().await;
    let token = world.form_token(&cookie).await;
    let reply = world.form(&cookie, "/sign-out", &format!("_csrf={token}")).await;
    assert!(reply.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(world.page(&cookie, "/").await.header("location"), "/sign-in");
    assert_eq!(world.page(&cookie, "/orders?q=a%20b").await.header("location"), "/sign-in?next=%2Forders%3Fq%3Da%2520b");
}

#[test]
fn half_right_principals_stop_the_start() {
    let key =
        |name: &str, hash: &str| format!(r#"{{"keys":[{{"name":"{name}","role":"viewer","id":"abcdefgh","hash":"{hash}"}}]}}"#);
    let good = "0".repeat(64);
    for (text, reason) in [
        (key("Shop", &good), "use 1 to 64"),
        (key("shop", "12"), "64 hex digits"),
        (r#"{"people":[{"name":"a","role":"admin","password":"secret"}]}"#.to_owned(), "no argon2id hash"),
    ] {
        let principals: Principals = serde_json::from_str(&text).expect("readable");
        let error = Auth::new(principals, false, random::system).err().expect("refused").to_string();
        assert!(error.contains(reason), "{error}");
    }
    assert!(serde_json::from_str::<Principals>(r#"{"people":[],"admin":true}"#).is_err(), "unknown fields are refused");
    let principals: Principals = serde_json::from_str(&key("shop", &good)).expect("readable");
    assert_eq!(principals.keys[0].sites, Sites::All);
}
