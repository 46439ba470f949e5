//! The demo's landscape: without a fault, and different by market as its README says.

use crate::root;
use crossdock_canonical::{ChannelId, SiteId, SystemName, Timestamp, order::Taxation};
use crossdock_flows::policy::{CaptureWhen, TaxBasis};
use crossdock_landscape::{Known, Landscape, LoadError, PolicyError, check};
use crossdock_value::{Value, value};

fn demo() -> Landscape {
    match Landscape::load(&root("landscapes/demo"), &Known::ANYTHING) {
        Ok(landscape) => landscape,
        Err(LoadError::Faulty(report)) => panic!("{}", report.render(false)),
        Err(other) => panic!("{other}"),
    }
}

fn order(currency: &str, taxation: &str, amount: &str) -> Value {
    value!({
        "currency": currency, "taxation": taxation, "customer": {"guest": false},
        "shipments": [{"id": "s1", "delivery": "ship", "ship_to": {"country": "US"}}],
        "totals": {"grand": {"amount": amount, "currency": currency}}
    })
}

#[test]
fn every_market_has_its_own_policy() {
    let landscape = demo();
    let cases = [
        // site, currency, taxation, amount, screened, tax, capture
        ("RefArch-DE", "EUR", "gross", "249.99", false, Some(TaxBasis::AsSold), CaptureWhen::Shipment),
        ("RefArch-DE", "EUR", "gross", "1000.00", true, Some(TaxBasis::AsSold), CaptureWhen::Shipment),
        ("RefArch-US", "USD", "net", "149.99", false, Some(TaxBasis::Estimate), CaptureWhen::Completion),
        ("RefArch-US", "USD", "net", "150.00", true, Some(TaxBasis::Estimate), CaptureWhen::Completion),
        ("RefArch-GB", "GBP", "gross", "900.00", false, Some(TaxBasis::AsSold), CaptureWhen::Completion),
        ("RefArch-JP", "JPY", "gross", "40000", true, Some(TaxBasis::AsSold), CaptureWhen::Completion),
        ("RefArch-KW", "KWD", "net", "0.500", true, None, CaptureWhen::Completion),
    ];
    for (site, currency, taxation, amount, screened, tax, capture) in cases {
        let market = landscape.market_of(&ChannelId::new("sfcc"), &SiteId::new(site)).expect("the site has a market");
        let policy = landscape.policy_for(market, &order(currency, taxation, amount)).expect("the order fits");
        assert_eq!(policy.fraud.is_some(), screened, "{site} {amount}");
        assert_eq!(policy.tax.map(|tax| tax.basis), tax, "{site}");
        assert_eq!(policy.payment.capture, capture, "{site}");
        assert_eq!(policy.payment.methods["CREDIT_CARD"].system.as_ref().map(SystemName::as_str), Some("payment"), "{site}");
        let erp = policy.erp.expect("every market has an ERP");
        assert_eq!(erp.tolerance.currency.as_str(), currency, "{site}");
        assert_eq!(policy.fulfilment.expect("every market ships").system.as_str(), "warehouse", "{site}");
        for system in market.systems() {
            assert!(landscape.system(system).is_some(), "{system}");
        }
    }
}

#[test]
fn a_tagged_address_or_a_foreign_country_is_screened_however_cheap() {
    let landscape = demo();
    let market = landscape.market_of(&"sfcc".into(), &"RefArch-US".into()).expect("the site has a market");
    let mut abroad = order("USD", "net", "5.00");
    abroad.set("shipments.0.ship_to.country", "CA");
    assert!(landscape.policy_for(market, &abroad).expect("the order fits").fraud.is_some());
    for market in landscape.markets() {
        let taxation = if market.taxation == Taxation::Net { "net" } else { "gross" };
        let mut cheap = order(market.currency.as_str(), taxation, "1");
        cheap.set("customer.email", "shopper+hold@example.com");
        assert!(landscape.policy_for(market, &cheap).expect("the order fits").fraud.is_some(), "{}", market.id);
    }
}

#[test]
fn an_order_that_does_not_fit_its_market_gets_no_policy() {
    let landscape = demo();
    let market = landscape.market_of(&"sfcc".into(), &"RefArch-DE".into()).expect("the site has a market");
    let refused = |order: Value| landscape.policy_for(market, &order).expect_err("it does not fit");
    assert!(matches!(refused(order("USD", "gross", "1")), PolicyError::Currency { .. }));
    assert!(matches!(refused(order("EUR", "net", "1")), PolicyError::Taxation { .. }));
    let undecided = refused(order("EUR", "gross", "a lot"));
    assert!(undecided.to_string().contains("markets/DE.yaml:11"), "{undecided}");
}

#[test]
fn a_contract_says_what_is_missing_and_where_but_no_values() {
    let landscape = demo();
    let notice = value!({
        "shipment": "s1", "stage": "shipped", "lines": [{"line": "1", "quantity": {"value": "1", "unit": "EA"}}],
        "at": "2026-11-24T09:00:00Z", "sequence": 3, "note": "more is welcome"
    });
    assert_eq!(landscape.check_contract("shipment.notice", &notice), Ok(()));
    assert_eq!(landscape.check_contract("order.placed", &value!({})), Ok(()), "a kind without a contract");
    let broken = value!({"shipment": "", "stage": "shipped", "lines": [{"line": "Ada Example"}], "sequence": "Ada Example"});
    let told = landscape.check_contract("shipment.notice", &broken).expect_err("it lacks a lot");
    for part in ["the message: ", "\"at\"", "/lines/0: ", "\"quantity\"", "/sequence: ", "/shipment: "] {
        assert!(told.contains(part), "{part} is not in: {told}");
    }
    assert!(!told.contains("Ada"), "{told}");
}

