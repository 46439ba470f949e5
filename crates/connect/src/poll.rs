//! Polling a list that changes while it is read: ascending by the time of last change, from an inclusive watermark.
//!
//! Every page is asked at offset 0 from the last row's time on, so rows that move to the end while we read are met again there.
//! Only while a whole page shares one time does the offset rise; it then overlaps by the last row seen, the *anchor*, so that a
//! set that shrinks under the offset is noticed and read again from its start. Rows at the watermark itself are seen at every
//! poll, so whoever takes them names each by its version: the record, its time of change, and what it holds. A repeat is then
//! dropped, while a record that goes from A to B and back to A is told three times.

use crossdock_canonical::{Duration, Timestamp};
use serde::{Deserialize, Serialize};

/// How often a set that keeps shrinking under the offset is begun again before the rest is left to the sweep.
const RESTARTS_MAX: u32 = 8;

/// Where the reading of one list stands. Serialized into the connector's cursor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermark {
    /// Rows changed at this time or later are still to be read.
    pub from: Timestamp,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub offset: u32,
    /// The row that must come first at `offset`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<String>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub restarts: u32,
}

/// One row of a page, as far as paging cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub id: String,
    pub changed: Timestamp,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl Watermark {
    pub fn new(from: Timestamp) -> Self {
        Self { from, offset: 0, anchor: None, restarts: 0 }
    }

    /// The watermark set back by `overlap`, for a pass over what may have become visible late.
    pub fn back(&self, overlap: Duration) -> Self {
        Self::new(self.from - overlap)
    }

    /// Takes a page that was asked at `self` with `limit`, and says where to read next and whether more is waiting.
    pub fn advance(&self, page: &[Row], limit: u32) -> (Self, bool) {
        let (Some(first), Some(last)) = (page.first(), page.last()) else {
            return match self.offset {
                // The set shrank below the anchor: whether something moved in front of it is not known.
                1.. if self.anchor.is_some() => self.restart(),
                _ => (Self::new(self.from), false),
            };
        };
        if self.anchor.as_ref().is_some_and(|anchor| *anchor != first.id) {
            return self.restart();
        }
        let full = page.len() as u64 >= u64::from(limit);
        let at = last.changed.max(self.from);
        match (full, at > self.from) {
            (false, _) => (Self::new(at), false),
            (true, true) => (Self::new(at), true),
            (true, false) => {
                // At least one row further, or a limit of one would never move.
                let step = u32::try_from(page.len()).unwrap_or(limit).saturating_sub(1).max(1);
                let anchor = (page.len() > 1).then(|| last.id.clone());
                (Self { from: self.from, offset: self.offset.saturating_add(step), anchor, restarts: self.restarts }, true)
            }
        }
    }

    fn restart(&self) -> (Self, bool) {
        if self.restarts >= RESTARTS_MAX {
            // Step over this instant; the separate sweep finds what was missed.
            return (Self::new(Timestamp(self.from.0 + 1)), true);
        }
        (Self { restarts: self.restarts + 1, ..Self::new(self.from) }, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// A list at the system: answers a page as the platform would.
    struct List(Vec<Row>);

    impl List {
        fn new(rows: &[(&str, i64)]) -> Self {
            Self(rows.iter().map(|(id, at)| Row { id: (*id).into(), changed: Timestamp(*at) }).collect())
        }
        fn page(&self, at: &Watermark, limit: u32) -> Vec<Row> {
            let mut rows: Vec<_> = self.0.iter().filter(|row| row.changed >= at.from).cloned().collect();
            rows.sort_by(|l, r| (l.changed, &l.id).cmp(&(r.changed, &r.id)));
            rows.into_iter().skip(at.offset as usize).take(limit as usize).collect()
        }
        fn touch(&mut self, id: &str, at: i64) {
            self.0.iter_mut().find(|row| row.id == id).expect("known").changed = Timestamp(at);
        }
    }

    /// Reads to the end, calling `between` after every page; returns each observation in turn.
    fn read(list: &mut List, at: &mut Watermark, limit: u32, mut between: impl FnMut(&mut List, usize)) -> Vec<(String, i64)> {
        let mut seen = Vec::new();
        for n in 0..500 {
            let page = list.page(at, limit);
            seen.extend(page.iter().map(|row| (row.id.clone(), row.changed.0)));
            let (next, more) = at.advance(&page, limit);
            *at = next;
            if !more {
                return seen;
            }
            between(list, n);
        }
        panic!("the poll does not end: {at:?}");
    }

    fn ids(seen: &[(String, i64)]) -> BTreeSet<&str> {
        seen.iter().map(|(id, _)| id.as_str()).collect()
    }

    #[test]
    fn the_watermark_is_inclusive() {
        let mut list = List::new(&[("a", 10), ("b", 20)]);
        let mut at = Watermark::new(Timestamp(0));
        assert_eq!(ids(&read(&mut list, &mut at, 10, |_, _| {})), BTreeSet::from(["a", "b"]));
        list.0.push(Row { id: "c".into(), changed: Timestamp(20) });
        assert_eq!(
            ids(&read(&mut list, &mut at, 10, |_, _| {})),
            BTreeSet::from(["b", "c"]),
            "c came at the very time of the watermark"
        );
    }

    #[test]
    fn a_record_that_goes_from_a_to_b_and_back_is_observed_each_time() {
        let mut list = List::new(&[("a", 10)]);
        let mut at = Watermark::new(Timestamp(0));
        let mut observed = read(&mut list, &mut at, 10, |_, _| {});
        for time in [11, 12] {
            list.touch("a", time);
            observed.extend(read(&mut list, &mut at, 10, |_, _| {}));
        }
        assert_eq!(observed, [("a".into(), 10), ("a".into(), 11), ("a".into(), 12)]);
    }

    #[test]
    fn rows_that_move_to_the_end_while_paging_are_not_skipped() {
        let rows: Vec<(String, i64)> = (0..40).map(|n| (format!("r{n:02}"), 100 + n)).collect();
        let mut list = List(rows.iter().map(|(id, at)| Row { id: id.clone(), changed: Timestamp(*at) }).collect());
        let mut at = Watermark::new(Timestamp(0));
        // Writing back touches every row that was just read: it leaves its place and all after it move up.
        let seen = read(&mut list, &mut at, 7, |list, n| {
            for id in 0..7 {
                let id = format!("r{:02}", (n * 6 + id) % 40);
                if n < 6 {
                    list.touch(&id, 1_000 + n as i64 * 10);
                }
            }
        });
        assert_eq!(ids(&seen).len(), 40);
    }

    #[test]
    fn a_whole_page_of_one_time_is_paged_by_offset() {
        for limit in [1, 2, 5, 12, 13] {
            let rows: Vec<(String, i64)> = (0..12).map(|n| (format!("r{n:02}"), 7)).chain([("z".into(), 9)]).collect();
            let mut list = List(rows.iter().map(|(id, at)| Row { id: id.clone(), changed: Timestamp(*at) }).collect());
            let mut at = Watermark::new(Timestamp(0));
            let seen = read(&mut list, &mut at, limit, |_, _| {});
            assert_eq!(ids(&seen).len(), 13, "limit {limit}");
            assert_eq!(at, Watermark::new(Timestamp(9)), "limit {limit}");
        }
    }

    #[test]
    fn a_set_that_shrinks_under_the_offset_is_read_again() {
        let rows: Vec<Row> = (0..20).map(|n| Row { id: format!("r{n:02}"), changed: Timestamp(7) }).collect();
        let mut list = List(rows);
        let mut at = Watermark::new(Timestamp(7));
        let mut exported = 0;
        let seen = read(&mut list, &mut at, 5, |list, _| {
            // Two rows leave the filter from the front while we stand behind them.
            for _ in 0..2 {
                if exported < 10 {
                    list.0.remove(0);
                    exported += 1;
                }
            }
        });
        assert_eq!(ids(&seen).len(), 20);
    }

    #[test]
    fn reading_ends_even_when_the_set_never_rests() {
        let rows: Vec<Row> = (0..400).map(|n| Row { id: format!("r{n:03}"), changed: Timestamp(7) }).collect();
        let mut list = List(rows);
        let mut at = Watermark::new(Timestamp(7));
        read(&mut list, &mut at, 5, |list, _| {
            list.0.remove(0);
        });
        assert!(at.from >= Timestamp(7));
    }

    #[test]
    fn an_overlap_goes_back_and_forgets_the_offset() {
        let at = Watermark { from: Timestamp(10_000), offset: 3, anchor: Some("x".into()), restarts: 1 };
        assert_eq!(at.back(Duration::seconds(4)), Watermark::new(Timestamp(6_000)));
    }
}
