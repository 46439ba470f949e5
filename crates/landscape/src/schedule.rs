//! `schedules.yaml`: what is done at its time, each occurrence once over all nodes.

use crate::{
    fault::Faults,
    market::time_zone,
    read::{Section, duration, text, valid, word},
    terms::named,
    world::World,
    yaml::Node,
};
use croner::Cron;
use crossdock_canonical::{Duration, MarketId, SystemName, Timestamp};
use jiff::tz::TimeZone;
use std::{str::FromStr, sync::Arc};

/// One job and its times.
#[derive(Clone, Debug)]
pub struct Schedule {
    pub name: Arc<str>,
    pub job: Job,
    /// The system it concerns; absent for all.
    pub system: Option<SystemName>,
    /// The market it concerns; absent for all.
    pub market: Option<MarketId>,
    pub missed: Missed,
    times: Times,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// Ask a system for news from the cursor on.
    Poll,
    /// Look for orders that a poll can have missed (the platform's `ready`).
    Sweep,
    /// Compare every open process with its systems.
    Reconcile,
}

/// What becomes of occurrences that passed while no hub ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// One run makes up for all of them.
    Once,
    Skip,
}

#[derive(Clone, Debug)]
enum Times {
    Every(Duration),
    Cron { cron: Arc<Cron>, zone: TimeZone },
}

impl Schedule {
    /// The first time after `at`. Intervals count from the epoch, so that every node has the same ones.
    pub fn next_after(&self, at: Timestamp) -> Option<Timestamp> {
        match &self.times {
            Times::Every(interval) => Some(Timestamp(at.0.div_euclid(interval.0).checked_add(1)?.checked_mul(interval.0)?)),
            Times::Cron { cron, zone } => {
                let from = jiff::Timestamp::from_millisecond(at.0).ok()?.to_zoned(zone.clone());
                let next = cron.find_next_occurrence(&from, false).ok()?;
                Some(Timestamp(next.timestamp().as_millisecond()))
            }
        }
    }
}

pub(crate) fn read(root: &Node, world: &World, faults: &mut Faults) -> Vec<Schedule> {
    let entries = named(root, faults).unwrap_or_default();
    entries.iter().filter_map(|(key, node)| schedule(&key.text, node, world, faults)).collect()
}

fn schedule(name: &str, node: &Node, world: &World, faults: &mut Faults) -> Option<Schedule> {
    let mut section = Section::open("a schedule", node, faults)?;
    let jobs = [("poll", Job::Poll), ("sweep", Job::Sweep), ("reconcile", Job::Reconcile)];
    let job = section.need("job", faults, word(&jobs));
    let system = match (section.node("system"), job) {
        (Some(node), _) => world.system(&[])(node, faults).map(Some),
        (None, Some(Job::Poll | Job::Sweep)) => {
            faults.add(section.spot, "missing_key", "a poll or a sweep needs `system`");
            None
        }
        (None, _) => Some(None),
    };
    let market = match section.node("market") {
        Some(node) => market(node, world, faults).map(Some),
        None => Some(None),
    };
    let missed = section.or("missed", Missed::Once, faults, word(&[("once", Missed::Once), ("skip", Missed::Skip)]));
    let times = times(&mut section, market.as_ref().and_then(Option::as_ref), world, faults);
    section.close(faults);
    Some(Schedule { name: name.into(), job: job?, system: system?, market: market?, missed, times: times? })
}

fn market(node: &Node, world: &World, faults: &mut Faults) -> Option<MarketId> {
    let name = text(node, faults)?;
    if !world.markets.contains_key(&*name) {
        let hint = valid(&name, world.markets.keys().map(String::as_str));
        faults.add(node.spot, "unknown_market", format!("there is no market `{name}` in markets/")).suggest(hint);
        return None;
    }
    Some(MarketId::new(&*name))
}

/// `every`, or `cron` in the market's zone or in one of its own.
fn times(section: &mut Section<'_>, market: Option<&MarketId>, world: &World, faults: &mut Faults) -> Option<Times> {
    let (every, cron, zone) = (section.entry("every"), section.entry("cron"), section.entry("time_zone"));
    match (every, cron) {
        (Some((_, node)), None) => {
            if let Some((key, _)) = zone {
                faults.add(key.spot, "unknown_key", "an interval has no `time_zone`; only `cron` has one");
            }
            duration(node, faults).map(Times::Every)
        }
        (None, Some((key, node))) => {
            let pattern = cron_pattern(node, faults);
            let zone = match (zone, market) {
                (Some((_, node)), _) => time_zone(node, faults),
                (None, Some(market)) => world.markets.get(market.as_str()).and_then(Option::as_deref).map(Arc::from),
                (None, None) => {
                    let found =
                        faults.add(key.spot, "missing_key", "`cron` needs `market` or `time_zone`: an hour is of some place");
                    found.suggest(Some("add `time_zone: UTC` or a market"));
                    None
                }
            };
            let zone = TimeZone::get(&zone?).ok()?;
            Some(Times::Cron { cron: pattern?, zone })
        }
        (Some(_), Some((key, _))) => {
            faults.add(key.spot, "unknown_key", "a schedule has `every` or `cron`, not both");
            None
        }
        (None, None) => {
            faults.add(section.spot, "missing_key", "a schedule needs `every` or `cron`");
            None
        }
    }
}

fn cron_pattern(node: &Node, faults: &mut Faults) -> Option<Arc<Cron>> {
    let given = text(node, faults)?;
    match Cron::from_str(&given) {
        Ok(cron) => Some(Arc::new(cron)),
        Err(error) => {
            let found = faults.add(node.spot, "bad_cron", format!("`{given}` is not a cron pattern: {error}"));
            found.suggest(Some("write minute hour day month weekday, such as `0 3 * * *`"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    #[test]
    fn a_skipped_hour_runs_late_and_a_doubled_one_runs_once() {
        let mut faults = Faults::default();
        let text = "nightly:\n  job: reconcile\n  cron: '30 2 * * *'\n  time_zone: Europe/Berlin\n";
        let file = faults.file("schedules.yaml", text);
        let root = yaml::parse(file, text, &mut faults).expect("it is YAML");
        let schedules = read(&root, &World::default(), &mut faults);
        let mut at = Timestamp::parse("2026-03-28T12:00:00Z").expect("an instant");
        let mut next = |from: Option<&str>| {
            at = from.map_or(at, |text| Timestamp::parse(text).expect("an instant"));
            at = schedules[0].next_after(at).expect("there is always a next night");
            at.to_string()
        };
        // On 29 March the clock goes from 2:00 to 3:00.
        assert_eq!(next(None), "2026-03-29T01:00:00.000Z");
        assert_eq!(next(None), "2026-03-30T00:30:00.000Z");
        // On 25 October 2:30 comes at 0:30 and at 1:30 UTC.
        assert_eq!(next(Some("2026-10-24T12:00:00Z")), "2026-10-25T00:30:00.000Z");
        assert_eq!(next(None), "2026-10-26T01:30:00.000Z");
    }
}
