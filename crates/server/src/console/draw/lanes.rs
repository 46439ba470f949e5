//! The lanes of an order: one lane a system, a mark at the end of each attempt, a line for how long it took.
//!
//! The time axis is compressed: every gap between two things that happened gets the logarithm of its length, long silence is
//! folded to a fixed width, and two marks of one lane are never closer than they are wide. The table of attempts has the exact
//! times; this drawing shows order and cause.

use super::{super::words, Escaped, Tone};
use askama::filters::HtmlSafe;
use crossdock_canonical::{Duration, Timestamp};
use std::{
    collections::BTreeMap,
    fmt::{self, Display, Write as _},
};

/// One attempt, probe or notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    pub system: String,
    pub began: Timestamp,
    pub ended: Timestamp,
    pub tone: Tone,
    /// A probe has a mark of its own.
    pub probe: bool,
    /// A word or two beside the mark; may be empty.
    pub label: String,
    /// What a reader hears.
    pub name: String,
    /// Where the details are: `#effect-3`.
    pub link: String,
}

/// Something expected: a retry, a deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    pub system: String,
    pub due: Timestamp,
    pub tone: Tone,
    pub name: String,
    pub link: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lanes {
    pub happened: Vec<Happening>,
    pub planned: Vec<Planned>,
    pub now: Timestamp,
}

/// Where time begins, right of the lanes' names.
const LEFT: i64 = 136;
/// Where now stands when the drawing is not wider than its frame.
const NOW: i64 = 736;
const FUTURE: i64 = 112;
const TOP: i64 = 32;
const PITCH: i64 = 42;
/// Marks of one lane keep this distance.
const APART: i64 = 16;
/// Silence longer than this is folded.
const SILENCE: Duration = Duration::minutes(2);
const FOLD: i64 = 34;
/// The newest so many are drawn; the list has all.
const DRAWN_MAX: usize = 150;

impl Lanes {
    fn systems(&self) -> Vec<&str> {
        let mut systems: Vec<&str> = Vec::new();
        let all = self.happened.iter().map(|one| one.system.as_str()).chain(self.planned.iter().map(|one| one.system.as_str()));
        for system in all {
            if !systems.contains(&system) {
                systems.push(system);
            }
        }
        systems
    }

    fn drawn(&self) -> &[Happening] {
        &self.happened[self.happened.len().saturating_sub(DRAWN_MAX)..]
    }

    /// The place of every instant that something began or ended, and the places of folds.
    fn axis(&self, systems: &[&str]) -> (BTreeMap<i64, i64>, Vec<i64>) {
        let mut instants: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        for one in self.drawn() {
            let lane = systems.iter().position(|system| *system == one.system).unwrap_or(0);
            instants.entry(one.began.0).or_default();
            instants.entry(one.ended.0).or_default().push(lane);
        }
        let mut places = BTreeMap::new();
        let mut folds = Vec::new();
        let mut last_of_lane: BTreeMap<usize, i64> = BTreeMap::new();
        let (mut x, mut before) = (LEFT, None);
        for (at, lanes) in instants {
            if let Some(before) = before {
                let gap = Duration(at - before);
                if gap > SILENCE {
                    folds.push(x + FOLD / 2);
                    x += FOLD;
                } else {
                    // 250 ms: 4 px, 2 s: 12 px, 1 min: 31 px.
                    x += 4 * i64::from((gap.0 / 250).max(0).checked_ilog2().unwrap_or(0) + u32::from(gap.0 > 0));
                }
            }
            for lane in &lanes {
                if let Some(last) = last_of_lane.get(lane) {
                    x = x.max(last + APART);
                }
            }
            lanes.iter().for_each(|lane| _ = last_of_lane.insert(*lane, x));
            places.insert(at, x);
            before = Some(at);
        }
        stretch(&mut places, &mut folds, x);
        (places, folds)
    }
}

