//! The bundle of all systems: one seed is one run, and a call is cheap.

use crossdock_simulators::{Config, Faults, Request, SYSTEMS, World};

fn run(seed: u64) -> Vec<String> {
    let mut world = World::new(seed, Config::default());
    let faults = br#"{"error_rate":0.1,"apply_then_drop_rate":0.2,"duplicate_notifications":0.2,"notification_spread_ms":500}"#;
    for system in SYSTEMS {
        assert!(world.set_faults(system, Faults::parse(faults).unwrap(), 0));
    }
    let mut notifications = String::new();
    for i in 0..200i64 {
        let now = i * 100;
        let expectation = world.place_next(now);
        let (site, order) = (expectation.site, expectation.order);
        let create = format!(
            r#"{{"external_reference":"F{order}","channel":"sfcc","site":"{site}","order":"{order}","location":"DC-EU","service":"pickup",
               "lines":[{{"line":"1","sku":"100101-S","quantity":2}},{{"line":"2","sku":"100104-OS","quantity":"1"}}]}}"#
        );
        let request = Request::new("POST", "/fulfilment-orders", create).header("x-api-key", "crossdock-sim");
        world.handle("warehouse", &request, now).unwrap();
        for outgoing in world.due(now) {
            notifications.push_str(&outgoing.event);
            if i % 7 == 0 {
                world.undelivered(outgoing, now);
            }
        }
    }
    let mut digests: Vec<String> = SYSTEMS.iter().map(|s| world.ledger(s).unwrap().digest()).collect();
    digests.push(notifications);
    digests.push(format!("{:?}", world.fault_counts()));
    digests
}

#[test]
fn one_seed_gives_one_run_and_another_seed_another() {
    let first = run(7);
    assert_eq!(first, run(7));
    assert_ne!(first, run(8));
}

#[test]
fn every_placed_order_is_authorised_for_what_it_owes() {
    let mut world = World::new(2, Config::default());
    for _ in 0..300 {
        world.place_next(0);
    }
    let tenders = |parent: bool| -> rust_decimal::Decimal {
        let rows = world.ledger("storefront").unwrap().rows().iter();
        rows.filter(|r| r.operation == "order.tender" && r.parent.is_empty() != parent).filter_map(|r| r.amount).sum()
    };
    let booked = |system: &str, operation: &str| -> rust_decimal::Decimal {
        let rows = world.ledger(system).unwrap().rows().iter();
        rows.filter(|r| r.operation == operation).filter_map(|r| r.amount).sum()
    };
    assert_eq!(tenders(true), booked("payment", "authorise"));
    assert_eq!(tenders(false), booked("giftcard", "card.load"));
    assert_eq!(world.storefront.service.order_count(), 300);
    assert_eq!(world.station("payment").unwrap().system(), "payment");
}
