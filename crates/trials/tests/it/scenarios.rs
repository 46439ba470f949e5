//! Failures that users meet, staged with the whole hub among the simulated systems. Others are staged where they show best: look for
//! `scenario_` in the crates; `cargo xtask tidy` knows which numbers there must be.
//!
//! Each is a test on every store, and with three nodes on one: the list at the end.

use crossdock_canonical::Duration;
use crossdock_engine::{Pinned, PolicySource};
use crossdock_simulators::{Expectation, Faults, Mix, Outage, OutageMode, Rates};
use crossdock_trials::scene::{Hub, Scene};
use crossdock_value::Value;
use std::{collections::BTreeMap, sync::Arc};

const MINUTE: Duration = Duration::minutes(1);

/// What the checker says of a message that is parked in front of its process.
const ONE_PARKED: &[&str] = &["I12: 1 messages wait in the inbox, not folded"];

/// Orders that every one should close.
fn plain(hub: Hub, seed: u64) -> Scene {
    Scene::new(hub, seed, |systems| systems.orders = Mix::plain())
}

fn only(operation: &str, rates: Rates) -> Faults {
    Faults { operations: BTreeMap::from([(operation.to_owned(), rates)]), ..Faults::default() }
}

fn assert_sound(scene: &Scene, orders: &[Expectation]) {
    assert_sound_but_for(scene, orders, &[]);
}

/// Every order is closed and in the ERP once, and of the invariants only those of `known` are broken.
fn assert_sound_but_for(scene: &Scene, orders: &[Expectation], known: &[&str]) {
    for order in orders {
        let process = scene.process(order);
        assert_eq!(scene.status(&process), "closed", "{process}: {:?}", scene.exceptions());
        assert_eq!(scene.rows("erp", "sales_order.create", &order.order).len(), 1, "{process}");
        assert!(scene.rows("inventory", "reservation.create", &order.order).len() <= 1, "{process}");
    }
    assert_eq!(scene.broken(), known);
}

fn announced(hub: Hub, seed: u64) -> Scene {
    Scene::new(hub, seed, |systems| {
        systems.orders = Mix { gift_card: 0.0, ..Mix::plain() };
        systems.payment.announce_seeded = true;
    })
}

/// The shopper pays, goes back, and the provider's notice comes before the storefront has an order.
fn scenario_01_paid_before_the_storefront_has_the_order_is_placed_once(hub: Hub) {
    let mut scene = announced(hub, 11);
    let (paid, order) = scene.generate();
    let now = scene.now().0;
    scene.world().check_out(&paid, now).expect("the card is taken");
    scene.run_for(Duration::seconds(30));
    assert_eq!(scene.rows("payment", "authorise", &order.order).len(), 1, "it was paid");
    let now = scene.now().0;
    scene.world().place_order(paid.json, now).expect("a sound order");
    let process = scene.process(&order);
    scene.until("the order", MINUTE, |scene| !scene.status(&process).is_empty());
    let orders = [order];
    scene.until("its end", Duration::minutes(10), |scene| scene.all_are(&orders, "closed"));
    assert_eq!(scene.rows("payment", "authorise", &orders[0].order).len(), 1);
    assert_sound(&scene, &orders);
}

fn scenario_01_paid_and_never_ordered_is_shown_to_a_person_within_a_minute(hub: Hub) {
    let mut scene = announced(hub, 12);
    let (paid, order) = scene.generate();
    let now = scene.now().0;
    scene.world().check_out(&paid, now).expect("the card is taken");
    let intent = scene.rows("payment", "authorise", &order.order)[0].reference.clone();
    scene.run_for(MINUTE);
    let shown = scene.exceptions();
    assert!(
        shown.iter().any(|(process, exception)| process.key.contains(&intent) && exception.cause.contains("payment")),
        "{shown:?}"
    );
    assert!(scene.rows("erp", "sales_order.create", &order.order).is_empty());
}

