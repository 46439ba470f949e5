//! `markets/*.yaml`: groups of sites with one currency, time zone and policy, and the policy of one order.

use crate::{
    fault::Faults,
    nearest::nearest,
    read::{Section, list, text, valid, word},
    source::Spot,
    terms::{self, Layers, SECTIONS, Terms, When},
    world::World,
    yaml::{Data, Key, Node},
};
use crossdock_canonical::{ChannelId, Currency, MarketId, SiteId, SystemName, order::Taxation};
use crossdock_flows::policy::{FulfilmentPolicy, Policy};
use crossdock_value::{RunError, Value};
use std::{collections::BTreeMap, sync::Arc};

/// A market: what is the same for all orders of its sites, and the policy that depends on the order.
#[derive(Clone, Debug)]
pub struct Market {
    pub id: MarketId,
    pub sites: Vec<(ChannelId, SiteId)>,
    pub currency: Currency,
    pub taxation: Taxation,
    /// IANA name.
    pub time_zone: Arc<str>,
    /// BCP 47 tag for messages to customers whose order names none.
    pub locale: Option<Arc<str>>,
    terms: Arc<Terms>,
}

/// Why an order has no policy in its market.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error(
        "the order is in {given}, the market {market} in {expected}; correct the site's market in the landscape or the channel's currency"
    )]
    Currency { market: MarketId, expected: Currency, given: String },
    #[error("the order's prices are {given}, those of the market {market} {expected}")]
    Taxation { market: MarketId, expected: &'static str, given: String },
    #[error("the condition at {place} cannot be decided for this order: {error}")]
    Condition { place: Arc<str>, error: RunError },
}

/// The policies of a landscape, by name, as written.
pub(crate) type Fragments<'n> = BTreeMap<&'n str, &'n [(Key, Node)]>;

impl Market {
    /// The flat policy of one order: every condition answered over the canonical order.
    pub fn policy(&self, order: &Value) -> Result<Policy, PolicyError> {
        let terms = &*self.terms;
        self.fits(order)?;
        Ok(Policy {
            market: self.id.clone(),
            time_zone: self.time_zone.to_string(),
            storefront: terms.storefront.clone(),
            fraud: chosen(terms.fraud.as_ref(), order)?,
            tax: chosen(terms.tax.as_ref(), order)?,
            payment: terms.payment.clone(),
            inventory: terms.inventory.clone(),
            erp: terms.erp.clone(),
            fulfilment: self.fulfilment(order)?,
            notification: terms.notification.clone(),
            validation: terms.validation.clone(),
            refusals: terms.refusals,
        })
    }

    /// Every system an order of this market can reach, in no particular order and perhaps more than once.
    pub fn systems(&self) -> Vec<&SystemName> {
        let terms = &*self.terms;
        let mut systems = vec![&terms.storefront.system];
        systems.extend(terms.fraud.iter().map(|fraud| &fraud.then.system));
        systems.extend(terms.tax.iter().map(|tax| &tax.then.system));
        systems.extend(terms.payment.methods.values().filter_map(|tender| tender.system.as_ref()));
        systems.extend(&terms.inventory.system);
        systems.extend(terms.erp.iter().map(|erp| &erp.system));
        if let Some(fulfilment) = &terms.fulfilment {
            systems.extend(fulfilment.rules.iter().map(|rule| &rule.then));
            systems.extend(fulfilment.stores.values());
        }
        systems.extend(terms.notification.iter().map(|notification| &notification.system));
        systems
    }

    fn fits(&self, order: &Value) -> Result<(), PolicyError> {
        let given = |name: &str| order.get(name).as_str().unwrap_or("none").chars().take(16).collect::<String>();
        let currency = given("currency");
        if currency != self.currency.as_str() {
            return Err(PolicyError::Currency { market: self.id.clone(), expected: self.currency, given: currency });
        }
        let (taxation, expected) = (given("taxation"), taxation_name(self.taxation));
        if taxation != expected {
            return Err(PolicyError::Taxation { market: self.id.clone(), expected, given: taxation });
        }
        Ok(())
    }

    fn fulfilment(&self, order: &Value) -> Result<Option<FulfilmentPolicy>, PolicyError> {
        let Some(fulfilment) = &self.terms.fulfilment else { return Ok(None) };
        for rule in &fulfilment.rules {
            if let Some(system) = chosen(Some(rule), order)? {
                let (stores, deadline, ship_within) = (fulfilment.stores.clone(), fulfilment.deadline, fulfilment.ship_within);
                return Ok(Some(FulfilmentPolicy { system, stores, deadline, ship_within }));
            }
        }
        // The last rule has no condition; the loader saw to it.
        Ok(None)
    }
}

