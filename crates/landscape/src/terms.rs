//! The sections of a market's policy: laid over each other, read, and made into the flat policy of one order.
//!
//! A section's keys come from the market and from the policies it names. The market's own key wins; two policies that give the same
//! key of the same section are a fault, so that the order in which policies are named never matters.

use crate::{
    expr::{Condition, condition},
    fault::Faults,
    read::{Section, decimal, duration, list, text, truth, valid, word, wrong_type},
    shape::ORDER,
    source::Spot,
    world::World,
    yaml::{Data, Key, Node},
};
use crossdock_canonical::{Currency, Duration, Money, Role, SystemName};
use crossdock_flows::policy::{
    AuthorizedBy, CaptureWhen, ErpPolicy, FraudPolicy, InventoryPolicy, NotificationPolicy, PaymentPolicy, Refusal, Refusals,
    StockAuthority, StorefrontPolicy, TaxBasis, TaxPolicy, TenderPolicy, ValidationPolicy,
};
use rust_decimal::Decimal;
use std::collections::BTreeMap;

/// The sections a policy can have; a market has them too.
pub(crate) const SECTIONS: &[&str] =
    &["storefront", "fraud", "tax", "payment", "inventory", "erp", "fulfilment", "notification", "validation", "refusals"];

/// A market's policy before an order is known: what depends on the order is still a condition.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub storefront: StorefrontPolicy,
    pub fraud: Option<When<FraudPolicy>>,
    pub tax: Option<When<TaxPolicy>>,
    pub payment: PaymentPolicy,
    pub inventory: InventoryPolicy,
    pub erp: Option<ErpPolicy>,
    pub fulfilment: Option<Fulfilment>,
    pub notification: Option<NotificationPolicy>,
    pub validation: ValidationPolicy,
    pub refusals: Refusals,
}

/// Something that applies to the orders a condition holds for; without one, to all.
#[derive(Clone, Debug)]
pub(crate) struct When<T> {
    pub when: Option<Condition>,
    pub then: T,
}

#[derive(Clone, Debug)]
pub(crate) struct Fulfilment {
    /// The first that fits; the last has no condition.
    pub rules: Vec<When<SystemName>>,
    pub stores: BTreeMap<String, SystemName>,
    pub deadline: Duration,
    pub ship_within: Duration,
}

/// The sources of a market's sections.
pub(crate) struct Layers<'n> {
    pub market: &'n [(Key, Node)],
    /// The policies it names, in order, with their names.
    pub policies: Vec<(&'n str, &'n [(Key, Node)])>,
    /// Where a section that is nowhere is missed.
    pub spot: Spot,
}

const MINUTES_5: Duration = Duration::minutes(5);

/// Reads all sections. `None` when a fault leaves the policy without a part it cannot do without.
pub(crate) fn read(layers: &Layers<'_>, currency: Option<Currency>, world: &World, faults: &mut Faults) -> Option<Terms> {
    let storefront = layers.section("storefront", faults).and_then(|s| storefront(s?, world, faults));
    let fraud = layers.section("fraud", faults).flatten().map(|s| fraud(s, world, faults));
    let tax = layers.section("tax", faults).flatten().map(|s| tax(s, world, faults));
    let payment = layers.required("payment", faults).and_then(|s| payment(s, world, faults));
    let inventory = layers.required("inventory", faults).and_then(|s| inventory(s, world, faults));
    let erp = layers.section("erp", faults).flatten().map(|s| erp(s, currency, world, faults));
    let fulfilment = layers.section("fulfilment", faults).flatten().map(|s| fulfilment(s, world, faults));
    let notification = layers.section("notification", faults).flatten().map(|s| notification(s, world, faults));
    let validation = layers.section("validation", faults).flatten().map(|s| validation(s, faults));
    let refusals = layers.section("refusals", faults).flatten().map(|s| refusals(s, faults));
    let storefront = match storefront {
        Some(storefront) => Some(storefront),
        // The only section with nothing to say but its system.
        None if !layers.names("storefront") => world
            .only(&[Role::Storefront, Role::Marketplace], "storefront", layers.spot, faults)
            .map(|system| StorefrontPolicy { system, deadline: MINUTES_5, hub_state: true }),
        None => None,
    };
    Some(Terms {
        storefront: storefront?,
        fraud: whole(fraud)?,
        tax: whole(tax)?,
        payment: payment?,
        inventory: inventory?,
        erp: whole(erp)?,
        fulfilment: whole(fulfilment)?,
        notification: whole(notification)?,
        validation: whole(validation)?.unwrap_or_else(|| ValidationPolicy { regions: BTreeMap::new(), tolerance: Decimal::ZERO }),
        refusals: refusals.unwrap_or_default(),
    })
}

