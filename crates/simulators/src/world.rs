//! All systems around the hub in one value: one seed, one run.

use std::collections::BTreeMap;
use std::sync::Arc;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::backoffice::erp::Erp;
use crate::backoffice::fraud::Fraud;
use crate::backoffice::giftcard::GiftCards;
use crate::backoffice::inventory::Inventory;
use crate::backoffice::notification::Notification;
use crate::backoffice::tax::Tax;
use crate::backoffice::warehouse::{Pace, Warehouse};
use crate::backoffice::{BackOffice, Identity, Role};
use crate::catalog::{self, Kind};
use crate::faults::Faults;
use crate::generator::{Expectation, Generator, Mix, OrderJson};
use crate::http::{Outgoing, Reply, Request};
use crate::json::Json;
use crate::ledger::{Ledger, Scope};
use crate::outbox::Signature;
use crate::salesforce::{self, Storefront};
use crate::simulator::{Simulator, Station};
use crate::stripe::{self, Stripe};

/// The systems, by the names used in addresses, ledgers and faults.
pub const SYSTEMS: [&str; 9] =
    ["storefront", "payment", "erp", "warehouse", "inventory", "fraud", "tax", "giftcard", "notification"];

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub storefront: salesforce::Config,
    pub payment: stripe::Config,
    /// What every back-office system expects in `X-Api-Key`.
    pub api_key: String,
    /// Identity mode by back-office system (`erp`), or by one of its collections (`erp/sales-orders`); those not named use a unique
    /// reference.
    pub identity: BTreeMap<String, Identity>,
    pub warehouse: Pace,
    pub fraud_review_after_ms: (u64, u64),
    /// On hand of each product at each place at the start.
    pub stock: u32,
    pub orders: Mix,
    pub first_order_number: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            storefront: salesforce::Config::default(),
            payment: stripe::Config::default(),
            api_key: "crossdock-sim".into(),
            identity: BTreeMap::new(),
            warehouse: Pace::default(),
            fraud_review_after_ms: (500, 2_000),
            stock: 1_000_000,
            orders: Mix::default(),
            first_order_number: 1,
        }
    }
}

/// The secret a back-office system signs its notifications with.
pub fn signing_secret(system: &str) -> String {
    format!("whsec-{system}-sim")
}

pub struct World {
    pub storefront: Simulator<Storefront>,
    pub payment: Simulator<Stripe>,
    pub erp: Simulator<BackOffice<Erp>>,
    pub warehouse: Simulator<BackOffice<Warehouse>>,
    pub inventory: Simulator<BackOffice<Inventory>>,
    pub fraud: Simulator<BackOffice<Fraud>>,
    pub tax: Simulator<BackOffice<Tax>>,
    pub giftcard: Simulator<BackOffice<GiftCards>>,
    pub notification: Simulator<BackOffice<Notification>>,
    generator: Generator,
    channel: Arc<str>,
}

impl World {
    pub fn new(seed: u64, config: Config) -> Self {
        fn office<R: Role>(system: &'static str, seed: u64, config: &Config, role: R) -> Simulator<BackOffice<R>> {
            let identity = config.identity.get(system).copied().unwrap_or_default();
            let signature = Signature::BodyHmac { secret: signing_secret(system) };
            let of_system = |(name, identity): (&String, &Identity)| {
                let (named, collection) = name.split_once('/')?;
                (named == system).then(|| (collection.to_owned(), *identity))
            };
            let identities = config.identity.iter().filter_map(of_system).collect();
            Simulator::new(system, seed, signature, BackOffice::new(system, identity, identities, config.api_key.clone(), role))
        }
        let unsigned = Signature::BodyHmac { secret: signing_secret("storefront") };
        let stripe_signature = Signature::Timestamped { secret: config.payment.webhook_secret.clone() };
        let mut world = World {
            storefront: Simulator::new("storefront", seed, unsigned, Storefront::new(config.storefront.clone())),
            payment: Simulator::new("payment", seed, stripe_signature, Stripe::new(config.payment.clone())),
            erp: office("erp", seed, &config, Erp::default()),
            warehouse: office("warehouse", seed, &config, Warehouse::new(config.warehouse.clone())),
            inventory: office("inventory", seed, &config, Inventory::default()),
            fraud: office("fraud", seed, &config, Fraud::new(config.fraud_review_after_ms)),
            tax: office("tax", seed, &config, Tax::default()),
            giftcard: office("giftcard", seed, &config, GiftCards::default()),
            notification: office("notification", seed, &config, Notification),
            generator: Generator::new(seed, config.orders.clone()).starting_at(config.first_order_number),
            channel: Arc::from(config.storefront.channel.as_str()),
        };
        world.inventory.act(0, |office, context| {
            for location in catalog::locations() {
                for product in catalog::PRODUCTS.iter().filter(|p| p.kind != Kind::Digital) {
                    let on_hand = if product.kind == Kind::SoldOut { 0 } else { config.stock };
                    office.role.set_stock(product.sku, location, Decimal::from(on_hand), context);
                }
            }
        });
        world
    }