fn scenario_03_a_timeout_after_the_erp_made_the_order_leaves_one_order(hub: Hub) {
    let mut scene = plain(hub, 13);
    scene.faults("erp", only("sales_order.create", Rates { apply_then_drop_rate: 1.0, ..Rates::default() }));
    let orders = scene.place_many(20, Duration::millis(200));
    scene.run_for(Duration::seconds(20));
    let lost = scene.world().fault_counts().get("erp").and_then(|counts| counts.values().copied().max()).unwrap_or(0);
    assert!(lost >= 20, "every first answer is lost, not {lost}");
    scene.faults("erp", Faults::default());
    scene.until("their end", Duration::minutes(20), |scene| scene.all_are(&orders, "closed"));
    assert_sound(&scene, &orders);
}

fn scenario_07_a_flash_sale_while_the_erp_is_down_is_drained_by_priority_and_loses_nothing(hub: Hub) {
    const PAUSE: Duration = Duration::millis(100);
    let mut scene = Scene::new(hub, 14, |systems| systems.orders = Mix { pickup: 0.3, ..Mix::plain() });
    let down = Outage { after_ms: 0, for_ms: 86_400_000, mode: OutageMode::Drop };
    scene.faults("erp", Faults { outages: vec![down], ..Faults::default() });
    // As many on every store: with fewer there is no queue in which priority could show.
    let orders = scene.place_many(200, PAUSE);
    scene.run_for(Duration::seconds(30));
    assert!(scene.ledger("erp").rows().is_empty(), "it was down");
    // The storefront does not feel it: each order was taken as soon as the poll brought it.
    for order in &orders {
        let placed = scene.rows("storefront", "order.placed", &order.order);
        let taken = scene.rows("storefront", "export_status", &order.order);
        let (Some(placed), Some(taken)) = (placed.first(), taken.first()) else {
            let storefront = scene.ledger("storefront");
            let seen: Vec<_> = storefront.rows().iter().filter(|row| *row.scope.order == *order.order).collect();
            panic!("order {} was not taken: {seen:?}", order.order)
        };
        assert!(taken.at - placed.at < 10_000, "order {} waited {} ms", order.order, taken.at - placed.at);
    }
    let back = Rates { calls_per_second_max: Some(30), ..Rates::default() };
    scene.faults("erp", Faults { rates: back, ..Faults::default() });
    scene.until("their end", Duration::minutes(60), |scene| scene.all_are(&orders, "closed"));
    let urgent: Vec<&str> = orders
        .iter()
        .filter(|order| order.features.iter().any(|feature| feature == "pickup"))
        .map(|order| order.order.as_str())
        .collect();
    let erp = scene.ledger("erp");
    let made: Vec<&str> = erp
        .rows()
        .iter()
        .filter(|row| row.operation == "sales_order.create" && row.line.is_empty())
        .map(|row| &*row.scope.order)
        .collect();
    assert_eq!(made.len(), orders.len(), "counts close");
    let mean = |of: &dyn Fn(&str) -> bool| {
        let places: Vec<usize> = made.iter().enumerate().filter(|(_, order)| of(order)).map(|(place, _)| place).collect();
        places.iter().sum::<usize>() / places.len().max(1)
    };
    let (first, last) = (mean(&|order| urgent.contains(&order)), mean(&|order| !urgent.contains(&order)));
    assert!(first + 30 < last, "pickups came {first}th on average, the others {last}th");
    assert_sound(&scene, &orders);
}

fn scenario_27_killed_again_and_again_also_while_it_recovers_nothing_is_lost_or_doubled(hub: Hub) {
    let mut scene = plain(hub, 15);
    let mut orders = Vec::new();
    for n in 0..hub.crowd(30) {
        orders.extend(scene.place_many(2, Duration::millis(37)));
        scene.crash();
        if n % 3 == 0 {
            scene.run_for(Duration::millis(5));
            scene.crash();
        }
        scene.take_over();
        scene.run_for(Duration::millis(311));
    }
    scene.until("their end", Duration::minutes(30), |scene| scene.all_are(&orders, "closed"));
    assert_sound(&scene, &orders);
}

/// Rules of another day, which take no order at all.
struct Closed;

impl PolicySource for Closed {
    fn policy_for(&self, _: &Value) -> Result<Pinned, String> {
        Err("no market takes orders today".into())
    }
}