/// A section that is absent is fine; one that could not be read is not.
fn whole<T>(section: Option<Option<T>>) -> Option<Option<T>> {
    match section {
        None => Some(None),
        Some(None) => None,
        Some(read) => Some(read),
    }
}

impl<'n> Layers<'n> {
    fn names(&self, name: &str) -> bool {
        let layers = self.policies.iter().map(|(_, entries)| *entries).chain([self.market]);
        layers.flatten().any(|(key, _)| key.text == name)
    }

    fn required(&self, name: &'static str, faults: &mut Faults) -> Option<Section<'n>> {
        match self.section(name, faults) {
            Some(section) => section,
            None if self.names(name) => None,
            None => {
                faults.add(self.spot, "missing_key", format!("a market needs `{name}`, of its own or from a policy it names"));
                None
            }
        }
    }

    /// The section laid together: `None` when nobody gives it, `Some(None)` when it is switched off with `none`.
    fn section(&self, name: &'static str, faults: &mut Faults) -> Option<Option<Section<'n>>> {
        let own = self.market.iter().find(|(key, _)| key.text == name);
        if own.is_some_and(|(_, node)| node.text().is_some_and(|text| &**text == "none")) {
            return Some(None);
        }
        let mut entries: Vec<(&Key, &Node)> = Vec::new();
        let mut spot = None;
        if let Some((key, node)) = own {
            spot = Some(key.spot);
            entries.extend(open(node, faults)?);
        }
        let own_count = entries.len();
        for (policy, given) in &self.policies {
            let Some((key, node)) = given.iter().find(|(key, _)| key.text == name) else { continue };
            spot = spot.or(Some(key.spot));
            for (key, node) in open(node, faults)? {
                match entries.iter().position(|(held, _)| held.text == key.text) {
                    None => entries.push((key, node)),
                    Some(at) if at < own_count => {}
                    Some(at) => {
                        let other = faults.place(entries[at].0.spot);
                        let message = format!(
                            "`{name}.{}` of the policy `{policy}` is given at {other} too, by a policy the same market names",
                            key.text
                        );
                        faults
                            .add(key.spot, "policies_collide", message)
                            .suggest(Some("give it in one of them, or in the market"));
                    }
                }
            }
        }
        Some(Some(Section::of(name, spot?, entries)))
    }
}

/// The entries of a section; a key with nothing behind it is an empty one.
fn open<'n>(node: &'n Node, faults: &mut Faults) -> Option<Vec<(&'n Key, &'n Node)>> {
    match &node.data {
        Data::Map(entries) => Some(entries.iter().map(|(key, node)| (key, node)).collect()),
        Data::Null => Some(Vec::new()),
        _ => {
            wrong_type(node, "a section of keys, or `none`", faults);
            None
        }
    }
}

/// The section's `system`, or the only one with the role.
fn system(
    section: &mut Section<'_>,
    title: &'static str,
    roles: &[Role],
    world: &World,
    faults: &mut Faults,
) -> Option<SystemName> {
    match section.node("system") {
        Some(node) => world.system(roles)(node, faults),
        None => world.only(roles, title, section.spot, faults),
    }
}

fn when(section: &mut Section<'_>, faults: &mut Faults) -> Option<Option<Condition>> {
    match section.node("when") {
        Some(node) => condition("order", &ORDER)(node, faults).map(Some),
        None => Some(None),
    }
}

fn storefront(mut s: Section<'_>, world: &World, faults: &mut Faults) -> Option<StorefrontPolicy> {
    let system = system(&mut s, "storefront", &[Role::Storefront, Role::Marketplace], world, faults);
    let deadline = s.or("deadline", MINUTES_5, faults, duration);
    let hub_state = s.or("hub_state", true, faults, truth);
    s.close(faults);
    Some(StorefrontPolicy { system: system?, deadline, hub_state })
}

fn fraud(mut s: Section<'_>, world: &World, faults: &mut Faults) -> Option<When<FraudPolicy>> {
    let system = system(&mut s, "fraud", &[Role::Fraud], world, faults);
    let when = when(&mut s, faults);
    let deadline = s.or("deadline", MINUTES_5, faults, duration);
    let review_within = s.or("review_within", Duration::hours(24), faults, duration);
    s.close(faults);
    Some(When { when: when?, then: FraudPolicy { system: system?, deadline, review_within } })
}

fn tax(mut s: Section<'_>, world: &World, faults: &mut Faults) -> Option<When<TaxPolicy>> {
    let system = system(&mut s, "tax", &[Role::Tax], world, faults);
    let when = when(&mut s, faults);
    let basis = s.need("basis", faults, word(&[("as_sold", TaxBasis::AsSold), ("estimate", TaxBasis::Estimate)]));
    let tolerance = s.or("tolerance", Decimal::ZERO, faults, decimal);
    let deadline = s.or("deadline", MINUTES_5, faults, duration);
    s.close(faults);
    Some(When { when: when?, then: TaxPolicy { system: system?, deadline, basis: basis?, tolerance } })
}

fn payment(mut s: Section<'_>, world: &World, faults: &mut Faults) -> Option<PaymentPolicy> {
    let moments = [("shipment", CaptureWhen::Shipment), ("completion", CaptureWhen::Completion), ("accept", CaptureWhen::Accept)];
    let capture = s.need("capture", faults, word(&moments));
    let methods = s.need("methods", faults, |node, faults| {
        let entries = named(node, faults)?;
        let mut methods = BTreeMap::new();
        for (key, node) in entries {
            methods.insert(key.text.clone(), tender(node, key.spot, world, faults));
        }
        methods.into_iter().map(|(name, tender)| Some((name, tender?))).collect::<Option<BTreeMap<_, _>>>()
    });
    s.close(faults);
    Some(PaymentPolicy { methods: methods?, capture: capture? })
}

fn tender(node: &Node, spot: Spot, world: &World, faults: &mut Faults) -> Option<TenderPolicy> {
    let entries = open(node, faults)?;
    let mut s = Section::of("a payment method", spot, entries);
    // No system: nobody authorizes it. So the only payment system is not assumed here.
    let system = match s.node("system") {
        Some(node) => world.system(&[Role::Payment])(node, faults).map(Some),
        None => Some(None),
    };
    let authorizers = [("storefront", AuthorizedBy::Storefront), ("hub", AuthorizedBy::Hub)];
    let tender = TenderPolicy {
        system: None,
        authorized_by: s.or("authorized_by", AuthorizedBy::default(), faults, word(&authorizers)),
        multi_capture: s.or("multi_capture", false, faults, truth),
        reauthorize: s.or("reauthorize", false, faults, truth),
        auth_valid_for: s.or("auth_valid_for", Duration::days(7), faults, duration),
        sale_only: s.or("sale_only", false, faults, truth),
        deadline: s.or("deadline", MINUTES_5, faults, duration),
    };
    s.close(faults);
    Some(TenderPolicy { system: system?, ..tender })
}

fn inventory(mut s: Section<'_>, world: &World, faults: &mut Faults) -> Option<InventoryPolicy> {
    let authorities = [("hub", StockAuthority::Hub), ("oci", StockAuthority::Oci), ("storefront", StockAuthority::Storefront)];
    let authority = s.need("authority", faults, word(&authorities));
    let roles = [Role::Inventory];
    let system = match (s.node("system"), authority) {
        (Some(node), _) => world.system(&roles)(node, faults).map(Some),
        // The storefront reserved it; there is nobody to ask.
        (None, Some(StockAuthority::Storefront) | None) => Some(None),
        (None, Some(_)) => world.only(&roles, "inventory", s.spot, faults).map(Some),
    };
    let deadline = s.or("deadline", MINUTES_5, faults, duration);
    s.close(faults);
    Some(InventoryPolicy { authority: authority?, system: system?, deadline })
}

fn erp(mut s: Section<'_>, currency: Option<Currency>, world: &World, faults: &mut Faults) -> Option<ErpPolicy> {
    let system = system(&mut s, "erp", &[Role::Erp], world, faults);
    let tolerance = s.or("tolerance", Decimal::ZERO, faults, decimal);
    let posts = s.or("posts", true, faults, truth);
    let deadline = s.or("deadline", MINUTES_5, faults, duration);
    s.close(faults);
    Some(ErpPolicy { system: system?, deadline, tolerance: Money::new(tolerance, currency?), posts })
}

const FULFILS: &[Role] = &[Role::Wms, Role::Oms, Role::Store];

fn fulfilment(mut s: Section<'_>, world: &World, faults: &mut Faults) -> Option<Fulfilment> {
    let rules = match s.entry("rules") {
        Some((_, node)) => {
            if let Some((key, _)) = s.entry("system") {
                faults.add(key.spot, "unknown_key", "`system` and `rules` are two ways to say where shipments go; keep one");
            }
            rules(node, world, faults)
        }
        None => system(&mut s, "fulfilment", FULFILS, world, faults).map(|then| vec![When { when: None, then }]),
    };
    let stores = s.get("stores", faults, |node, faults| {
        let entries = named(node, faults)?;
        let read = entries.iter().map(|(key, node)| (key.text.clone(), world.system(&[Role::Store, Role::Wms])(node, faults)));
        read.collect::<Vec<_>>().into_iter().map(|(store, system)| Some((store, system?))).collect::<Option<BTreeMap<_, _>>>()
    });
    let deadline = s.or("deadline", MINUTES_5, faults, duration);
    let ship_within = s.or("ship_within", Duration::hours(24), faults, duration);
    s.close(faults);
    Some(Fulfilment { rules: rules?, stores: stores.unwrap_or_default(), deadline, ship_within })
}

fn rules(node: &Node, world: &World, faults: &mut Faults) -> Option<Vec<When<SystemName>>> {
    let Data::List(items) = &node.data else {
        wrong_type(node, "a list of rules", faults);
        return None;
    };
    let mut rules = Vec::with_capacity(items.len());
    let mut last = None;
    for item in items {
        if let Some(default) = last {
            let place = faults.place(default);
            faults.add(item.spot, "unreachable_rule", format!("this rule is never reached: the one at {place} has no `when`"));
        }
        let Some(mut s) = Section::open("a rule", item, faults) else {
            rules.push(None);
            continue;
        };
        let has_condition = s.node("when").is_some();
        let when = when(&mut s, faults);
        let system = s.need("system", faults, world.system(FULFILS));
        s.close(faults);
        if !has_condition {
            last = Some(item.spot);
        }
        rules.push(when.zip(system).map(|(when, then)| When { when, then }));
    }
    if last.is_none() {
        let found = faults.add(node.spot, "no_default_rule", "an order that fits no rule would have nowhere to go");
        found.suggest(Some("end with a rule without `when`"));
        return None;
    }
    rules.into_iter().collect()
}

fn notification(mut s: Section<'_>, world: &World, faults: &mut Faults) -> Option<NotificationPolicy> {
    let system = system(&mut s, "notification", &[Role::Notification], world, faults);
    let deadline = s.or("deadline", MINUTES_5, faults, duration);
    s.close(faults);
    Some(NotificationPolicy { system: system?, deadline })
}

fn validation(mut s: Section<'_>, faults: &mut Faults) -> Option<ValidationPolicy> {
    let tolerance = s.or("tolerance", Decimal::ZERO, faults, decimal);
    let regions = s.get("regions", faults, |node, faults| {
        let mut regions = BTreeMap::new();
        for (key, node) in named(node, faults)? {
            if !(key.text.len() == 2 && key.text.bytes().all(|b| b.is_ascii_uppercase())) {
                let found = faults.add(key.spot, "bad_country", format!("`{}` is not a country code", key.text));
                let upper = key.text.to_ascii_uppercase();
                found.suggest(valid(&key.text, [upper.as_str()].into_iter().filter(|code| code.len() == 2)));
            }
            let codes = list(text)(node, faults)?;
            regions.insert(key.text.clone(), codes.iter().map(|code| code.to_string()).collect());
        }
        Some(regions)
    });
    s.close(faults);
    Some(ValidationPolicy { regions: regions.unwrap_or_default(), tolerance })
}

fn refusals(mut s: Section<'_>, faults: &mut Faults) -> Refusals {
    let answers = [("cancel", Refusal::Cancel), ("park", Refusal::Park)];
    let default = Refusals::default();
    let refusals = Refusals {
        out_of_stock: s.or("out_of_stock", default.out_of_stock, faults, word(&answers)),
        short: s.or("short", default.short, faults, word(&answers)),
        payment: s.or("payment", default.payment, faults, word(&answers)),
        erp: s.or("erp", default.erp, faults, word(&answers)),
    };
    s.close(faults);
    refusals
}

/// The entries of a section whose keys are names of the retailer's own.
pub(crate) fn named<'n>(node: &'n Node, faults: &mut Faults) -> Option<&'n [(Key, Node)]> {
    match &node.data {
        Data::Map(entries) => Some(entries),
        _ => {
            wrong_type(node, "a section of names", faults);
            None
        }
    }
}