    pub fn station(&self, system: &str) -> Option<&dyn Station> {
        Some(match system {
            "storefront" => &self.storefront,
            "payment" => &self.payment,
            "erp" => &self.erp,
            "warehouse" => &self.warehouse,
            "inventory" => &self.inventory,
            "fraud" => &self.fraud,
            "tax" => &self.tax,
            "giftcard" => &self.giftcard,
            "notification" => &self.notification,
            _ => return None,
        })
    }

    pub fn station_mut(&mut self, system: &str) -> Option<&mut dyn Station> {
        Some(match system {
            "storefront" => &mut self.storefront,
            "payment" => &mut self.payment,
            "erp" => &mut self.erp,
            "warehouse" => &mut self.warehouse,
            "inventory" => &mut self.inventory,
            "fraud" => &mut self.fraud,
            "tax" => &mut self.tax,
            "giftcard" => &mut self.giftcard,
            "notification" => &mut self.notification,
            _ => return None,
        })
    }

    /// Carries out one call; `None` if there is no such system.
    pub fn handle(&mut self, system: &str, request: &Request, now: i64) -> Option<Reply> {
        self.station_mut(system).map(|station| station.handle(request, now))
    }

    /// Takes every notification due by `now`, system by system.
    pub fn due(&mut self, now: i64) -> Vec<Outgoing> {
        let mut out = Vec::new();
        for system in SYSTEMS {
            let station = self.station_mut(system).expect("SYSTEMS lists what exists");
            if station.next_due().is_some_and(|at| at <= now) {
                out.extend(station.due(now));
            }
        }
        out
    }

    /// When [`World::due`] next has something to do.
    pub fn next_due(&self) -> Option<i64> {
        SYSTEMS.iter().filter_map(|system| self.station(system)?.next_due()).min()
    }

    /// Gives back a notification the hub did not take.
    pub fn undelivered(&mut self, outgoing: Outgoing, now: i64) {
        if let Some(station) = self.station_mut(outgoing.system) {
            station.undelivered(outgoing, now);
        }
    }

    pub fn ledger(&self, system: &str) -> Option<&Ledger> {
        self.station(system).map(|station| station.ledger())
    }

    /// Sets the faults of one system; `false` if there is none of that name.
    pub fn set_faults(&mut self, system: &str, faults: Faults, now: i64) -> bool {
        self.station_mut(system).map(|station| station.set_faults(faults, now)).is_some()
    }

    /// Injected faults by system and class.
    pub fn fault_counts(&self) -> BTreeMap<&'static str, BTreeMap<&'static str, u64>> {
        let counts = SYSTEMS.iter().filter_map(|system| Some((*system, self.station(system)?.fault_counts().clone())));
        counts.filter(|(_, counts)| !counts.is_empty()).collect()
    }

    /// Generates the next order and places it.
    pub fn place_next(&mut self, now: i64) -> Expectation {
        let (order, expectation) = self.generator.next(now);
        self.place(order, now).expect("the generator numbers orders once and uses the catalog's sites");
        expectation
    }

    /// Generates the next order without placing it.
    pub fn generate(&mut self, now: i64) -> (OrderJson, Expectation) {
        self.generator.next(now)
    }

    /// Places a generated order, after its checkout.
    pub fn place(&mut self, order: OrderJson, now: i64) -> Result<(), String> {
        self.check_out(&order, now)?;
        self.place_order(order.json, now)
    }

    /// What happens at checkout before there is an order: its gift card is loaded and its card authorised.
    pub fn check_out(&mut self, order: &OrderJson, now: i64) -> Result<(), String> {
        let scope = Scope { channel: self.channel.clone(), site: Arc::from(order.site), order: Arc::from(order.number.as_str()) };
        if let Some((token, amount)) = &order.gift_card {
            self.giftcard.act(now, |office, context| office.role.load_card(token, *amount, order.currency, context));
        }
        if let Some(amount) = order.card {
            self.payment.act(now, |stripe, context| stripe.seed_intent(&scope, amount, order.currency, context))?;
        }
        Ok(())
    }

    /// Places an order document as it is.
    pub fn place_order(&mut self, order: Json, now: i64) -> Result<(), String> {
        self.storefront.act(now, |storefront, context| storefront.place_order(order, context))
    }
}
