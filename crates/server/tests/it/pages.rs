//! The console: every page with and without data, commands with their confirming page, payloads only on request, and hostile
//! text that stays text.

use crate::{
    api::Stream,
    story::{self, Words, words},
    world::{NOW, World, system},
};
use axum::http::StatusCode;
use crossdock_canonical::{Duration, Timestamp};
use crossdock_engine::face::HubError;
use crossdock_flows::Answer;
use crossdock_server::auth::roles::Role;
use crossdock_store::ReadStore;

const PAGES: [&str; 7] = ["/", "/orders", "/orders?status=any&q=00", "/exceptions", "/systems", "/break", "/break?ledger=erp"];

#[tokio::test]
async fn pages_say_something_when_there_is_nothing() {
    let world = World::new();
    let cookie = world.sign_in().await;
    for (path, text) in [
        ("/", "No system is configured yet."),
        ("/", "Nothing. Every order goes on by itself."),
        ("/orders", "No order is open"),
        ("/orders?q=4417", "Nothing carries ‘4417’"),
        ("/orders?stage=booked", "No order is like that now"),
        ("/exceptions", "Nothing needs a person"),
        ("/systems", "No system is configured yet"),
        ("/break", "Nothing is broken now."),
    ] {
        let page = world.page(&cookie, path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(page.text().contains(text), "{path} lacks {text:?}: {}", page.text());
    }
    let missing = world.page(&cookie, "/orders/sfcc/DE/0001").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert!(missing.text().contains("No such order") && missing.header("content-type").starts_with("text/html"));
}

#[tokio::test]
async fn the_headline_names_the_worst_first() {
    let world = World::new();
    let cookie = world.sign_in().await;
    let headline = async || {
        let page = world.page(&cookie, "/").await.text();
        let (_, rest) = page.split_once("<h1>").expect("a headline");
        rest.split_once("</svg>").and_then(|(_, rest)| rest.split_once("</h1>")).expect("an end").0.to_owned()
    };
    world.hub.systems.lock().expect("free").extend([system("erp", "erp"), system("storefront", "storefront")]);
    assert_eq!(headline().await, "No order has come yet. All 2 systems answer.");
    story::silent_warehouse(&world.store, "DE", &words("0001")).await;
    assert_eq!(headline().await, "1 exception waits for a person, for one reason.");
    {
        let mut systems = world.hub.systems.lock().expect("free");
        systems[0].breaker = "open".into();
        systems[0].waiting = 412;
        systems[0].trouble = "503 five times in a row".into();
        systems[0].trouble_since = Timestamp::parse(NOW).map(|now| now - Duration::minutes(23));
    }
    assert_eq!(headline().await, "erp has been down for 23 min. 412 calls wait for it.");
    let page = world.page(&cookie, "/").await.text();
    assert!(page.contains("Orders are still accepted."));
    assert!(page.contains(r#"<path class="edge broken""#), "the drawing shows it too");
}

#[tokio::test]
async fn the_order_page_tells_the_whole_life_and_names_the_missing_hop() {
    let world = World::new();
    let cookie = world.sign_in().await;
    story::silent_warehouse(&world.store, "DE", &words("0001")).await;
    let page = world.page(&cookie, "/orders/sfcc/DE/0001").await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text());
    let text = page.text();
    for told in [
        "wms: release shipment ship 1",
        "wms has not told of shipment ship-1",
        "erp: create erp order",
        "No clear answer, timeout",
        "Found, complete",
        "order.booked",
        "SO-0001",
        "<dt class=\"key\">Authorized</dt><dd class=\"key\">332.75</dd><dt>Captured</dt><dd>273.75</dd><dt>Still to capture</dt><dd>59.00</dd><dt>Refunded</dt><dd>0.00</dd>",
        "Ridge down jacket",
        "Released",
        "aria-label=\"Timeline, one lane a system.",
        "/commands/retry?step=release-shipment&amp;intent=ship-1",
    ] {
        assert!(text.contains(told), "the page lacks {told:?}: {text}");
    }
    for hidden in ["Hanna", "hanna@", "SO-88213"] {
        assert!(!text.contains(hidden), "{hidden} is not to be seen unasked");
    }
    // Every mark of the drawing leads somewhere on the page.
    for link in text.split("<a href=\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(text.contains(&format!("id=\"{link}\"")), "#{link} leads nowhere");
    }
}