fn scenario_31_orders_under_way_at_a_deploy_finish_under_the_rules_they_began_with(hub: Hub) {
    let mut scene = plain(hub, 16);
    let orders = scene.place_many(hub.crowd(40), Duration::millis(50));
    scene.run_for(Duration::seconds(3));
    let begun: Vec<Expectation> =
        orders.iter().filter(|order| !scene.status(&scene.process(order)).is_empty()).cloned().collect();
    assert!(begun.len() >= orders.len() * 7 / 8 && !scene.all_are(&begun, "closed"), "they are under way");
    scene.deploy(Arc::new(Closed));
    let late = scene.place();
    let late = scene.process(&late);
    scene.until("the new rules", MINUTE, |scene| {
        scene.exceptions().iter().any(|(process, row)| *process == late && &*row.class == "no_policy")
    });
    scene.until("their end", Duration::minutes(20), |scene| scene.all_are(&begun, "closed"));
    assert_sound_but_for(&scene, &begun, ONE_PARKED);
}

fn scenario_32_one_poison_order_is_parked_with_its_payload_and_the_others_flow(hub: Hub) {
    let mut scene = plain(hub, 17);
    let (mut poison, order) = scene.generate();
    poison.json.set("orderTotal", "as agreed on the phone");
    let now = scene.now().0;
    scene.world().place_order(poison.json, now).expect("the storefront minds nothing");
    let others = scene.place_many(hub.crowd(30), Duration::millis(50));
    scene.until("the others' end", Duration::minutes(20), |scene| scene.all_are(&others, "closed"));
    assert_sound_but_for(&scene, &others, ONE_PARKED);
    let process = scene.process(&order);
    let shown = scene.exceptions();
    let (_, row) = shown.iter().find(|(of, _)| *of == process).unwrap_or_else(|| panic!("it is not shown: {shown:?}"));
    assert!(row.cause.contains("orderTotal") && row.payload.is_some(), "{row:?}");
    assert!(scene.rows("erp", "sales_order.create", &order.order).is_empty(), "nothing was made of it");
    assert_eq!(waiting(&scene), 1, "it is not lost");
    // A later message of the same order waits behind it.
    let later = crossdock_connect::Message {
        id: Some("later".into()),
        about: crossdock_connect::About::Order(
            crossdock_canonical::OrderRef::parse(&process.key).expect("an order's key is its reference"),
        ),
        kind: "order.observed".into(),
        body: Arc::from(&b"{}"[..]),
    };
    let intake = crossdock_engine::core::intake_of(&"storefront".into(), later, scene.now());
    scene.accept(intake);
    scene.run_for(Duration::minutes(5));
    assert_eq!(waiting(&scene), 2, "it waits for the one before it");
}

fn waiting(scene: &Scene) -> u64 {
    crossdock_engine::simulated::at_once(scene.store().inbox_depth()).expect("the store answers")
}

macro_rules! on {
    ($name:ident = $hub:expr; $($scenario:ident)*) => {
        mod $name {
            use crossdock_trials::scene::Hub;
            $(
                #[test]
                fn $scenario() {
                    super::$scenario($hub);
                }
            )*
        }
    };
}

macro_rules! on_every_hub {
    ($($scenario:ident)*) => {
        on!(memory = Hub::Memory; $($scenario)*);
        on!(sqlite = Hub::Sqlite; $($scenario)*);
        on!(postgres = Hub::Postgres; $($scenario)*);
        on!(three_nodes = Hub::ThreeNodes; $($scenario)*);
    };
}

on_every_hub! {
    scenario_01_paid_before_the_storefront_has_the_order_is_placed_once
    scenario_01_paid_and_never_ordered_is_shown_to_a_person_within_a_minute
    scenario_03_a_timeout_after_the_erp_made_the_order_leaves_one_order
    scenario_07_a_flash_sale_while_the_erp_is_down_is_drained_by_priority_and_loses_nothing
    scenario_27_killed_again_and_again_also_while_it_recovers_nothing_is_lost_or_doubled
    scenario_31_orders_under_way_at_a_deploy_finish_under_the_rules_they_began_with
    scenario_32_one_poison_order_is_parked_with_its_payload_and_the_others_flow
}