fn chosen<T: Clone>(part: Option<&When<T>>, order: &Value) -> Result<Option<T>, PolicyError> {
    let Some(part) = part else { return Ok(None) };
    let holds = match &part.when {
        None => true,
        Some(condition) => {
            condition.holds(order).map_err(|error| PolicyError::Condition { place: condition.place.clone(), error })?
        }
    };
    Ok(holds.then(|| part.then.clone()))
}

fn taxation_name(taxation: Taxation) -> &'static str {
    match taxation {
        Taxation::Gross => "gross",
        Taxation::Net => "net",
    }
}

/// Sites and the market that has them, to find one that is in two.
pub(crate) type Sites = BTreeMap<(String, String), (MarketId, Spot)>;

/// Reads one market's own keys, for others to refer to; `None` when its time zone cannot be read.
pub(crate) fn time_zone_of(root: Option<&Node>) -> Option<String> {
    let name = root?.entry("time_zone")?.text()?;
    jiff::tz::TimeZone::get(name).is_ok().then(|| name.to_string())
}

/// Reads one file. The market's id is the file's name.
pub(crate) fn read(
    name: &str,
    root: &Node,
    fragments: &Fragments<'_>,
    used: &mut Vec<String>,
    sites: &mut Sites,
    world: &World,
    faults: &mut Faults,
) -> Option<Market> {
    let Data::Map(entries) = &root.data else {
        crate::read::wrong_type(root, "a section of keys", faults);
        return None;
    };
    let id = MarketId::new(name);
    let head = entries.first().map_or(root.spot, |(key, _)| key.spot);
    let mut section = Section::of("a market", head, entries.iter().map(|(key, node)| (key, node)).collect());
    let own_sites = section.need("sites", faults, |node, faults| read_sites(node, &id, sites, faults));
    let currency = section.need("currency", faults, currency);
    let taxation = section.need("taxation", faults, word(&[("gross", Taxation::Gross), ("net", Taxation::Net)]));
    let time_zone = section.need("time_zone", faults, time_zone);
    let locale = section.get("locale", faults, locale);
    let policies = section.get("policies", faults, list(|node, faults| policy_name(node, fragments, faults)));
    for name in SECTIONS {
        section.entry(name);
    }
    section.close(faults);

    let mut named = Vec::new();
    for policy in policies.unwrap_or_default() {
        if let Some((name, entries)) = fragments.get_key_value(&*policy) {
            used.push((*name).to_owned());
            named.push((*name, *entries));
        }
    }
    named.sort_by_key(|(name, _)| *name);
    named.dedup_by_key(|(name, _)| *name);
    let layers = Layers { market: entries, policies: named, spot: head };
    let terms = terms::read(&layers, currency, world, faults);
    Some(Market {
        id,
        sites: own_sites?,
        currency: currency?,
        taxation: taxation?,
        time_zone: time_zone?,
        locale,
        terms: Arc::new(terms?),
    })
}

fn policy_name(node: &Node, fragments: &Fragments<'_>, faults: &mut Faults) -> Option<Arc<str>> {
    let name = text(node, faults)?;
    if !fragments.contains_key(&*name) {
        let hint = valid(&name, fragments.keys().copied());
        faults.add(node.spot, "unknown_policy", format!("there is no policy `{name}` in policies/")).suggest(hint);
        return None;
    }
    Some(name)
}

fn read_sites(node: &Node, market: &MarketId, sites: &mut Sites, faults: &mut Faults) -> Option<Vec<(ChannelId, SiteId)>> {
    let mut own = Vec::new();
    let given = list(|node, faults| Some((node.spot, text(node, faults)?)))(node, faults)?;
    if given.is_empty() {
        faults.add(node.spot, "missing_key", "a market needs at least one site");
        return None;
    }
    for (spot, name) in given {
        let Some((channel, site)) = name.split_once('/').filter(|(c, s)| !c.is_empty() && !s.is_empty() && !s.contains('/'))
        else {
            faults
                .add(spot, "bad_site", format!("`{name}` is not a site"))
                .suggest(Some("write channel/site, such as sfcc/RefArch-DE"));
            continue;
        };
        let key = (channel.to_owned(), site.to_owned());
        if let Some((other, place)) = sites.get(&key) {
            let message = match other == market {
                true => format!("the site `{name}` is listed twice"),
                false => format!("the site `{name}` is in the market `{other}` too ({})", faults.place(*place)),
            };
            faults.add(spot, "site_twice", message);
            continue;
        }
        sites.insert(key, (market.clone(), spot));
        own.push((ChannelId::new(channel), SiteId::new(site)));
    }
    Some(own)
}