/// Spreads a short drawing over the frame.
fn stretch(places: &mut BTreeMap<i64, i64>, folds: &mut [i64], end: i64) {
    let (used, free) = (end - LEFT, NOW - LEFT - 24);
    if used > 0 && used < free {
        let wider = |x: &mut i64| *x = LEFT + (*x - LEFT) * free.min(used * 4) / used;
        places.values_mut().for_each(wider);
        folds.iter_mut().for_each(wider);
    }
}

impl HtmlSafe for Lanes {}
impl Display for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let systems = self.systems();
        let (places, folds) = self.axis(&systems);
        let now = NOW.max(places.values().next_back().copied().unwrap_or(LEFT) + 24);
        let (width, bottom) = (now + FUTURE, TOP + PITCH * systems.len() as i64);
        let place = |at: Timestamp| places.get(&at.0).copied().unwrap_or(LEFT);
        let level =
            |system: &str| TOP + PITCH * systems.iter().position(|known| *known == system).unwrap_or(0) as i64 + PITCH / 2;

        write!(
            f,
            r#"<svg class="lanes" viewBox="0 0 {width} {}" role="group" aria-label="Timeline, one lane a system. Every mark is a link; the list of attempts says the same."><path class="nowline" d="M{now} 24V{bottom}"/>"#,
            bottom + 26
        )?;
        for system in &systems {
            let y = level(system);
            write!(
                f,
                r#"<path class="rule" d="M0 {}H{width}"/><text class="name" x="0" y="{}">{}</text>"#,
                y + PITCH / 2,
                y + 5,
                Escaped(system)
            )?;
        }
        self.ticks(f, &places, bottom)?;
        for x in folds {
            write!(f, r#"<path class="fold" d="M{} 24l3 4 -3 4 3 4M{} 24l3 4 -3 4 3 4"/>"#, x - 3, x + 2)?;
        }
        let mut labels: BTreeMap<&str, i64> = BTreeMap::new();
        for (at, one) in self.drawn().iter().enumerate() {
            let (began, ended, y) = (place(one.began), place(one.ended), level(&one.system));
            let class = one.tone.as_str();
            if ended > began {
                write!(f, r#"<path class="dur {class}" d="M{began} {y}H{ended}"/>"#)?;
            }
            let symbol = if one.probe { "probe" } else { class };
            mark(f, ended, y, class, symbol, &one.name, &one.link)?;
            let next =
                self.drawn()[at + 1..].iter().find(|later| later.system == one.system).map_or(now, |later| place(later.began));
            let room = ended + 12 + 7 * one.label.chars().count() as i64;
            if !one.label.is_empty() && room < next && labels.get(one.system.as_str()).is_none_or(|taken| *taken < ended) {
                labels.insert(&one.system, room);
                let tint = if one.tone == Tone::Ok { "" } else { class };
                write!(f, r#"<text class="t {tint}" x="{}" y="{}">{}</text>"#, ended + 10, y + 4, Escaped(&one.label))?;
            }
        }
        for (at, one) in self.planned.iter().enumerate() {
            let x = now + 24 + 18 * (at as i64 % 5);
            mark(f, x, level(&one.system), one.tone.as_str(), one.tone.as_str(), &one.name, &one.link)?;
        }
        let clock = words::clock(self.now, self.now);
        write!(
            f,
            r#"<rect class="flag" x="{}" y="{}" width="64" height="18" rx="2"/><text class="flag-t" x="{now}" y="{}">{clock}</text></svg>"#,
            now - 32,
            bottom + 4,
            bottom + 17
        )
    }
}

impl Lanes {
    /// A time above every place that has room for one: the first as a clock shows it, those of the next minute as what passed
    /// since, so that two of the same second differ.
    fn ticks(&self, f: &mut fmt::Formatter<'_>, places: &BTreeMap<i64, i64>, bottom: i64) -> fmt::Result {
        let mut free_from = 0;
        let first = places.keys().next().copied().unwrap_or_default();
        for (at, x) in places {
            if *x < free_from {
                continue;
            }
            free_from = x + 84;
            let text = match u64::try_from(at - first) {
                Ok(since @ 1..60_000) => format!("+{}", words::millis(since)),
                _ => words::clock(Timestamp(*at), self.now),
            };
            write!(f, r#"<path class="tick" d="M{x} 24V{bottom}"/><text class="t" x="{x}" y="18">{text}</text>"#)?;
        }
        Ok(())
    }
}

fn mark(f: &mut fmt::Formatter<'_>, x: i64, y: i64, class: &str, symbol: &str, name: &str, link: &str) -> fmt::Result {
    let mut label = String::new();
    write!(label, "{}", Escaped(name))?;
    write!(
        f,
        r##"<a href="{}" aria-label="{label}"><rect class="hit" x="{}" y="{}" width="24" height="24"/><svg class="mark {class}" x="{}" y="{}" width="12" height="12" viewBox="0 0 16 16"><use href="#m-{symbol}"/></svg></a>"##,
        Escaped(link),
        x - 12,
        y - 12,
        x - 6,
        y - 6
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn happening(system: &str, began: i64, ended: i64) -> Happening {
        Happening {
            system: system.into(),
            began: Timestamp(began),
            ended: Timestamp(ended),
            tone: Tone::Ok,
            probe: false,
            label: "done".into(),
            name: format!("{system}: <done>"),
            link: "#effect-1".into(),
        }
    }

    fn lanes(happened: Vec<Happening>) -> Lanes {
        Lanes { happened, planned: Vec::new(), now: Timestamp(1_000_000_000) }
    }

    #[test]
    fn marks_of_one_lane_keep_their_distance_and_time_never_runs_back() {
        let happened = (0..40).map(|n| happening(if n % 3 == 0 { "erp" } else { "wms" }, n * 10, n * 10 + 5)).collect();
        let drawing: Lanes = lanes(happened);
        let systems = drawing.systems();
        let (places, _) = drawing.axis(&systems);
        let places: Vec<i64> = places.into_values().collect();
        assert!(places.is_sorted());
        for system in systems {
            let of_lane: Vec<i64> = drawing
                .happened
                .iter()
                .filter(|h| h.system == system)
                .map(|h| drawing.axis(&drawing.systems()).0[&h.ended.0])
                .collect();
            assert!(of_lane.windows(2).all(|pair| pair[1] - pair[0] >= APART), "{system}: {of_lane:?}");
        }
    }

    #[test]
    fn long_silence_is_folded_and_the_frame_is_kept() {
        let drawing = lanes(vec![happening("erp", 0, 100), happening("erp", 90_000_000, 90_000_200)]);
        let (places, folds) = drawing.axis(&["erp"]);
        assert_eq!(folds.len(), 1);
        assert!(places.values().all(|x| (LEFT..NOW).contains(x)), "{places:?}");
    }

    #[test]
    fn times_of_the_first_minute_are_told_from_its_begin() {
        let mut happened: Vec<Happening> = (0..40).map(|n| happening("erp", n * 10, n * 10 + 5)).collect();
        happened.extend((0..20).map(|n| happening("erp", 90_000 + n * 10, 90_005 + n * 10)));
        let text = lanes(happened).to_string();
        let times: Vec<&str> = text.split(r#"y="18">"#).skip(1).filter_map(|rest| rest.split('<').next()).collect();
        let (clock, since): (Vec<&str>, Vec<&str>) = times.iter().partition(|time| !time.starts_with('+'));
        assert!(times.first() == clock.first() && times.last() == clock.last() && clock.len() > 1, "{times:?}");
        assert!(since.len() > 2 && since.windows(2).all(|pair| pair[0] != pair[1]), "{times:?}");
    }

    #[test]
    fn an_order_without_attempts_has_an_empty_drawing() {
        let text = lanes(Vec::new()).to_string();
        assert!(text.starts_with("<svg") && text.ends_with("</svg>"), "{text}");
    }

    #[test]
    fn names_are_escaped() {
        let text = lanes(vec![happening("<b>", 0, 1)]).to_string();
        assert!(!text.contains("<b>"), "{text}");
    }
}