#[test]
fn a_site_of_no_market_has_none() {
    assert!(demo().market_of(&"sfcc".into(), &"RefArch-XX".into()).is_none());
    assert!(demo().market_of(&"shopify".into(), &"RefArch-DE".into()).is_none());
}

#[test]
fn schedules_follow_the_wall_clock_of_their_market() {
    let landscape = demo();
    let nightly = landscape.schedules().iter().find(|s| &*s.name == "nightly").expect("it is in schedules.yaml");
    for (at, next) in [
        // Half past three in Berlin: summer, winter, and the night the clock goes back.
        ("2026-07-01T00:00:00Z", "2026-07-01T01:30:00.000Z"),
        ("2026-12-01T03:00:00Z", "2026-12-02T02:30:00.000Z"),
        ("2026-10-25T00:00:00Z", "2026-10-25T02:30:00.000Z"),
    ] {
        let next_after = nightly.next_after(Timestamp::parse(at).expect("an instant"));
        assert_eq!(next_after.map(|t| t.to_string()).as_deref(), Some(next), "{at}");
    }
    let orders = landscape.schedules().iter().find(|s| &*s.name == "orders").expect("it is in schedules.yaml");
    assert_eq!(orders.next_after(Timestamp(1_500)), Some(Timestamp(2_000)));
    assert_eq!(orders.next_after(Timestamp(2_000)), Some(Timestamp(3_000)));
}

#[test]
fn hashes_follow_what_is_said_and_not_how_it_is_written() {
    let folder = crossdock_landscape::Folder::read(&root("landscapes/demo")).expect("it is there");
    let load = |change: &dyn Fn(&str, &str) -> String| {
        let files = folder.files().map(|(path, text)| (path.to_owned(), change(path, text)));
        Landscape::from_folder(&crossdock_landscape::Folder::from_files(files), &Known::ANYTHING).expect("no fault")
    };
    let erp = SystemName::new("erp");
    let same = load(&|_, text| text.to_owned());
    let commented = load(&|_, text| if text.starts_with('{') { text.to_owned() } else { format!("# a remark\n{text}") });
    let dearer = load(&|_, text| text.replace(">= 250", ">= 300"));
    let elsewhere =
        load(&|path, text| if path == "systems/erp.yaml" { text.replace("_ERP_URL", "_LEDGER_URL") } else { text.to_owned() });
    assert_eq!(same.hash(), commented.hash());
    assert_ne!(same.hash(), dearer.hash());
    assert_eq!(same.hash(), elsewhere.hash());
    assert_eq!(same.system_hash(&erp), commented.system_hash(&erp));
    assert_eq!(same.system_hash(&erp), dearer.system_hash(&erp));
    assert_ne!(same.system_hash(&erp), elsewhere.system_hash(&erp));
    assert_eq!(same.system_hash(&"tax".into()), elsewhere.system_hash(&"tax".into()));
}

#[test]
fn addresses_come_from_the_environment_or_from_the_demo() {
    let landscape = demo();
    let erp = landscape.system(&"erp".into()).expect("it is there");
    assert_eq!(erp.resolve(&|_| None).expect_err("nothing is set").0, "CROSSDOCK_ERP_URL");
    let urls = [(SystemName::new("erp"), "http://127.0.0.1:9".to_owned())].into();
    let moved = landscape.with_urls(&urls);
    let erp = moved.system(&"erp".into()).expect("it is there");
    assert_eq!(erp.resolve(&|_| None).map(|config| config.url), Ok("http://127.0.0.1:9".into()));
}

#[test]
fn checking_the_demo_finds_nothing() {
    let report = check(&root("landscapes/demo"), &Known::ANYTHING).expect("it can be read");
    assert!(report.is_clean(), "{}", report.render(false));
    assert_eq!(report.to_json(), "[]");
}

/// A hub that is started again finds its store in the folder.
#[test]
fn the_store_and_what_it_keeps_beside_it_are_no_part_of_the_landscape() {
    let node = "name: test\nstore: {kind: sqlite, path: hub.db}\n";
    let on_postgres = "name: test\nstore: {kind: postgres, url: 'env:DATABASE', key_file: hub.key, certificates: ca.pem}\n";
    let bytes = [0xff_u8, 0xfe, 0x00];
    let cases: [(&str, &[&str], &[&str]); 2] = [
        (node, &["hub.db", "hub.db-wal", "hub.db-shm", "hub.db.key", "hub.db.lock"], &["other.db"]),
        (on_postgres, &["hub.key", "ca.pem"], &["hub.db"]),
    ];
    for (node, own, strange) in cases {
        for (files, found) in [(own, false), (strange, true)] {
            let folder = std::env::temp_dir().join(format!("crossdock-landscape-{}-{found}-{}", std::process::id(), own.len()));
            std::fs::create_dir_all(&folder).expect("a folder");
            std::fs::write(folder.join("crossdock.yaml"), node).expect("it can be written");
            for file in files {
                std::fs::write(folder.join(file), bytes).expect("it can be written");
            }
            let told = check(&folder, &Known::ANYTHING).expect("it can be read").to_string();
            std::fs::remove_dir_all(&folder).expect("it can be removed");
            for file in files {
                assert_eq!(told.contains(&format!("{file}:")), found, "{file}: {told}");
            }
        }
    }
}