fn currency(node: &Node, faults: &mut Faults) -> Option<Currency> {
    let given = text(node, faults)?;
    if !CURRENCIES.contains(&&*given) {
        let hint = nearest(&given, CURRENCIES.iter().copied()).map(|code| format!("did you mean `{code}`?"));
        let upper = given.to_ascii_uppercase();
        let hint = CURRENCIES.iter().find(|code| **code == upper).map(|code| format!("did you mean `{code}`?")).or(hint);
        faults.add(node.spot, "bad_currency", format!("`{given}` is not the ISO 4217 code of a currency")).suggest(hint);
        return None;
    }
    given.parse().ok()
}

/// Currencies in use (ISO 4217, list one), without funds, metals and test codes.
#[rustfmt::skip]
const CURRENCIES: &[&str] = &[
    "AED", "AFN", "ALL", "AMD", "AOA", "ARS", "AUD", "AWG", "AZN", "BAM", "BBD", "BDT", "BGN", "BHD", "BIF", "BMD", "BND", "BOB", "BRL", "BSD",
    "BTN", "BWP", "BYN", "BZD", "CAD", "CDF", "CHF", "CLP", "CNY", "COP", "CRC", "CUP", "CVE", "CZK", "DJF", "DKK", "DOP", "DZD", "EGP", "ERN",
    "ETB", "EUR", "FJD", "FKP", "GBP", "GEL", "GHS", "GIP", "GMD", "GNF", "GTQ", "GYD", "HKD", "HNL", "HTG", "HUF", "IDR", "ILS", "INR", "IQD",
    "IRR", "ISK", "JMD", "JOD", "JPY", "KES", "KGS", "KHR", "KMF", "KPW", "KRW", "KWD", "KYD", "KZT", "LAK", "LBP", "LKR", "LRD", "LSL", "LYD",
    "MAD", "MDL", "MGA", "MKD", "MMK", "MNT", "MOP", "MRU", "MUR", "MVR", "MWK", "MXN", "MYR", "MZN", "NAD", "NGN", "NIO", "NOK", "NPR", "NZD",
    "OMR", "PAB", "PEN", "PGK", "PHP", "PKR", "PLN", "PYG", "QAR", "RON", "RSD", "RUB", "RWF", "SAR", "SBD", "SCR", "SDG", "SEK", "SGD", "SHP",
    "SLE", "SOS", "SRD", "SSP", "STN", "SVC", "SYP", "SZL", "THB", "TJS", "TMT", "TND", "TOP", "TRY", "TTD", "TWD", "TZS", "UAH", "UGX", "USD",
    "UYU", "UZS", "VED", "VES", "VND", "VUV", "WST", "XAF", "XCD", "XCG", "XOF", "XPF", "YER", "ZAR", "ZMW", "ZWG",
];

/// A zone of the tz database; also used by schedules.
pub(crate) fn time_zone(node: &Node, faults: &mut Faults) -> Option<Arc<str>> {
    let given = text(node, faults)?;
    if jiff::tz::TimeZone::get(&given).is_err() {
        let names: Vec<String> = jiff::tz::db().available().map(|name| name.as_str().to_owned()).collect();
        let hint = nearest(&given, names.iter().map(String::as_str)).map(|name| format!("did you mean `{name}`?"));
        faults.add(node.spot, "bad_time_zone", format!("`{given}` is not a time zone of the tz database")).suggest(hint);
        return None;
    }
    Some(given)
}

/// `de`, `de-DE`, `zh-Hant-TW`: the shape of a tag, not a list of languages.
fn locale(node: &Node, faults: &mut Faults) -> Option<Arc<str>> {
    let given = text(node, faults)?;
    let mut parts = given.split('-');
    let language = parts.next().is_some_and(|p| matches!(p.len(), 2 | 3) && p.bytes().all(|b| b.is_ascii_lowercase()));
    if !language || !parts.all(|p| (2..=8).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_alphanumeric())) {
        let hint = given.replace('_', "-");
        let found = faults.add(node.spot, "bad_locale", format!("`{given}` is not a language tag"));
        found.suggest((hint != *given).then(|| format!("did you mean `{hint}`?")));
        return None;
    }
    Some(given)
}