#[tokio::test]
async fn a_payload_is_shown_on_request_and_each_look_is_recorded() {
    let world = World::new();
    let cookie = world.sign_in().await;
    story::silent_warehouse(&world.store, "DE", &words("0001")).await;
    let token = world.form_token(&cookie).await;
    let page = world.page(&cookie, "/orders/sfcc/DE/0001").await.text();
    let hash = page
        .split("name=\"payload\" value=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .last()
        .expect("a payload")
        .to_owned();
    let answer = crossdock_store::PayloadHash::of(story::ANSWER.as_bytes()).to_string();
    assert!(page.contains(&answer) && !hash.is_empty());

    let form = format!("payload={answer}&kind=order&_csrf={token}");
    let shown = world.form(&cookie, "/orders/sfcc/DE/0001/reveal", &form).await;
    assert!(shown.text().contains("Hanna Beispiel"), "{}", shown.text());
    assert_eq!(shown.header("cache-control"), "no-store");
    let audit = world.store.audit(1).await.expect("rows");
    assert_eq!(&*audit[0].actor, "person:anna");
    assert!(audit[0].action.contains("revealed order:sfcc/DE/0001"), "{}", audit[0].action);

    let before = world.store.audit(100).await.expect("rows").len();
    for wrong in [
        format!("payload={}&kind=order", "0".repeat(64)),
        "payload=x&kind=order".into(),
        format!("payload={answer}&kind=payment"),
    ] {
        let reply = world.form(&cookie, "/orders/sfcc/DE/0001/reveal", &format!("{wrong}&_csrf={token}")).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{wrong}");
    }
    assert_eq!(world.store.audit(100).await.expect("rows").len(), before);
    // A viewer is not even offered it.
    let viewer = world.get(world.key(Role::Viewer), "/orders/sfcc/DE/0001").await.text();
    assert!(!viewer.contains("/reveal") && !viewer.contains("/commands/"), "{viewer}");
}

#[tokio::test]
async fn a_command_says_what_it_will_do_and_is_sent_once_with_its_reason() {
    let world = World::new();
    let cookie = world.sign_in().await;
    story::silent_warehouse(&world.store, "DE", &words("0001")).await;
    let token = world.form_token(&cookie).await;
    let base = "/processes/order%3Asfcc%2FDE%2F0001/commands";
    for (command, says) in [
        ("hold", "No new call is started"),
        ("release", "goes on where it stopped"),
        ("cancel", "EUR 332.75"),
        ("retry?step=release-shipment&intent=ship-1", "with the same bytes and the same key"),
        ("skip?step=release-shipment&intent=ship-1", "as if this step were done"),
        ("amend", "Postal code"),
        ("decide_fraud", "Reject: the order is cancelled"),
    ] {
        let page = world.page(&cookie, &format!("{base}/{command}")).await;
        assert_eq!(page.status, StatusCode::OK, "{command}");
        assert!(page.text().contains(says), "{command}: {}", page.text());
    }
    assert_eq!(world.page(&cookie, &format!("{base}/explode")).await.status, StatusCode::NOT_FOUND);
    assert!(world.hub.commands.lock().expect("free").is_empty(), "looking does nothing");

    let missing =
        world.form(&cookie, &format!("{base}/skip"), &format!("step=release-shipment&intent=ship-1&_csrf={token}")).await;
    assert_eq!(missing.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(missing.text().contains("Give a reason"));
    let form = format!("step=release-shipment&intent=ship-1&reason=by+hand&key=form-1&seen_version=4&_csrf={token}");
    let done = world.form(&cookie, &format!("{base}/skip"), &form).await;
    assert_eq!((done.status, done.header("location")), (StatusCode::SEE_OTHER, "/orders/sfcc/DE/0001?said=taken"));
    {
        let commands = world.hub.commands.lock().expect("free");
        let skip = commands.last().expect("one");
        assert_eq!(
            (&*skip.name, &*skip.actor, &*skip.idempotency_key, skip.seen_version),
            ("skip", "person:anna", "form-1", Some(4))
        );
        assert_eq!(skip.body.to_string(), r#"{"step":"release-shipment","intent":"ship-1","reason":"by hand"}"#);
    }
    let amend = format!("city=K%C3%B6ln&region=NW&reason=called&key=form-2&_csrf={token}");
    world.form(&cookie, &format!("{base}/amend"), &amend).await;
    assert_eq!(
        world.hub.commands.lock().expect("free").last().expect("one").body.to_string(),
        r#"{"reason":"called","ship_to":{"city":"Köln","region":"NW"}}"#
    );
    *world.hub.refuses.lock().expect("free") =
        Some(Answer::Refused { code: "too_late".into(), text: "the goods have left".into() });
    let refused = world.form(&cookie, &format!("{base}/cancel"), &format!("reason=x&key=form-3&_csrf={token}")).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.text().contains("The goods have left"));
    *world.hub.fails.lock().expect("free") = Some(HubError::Conflict { seen: 4, found: 5 });
    let stale = world.form(&cookie, &format!("{base}/hold"), &format!("reason=x&key=form-4&_csrf={token}")).await;
    assert!(stale.status == StatusCode::CONFLICT && stale.text().contains("has moved on"));
}

#[tokio::test]
async fn exceptions_are_grouped_and_each_can_be_acted_on() {
    let world = World::new();
    let cookie = world.sign_in().await;
    for number in ["0001", "0002"] {
        story::silent_warehouse(&world.store, "DE", &words(number)).await;
    }
    let page = world.page(&cookie, "/exceptions").await.text();
    assert!(page.contains("2 exceptions wait for one reason") && page.contains("665.50"), "{page}");
    let opened = world.page(&cookie, "/exceptions?class=silent&system=wms&step=release-shipment").await.text();
    for number in ["0001", "0002"] {
        let retry = format!("/processes/order%3Asfcc%2FDE%2F{number}/commands/retry?step=release-shipment");
        assert!(opened.contains(&retry) && opened.contains(&format!("Skip<span class=\"vh\"> {number}</span>")), "{opened}");
    }
}

#[tokio::test]
async fn the_list_filters_pages_and_announces_what_is_new() {
    let world = World::new();
    let cookie = world.sign_in().await;
    for n in 0..52 {
        story::silent_warehouse(&world.store, "DE", &words(&format!("{n:04}"))).await;
    }
    let page = world.page(&cookie, "/orders").await.text();
    assert!(page.contains("/orders/sfcc/DE/0051") && !page.contains("/orders/sfcc/DE/0001\""), "the newest 50");
    let (_, rest) = page.split_once("<a href=\"/orders?before=").expect("an older page");
    let older = world.page(&cookie, &format!("/orders?before={}", rest.split('"').next().expect("a number"))).await.text();
    assert!(older.contains("/orders/sfcc/DE/0001") && !older.contains("/orders/sfcc/DE/0051"));

    let (_, upto) = page.split_once("upto%3D").expect("the stream knows the newest row");
    let upto: String = upto.chars().take_while(char::is_ascii_digit).collect();
    story::silent_warehouse(&world.store, "DE", &words("0099")).await;
    let still = world.page(&cookie, &format!("/orders?upto={upto}")).await.text();
    assert!(still.contains("1 new") && !still.contains("/orders/sfcc/DE/0099"), "{still}");
    let found = world.page(&cookie, "/orders?q=0099").await.text();
    assert!(found.contains("/orders/sfcc/DE/0099") && found.contains("1 found"));
}

#[tokio::test]
async fn an_open_page_receives_the_regions_that_changed() {
    let world = World::new();
    let key = world.key(Role::Operator);
    world.hub.systems.lock().expect("free").push(system("erp", "erp"));
    let mut stream = Stream::open(&world, key, "/live?page=%2F", "").await;
    world.hub.advance(1_000);
    story::silent_warehouse(&world.store, "DE", &words("0001")).await;
    let text = stream.until("hx-target=\"#headline\"").await;
    assert!(text.contains("1 exception waits for a person"), "{text}");
    assert!(text.contains("hx-target=\"#todo\"") && !text.contains("hx-target=\"#dependencies\""), "{text}");
    let refused = world.get(key, "/live?page=%2Fsign-in").await;
    assert_eq!(refused.problem(), "invalid_parameter");
}

#[tokio::test]
async fn things_are_broken_and_mended_in_the_demo_only() {
    let world = World::new();
    let cookie = world.sign_in().await;
    let token = world.form_token(&cookie).await;
    let reply = world.form(&cookie, "/break/erp", &format!("fault=drop&_csrf={token}")).await;
    assert_eq!(reply.header("location"), "/break", "{}", reply.text());
    assert_eq!(world.demo.faults.lock().expect("free")["erp"].to_string(), r#"{"apply_then_drop_rate":1}"#);
    let page = world.page(&cookie, "/break?ledger=erp").await.text();
    assert!(page.contains("1 system is broken now") && page.contains("does it, then hangs up") && page.contains("sale.create"));
    let placed = world.form(&cookie, "/break/orders", &format!("kind=plain&_csrf={token}")).await;
    assert_eq!(placed.header("location"), "/break?placed=sfcc%2FDE%2Fplain-1");
    world.form(&cookie, "/break/everything", &format!("fault=mend&_csrf={token}")).await;
    assert_eq!(world.demo.faults.lock().expect("free")["erp"].to_string(), "{}");
    for (path, form) in [("/break/crm", "fault=drop"), ("/break/erp", "fault=explode"), ("/break/orders", "kind=none")] {
        let status = world.form(&cookie, path, &format!("{form}&_csrf={token}")).await.status;
        assert!(status.is_client_error(), "{path}: {status}");
    }
    let real = world.with(|app| app.demo = None);
    assert_eq!(real.page(&cookie, "/break").await.status, StatusCode::NOT_FOUND);
    assert!(!real.page(&cookie, "/").await.text().contains("Break something"));
}

#[tokio::test]
async fn the_theme_is_a_cookie_and_a_plain_form() {
    let world = World::new();
    let cookie = world.sign_in().await;
    let token = world.form_token(&cookie).await;
    let reply = world.form(&cookie, "/theme", &format!("theme=dark&next=%2Forders&_csrf={token}")).await;
    assert_eq!(reply.header("location"), "/orders");
    let page = world.page(&format!("{cookie}; theme=dark"), "/orders").await.text();
    assert!(page.contains("data-theme=\"dark\"") && page.contains("value=\"light\""));
    let odd = world.page(&format!("{cookie}; theme=\"><script>"), "/orders").await.text();
    assert!(!odd.contains("data-theme"));
}

const HOSTILE: [&str; 12] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "'><svg onload=alert(1)>",
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "javascript:alert(1)",
    "<!--live:headline--><script>alert(1)</script><!--/live-->",
    "</template></hx-partial><script>alert(1)</script>",
    "{{7*7}}${7*7}<%= 7*7 %>",
    "<a href=\"x\" hx-get=\"x\">",
    "\u{202e}gnp.exe\u{2066}",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
];

#[tokio::test]
async fn hostile_text_stays_text_on_every_page() {
    let world = World::new();
    let cookie = world.sign_in().await;
    let token = world.form_token(&cookie).await;
    for (n, hostile) in HOSTILE.iter().enumerate() {
        let number = hostile.replace('/', "-");
        let words = Words { number: number.clone(), anything: (*hostile).into() };
        story::silent_warehouse(&world.store, "DE", &words).await;
        let mut bad = system(hostile, "erp");
        bad.trouble = (*hostile).into();
        bad.connector = (*hostile).into();
        world.hub.systems.lock().expect("free").push(bad);
        let order = format!("/orders/sfcc/DE/{}", encode(&number));
        let command = format!(
            "/processes/{}/commands/skip?step={}&intent={}",
            encode(&format!("order:sfcc/DE/{number}")),
            encode(hostile),
            encode(hostile)
        );
        let search = format!("/orders?q={}", encode(hostile));
        let filter = format!("/orders?stage={}&market={}", encode(hostile), encode(hostile));
        let group = format!("/exceptions?class=silent&system=wms&step=release-shipment&said={}", encode(hostile));
        let placed = format!("/break?placed={}", encode(hostile));
        let arrival = format!("/sign-in?next={}&token={}", encode(hostile), encode(hostile));
        let mut pages: Vec<(String, String)> = Vec::new();
        for path in PAGES.iter().map(|path| (*path).to_owned()).chain([order.clone(), command, search, filter, group, placed]) {
            pages.push((path.clone(), world.page(&cookie, &path).await.text()));
        }
        pages.push((arrival.clone(), world.page("", &arrival).await.text()));
        pages.push(("sign-in".into(), world.form("", "/sign-in", &format!("name={}&password=x", encode(hostile))).await.text()));
        world.hub.advance(600_000);
        let answer = crossdock_store::PayloadHash::of(story::ANSWER.as_bytes());
        let reveal = format!("payload={answer}&kind=order&_csrf={token}");
        pages.push(("reveal".into(), world.form(&cookie, &format!("{order}/reveal"), &reveal).await.text()));
        for (path, page) in pages {
            assert!(page.contains("</html>"), "{n} {path}: {page}");
            for live in ["<script>alert", "<img src=x", "<svg onload", "hx-get=\"x\"", "href=\"javascript:", "<%="] {
                assert!(!page.contains(live), "{hostile} lives as {live} on {path}");
            }
            assert!(!page.contains(" style=\"") && !page.contains("<style"), "a style attribute on {path}");
            // Without a referrer a browser says `Origin: null`, and every form would be taken for another site's.
            assert!(!page.contains("name=\"referrer\""), "a referrer policy on {path}");
            let scripts = page.matches("<script").count();
            assert!(scripts == page.matches("<script src=\"/assets/").count(), "an inline script on {path}");
            for address in page.split("href=\"").chain(page.split("src=\"")).skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(
                    !address.starts_with("http") && !address.starts_with("//") || address.starts_with("<"),
                    "{address} on {path}"
                );
            }
        }
    }
}

#[tokio::test]
async fn every_answer_carries_the_policy_and_no_other_host() {
    let world = World::new();
    let cookie = world.sign_in().await;
    for path in PAGES.iter().chain(&[
        "/sign-in",
        "/nothing",
        "/healthz",
        "/openapi.json",
        "/assets/x/console.css",
        "/process/v1/processes",
    ]) {
        let reply = world.page(&cookie, path).await;
        let policy = reply.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe") && !policy.contains("http"), "{path}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
        assert!(reply.header("x-request-id").len() >= 8, "{path}");
    }
    let page = world.page(&cookie, "/").await.text();
    for asset in page.split("\"/assets/").skip(1).filter_map(|rest| rest.split('"').next()) {
        let reply = world.page(&cookie, &format!("/assets/{asset}")).await;
        assert_eq!(reply.status, StatusCode::OK, "{asset}");
        assert!(reply.header("cache-control").contains("immutable"), "{asset}");
    }
    assert_eq!(world.page(&cookie, "/assets/x/..%2Fvendor%2FREADME.md").await.status, StatusCode::NOT_FOUND);
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[tokio::test]
async fn the_nodes_stand_below_the_systems_and_those_that_are_away_stand_first() {
    let world = World::new();
    let cookie = world.sign_in().await;
    assert!(!world.page(&cookie, "/systems").await.text().contains("<h2>Nodes"), "a hub that tells of none has no table of them");
    world.hub.nodes.lock().expect("free").extend([crate::world::node("one", true), crate::world::node("two", false)]);
    let page = world.page(&cookie, "/systems").await.text();
    for word in ["one (this one)", "Available", "256 of 256", "Away", "0 of 256", "42 s ago", "10.0.0.1:8080"] {
        assert!(page.contains(word), "{word} is missing: {page}");
    }
    assert!(page.find("node-two/k3x9") < page.find("node-one/k3x9"));
}
