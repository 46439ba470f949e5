//! Failed attempts, counted by name and by address. Successes cost nothing, so nobody is locked out by his own work; and a
//! stranger who guesses a name slows that name only from his own address and, after many tries, for a short while.

use crossdock_canonical::{Duration, Timestamp};
use std::{collections::HashMap, net::IpAddr, sync::Mutex};

/// Failures within the window after which further attempts wait.
const PER_NAME_AND_ADDRESS: u32 = 5;
const PER_ADDRESS: u32 = 50;
const PER_NAME: u32 = 50;
const WINDOW: Duration = Duration::minutes(5);
/// Rows kept at most; beyond it the older ones go.
const ROWS_MAX: usize = 10_000;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Counted {
    Pair(String, IpAddr),
    Address(IpAddr),
    Name(String),
}

#[derive(Debug)]
struct Row {
    since: Timestamp,
    failures: u32,
}

#[derive(Debug, Default)]
pub struct Throttle {
    rows: Mutex<HashMap<Counted, Row>>,
}

impl Throttle {
    /// Whether an attempt may be made; otherwise after how many seconds.
    pub fn admit(&self, name: &str, address: IpAddr, now: Timestamp) -> Result<(), u64> {
        let rows = self.rows.lock().expect("no panic happens under this lock");
        let waits = counted(name, address).into_iter().filter_map(|(key, max)| {
            let row = rows.get(&key)?;
            let left = row.since + WINDOW - now;
            (row.failures >= max && left.0 > 0).then_some((left.0 + 999) / 1_000)
        });
        match waits.max() {
            None => Ok(()),
            Some(seconds) => Err(u64::try_from(seconds).unwrap_or(1)),
        }
    }

    pub fn failed(&self, name: &str, address: IpAddr, now: Timestamp) {
        let mut rows = self.rows.lock().expect("no panic happens under this lock");
        for (key, _) in counted(name, address) {
            let row = rows.entry(key).or_insert(Row { since: now, failures: 0 });
            if row.since + WINDOW <= now {
                *row = Row { since: now, failures: 0 };
            }
            row.failures = row.failures.saturating_add(1);
        }
        if rows.len() > ROWS_MAX {
            rows.retain(|_, row| row.since + WINDOW > now);
            if rows.len() > ROWS_MAX {
                // The older half, at once: searching for the oldest on every failure would itself be a way to keep us busy.
                let mut ages: Vec<Timestamp> = rows.values().map(|row| row.since).collect();
                let (_, middle, _) = ages.select_nth_unstable(ROWS_MAX / 2);
                let middle = *middle;
                rows.retain(|_, row| row.since > middle);
            }
        }
    }

    /// A success ends the count of this name from this address.
    pub fn succeeded(&self, name: &str, address: IpAddr) {
        self.rows.lock().expect("no panic happens under this lock").remove(&Counted::Pair(cut(name), address));
    }
}

fn counted(name: &str, address: IpAddr) -> [(Counted, u32); 3] {
    [
        (Counted::Pair(cut(name), address), PER_NAME_AND_ADDRESS),
        (Counted::Address(address), PER_ADDRESS),
        (Counted::Name(cut(name)), PER_NAME),
    ]
}

fn cut(name: &str) -> String {
    name.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn address(last: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, last])
    }

    #[test]
    fn five_failures_from_one_address_make_that_name_wait_there_only() {
        let throttle = Throttle::default();
        for _ in 0..5 {
            assert_eq!(throttle.admit("anna", address(1), NOW), Ok(()));
            throttle.failed("anna", address(1), NOW);
        }
        assert_eq!(throttle.admit("anna", address(1), NOW), Err(300));
        assert_eq!(throttle.admit("anna", address(2), NOW), Ok(()));
        assert_eq!(throttle.admit("ben", address(1), NOW), Ok(()));
        assert_eq!(throttle.admit("anna", address(1), NOW + Duration::minutes(5)), Ok(()));
    }

    #[test]
    fn many_addresses_against_one_name_and_many_names_from_one_address_are_slowed_too() {
        let throttle = Throttle::default();
        for n in 0..50 {
            throttle.failed("anna", address(n), NOW);
            throttle.failed(&format!("name-{n}"), address(200), NOW);
        }
        assert!(throttle.admit("anna", address(99), NOW).is_err());
        assert!(throttle.admit("new", address(200), NOW).is_err());
    }

    #[test]
    fn a_success_clears_the_count() {
        let throttle = Throttle::default();
        (0..4).for_each(|_| throttle.failed("anna", address(1), NOW));
        throttle.succeeded("anna", address(1));
        (0..4).for_each(|_| throttle.failed("anna", address(1), NOW));
        assert_eq!(throttle.admit("anna", address(1), NOW), Ok(()));
    }

    #[test]
    fn ten_thousand_tries_from_everywhere_do_not_grow_memory() {
        let throttle = Throttle::default();
        for n in 0..12_000_u32 {
            throttle.failed(&format!("n{n}"), IpAddr::from(n.to_be_bytes()), NOW + Duration::millis(i64::from(n / 100)));
            if n % 4_000 == 0 {
                assert!(throttle.rows.lock().expect("free").len() <= ROWS_MAX);
            }
        }
        assert!(throttle.rows.lock().expect("free").len() <= ROWS_MAX);
    }
}
