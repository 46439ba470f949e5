//! What was proven, invariant by invariant, for people and for machines.
//!
//! Three answers exist, and the third is honest: what could not be checked, for want of a ledger or of anything to look at, is
//! `not checked`, never `ok`.

use serde_json::{Value, json};
use std::{collections::BTreeMap, fmt};

/// Findings shown of one invariant; the rest is counted.
const SHOWN_MAX: usize = 20;

/// The invariants, numbered as in the failure model. I11 and I13 need other witnesses than ledgers and are never more than
/// `not checked` here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// The evidence itself: every ledger line readable, numbered without a gap.
    Ledgers,
    I1,
    I2,
    I3,
    I4,
    I5,
    I6,
    I7,
    I8,
    I9,
    I10,
    I11,
    I12,
    I13,
    I14,
}

impl Invariant {
    pub const ALL: [Self; 15] = [
        Self::Ledgers,
        Self::I1,
        Self::I2,
        Self::I3,
        Self::I4,
        Self::I5,
        Self::I6,
        Self::I7,
        Self::I8,
        Self::I9,
        Self::I10,
        Self::I11,
        Self::I12,
        Self::I13,
        Self::I14,
    ];

    /// Whether `verify` claims it: a violation in the ledgers or the journal is found.
    pub fn is_claimed(self) -> bool {
        !matches!(self, Self::I11 | Self::I13)
    }

    pub fn id(self) -> &'static str {
        match self {
            Self::Ledgers => "ledgers",
            Self::I1 => "I1",
            Self::I2 => "I2",
            Self::I3 => "I3",
            Self::I4 => "I4",
            Self::I5 => "I5",
            Self::I6 => "I6",
            Self::I7 => "I7",
            Self::I8 => "I8",
            Self::I9 => "I9",
            Self::I10 => "I10",
            Self::I11 => "I11",
            Self::I12 => "I12",
            Self::I13 => "I13",
            Self::I14 => "I14",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::Ledgers => "ledgers are readable and whole",
            Self::I1 => "no accepted order is lost",
            Self::I2 => "one ERP order per storefront order",
            Self::I3 => "captured is within authorized",
            Self::I4 => "refunded is within captured",
            Self::I5 => "stock adds up, each reservation ends once",
            Self::I6 => "nothing comes before what it needs, nothing moves back",
            Self::I7 => "every effect has its intent, every done its effect",
            Self::I8 => "audit chain intact, journal folds to the state",
            Self::I9 => "ended orders leave nothing open",
            Self::I10 => "transitions follow one another without a gap",
            Self::I11 => "memory, queues and disk stay within their caps",
            Self::I13 => "nobody sees beyond his sites",
            Self::I12 => "nothing is stuck in silence",
            Self::I14 => "orders are conserved, no message is folded twice",
        }
    }
}

/// What was wrong, and where to look.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// `channel/site/number`, or the process.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub order: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub system: String,
    /// The ledger row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.order.is_empty() {
            write!(f, "{}: ", self.order)?;
        }
        f.write_str(&self.text)?;
        match (self.system.as_str(), self.seq) {
            ("", _) => Ok(()),
            (system, None) => write!(f, " [{system}]"),
            (system, Some(seq)) => write!(f, " [{system} row {seq}]"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Holds for so many things looked at, at least one.
    Ok {
        checked: u64,
    },
    /// The first findings, and how many there are.
    Violated {
        checked: u64,
        findings: Vec<Finding>,
        total: u64,
    },
    NotChecked {
        why: String,
    },
}

impl Verdict {
    pub fn word(&self) -> &'static str {
        match self {
            Self::Ok { .. } => "ok",
            Self::Violated { .. } => "violated",
            Self::NotChecked { .. } => "not checked",
        }
    }

    pub(crate) fn not_checked(why: impl Into<String>) -> Self {
        Self::NotChecked { why: why.into() }
    }
}

/// Collects what one check sees.
#[derive(Default)]
pub(crate) struct Tally {
    checked: u64,
    findings: Vec<Finding>,
    total: u64,
}

impl Tally {
    pub fn saw(&mut self) {
        self.checked += 1;
    }

    pub fn saw_many(&mut self, count: usize) {
        self.checked += u64::try_from(count).unwrap_or(u64::MAX);
    }

    pub fn found(&mut self, finding: Finding) {
        self.total += 1;
        if self.findings.len() < SHOWN_MAX {
            self.findings.push(finding);
        }
    }

    /// `nothing` says what was missing when there was nothing to look at.
    pub fn verdict(self, nothing: &str) -> Verdict {
        match (self.total, self.checked) {
            (0, 0) => Verdict::not_checked(nothing),
            (0, checked) => Verdict::Ok { checked },
            (total, checked) => Verdict::Violated { checked, findings: self.findings, total },
        }
    }
}

/// The whole answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub invariants: Vec<(Invariant, Verdict)>,
    /// What was looked at: `ledger erp`, `order closed` ...
    pub counts: BTreeMap<String, u64>,
    /// What the verdicts do not cover.
    pub notes: Vec<String>,
}

impl Report {
    pub fn verdict(&self, invariant: Invariant) -> Option<&Verdict> {
        self.invariants.iter().find(|(id, _)| *id == invariant).map(|(_, verdict)| verdict)
    }

    pub fn violated(&self) -> impl Iterator<Item = Invariant> {
        self.invariants.iter().filter(|(_, verdict)| matches!(verdict, Verdict::Violated { .. })).map(|(id, _)| *id)
    }

    /// Nothing is wrong, and all of `required` was really checked.
    pub fn is_clean_on(&self, required: &[Invariant]) -> bool {
        self.violated().next().is_none() && required.iter().all(|id| matches!(self.verdict(*id), Some(Verdict::Ok { .. })))
    }

    /// `clean`, `violated`, or `not checked` when there was nothing at all to check.
    pub fn word(&self) -> &'static str {
        if self.violated().next().is_some() {
            "violated"
        } else if self.invariants.iter().any(|(id, verdict)| *id != Invariant::Ledgers && matches!(verdict, Verdict::Ok { .. })) {
            "clean"
        } else {
            "not checked"
        }
    }

    /// 0 clean, 1 a fault was found or nothing could be checked.
    pub fn exit_code(&self) -> u8 {
        u8::from(self.word() != "clean")
    }

    pub fn to_json(&self) -> Value {
        let invariants = self.invariants.iter().map(|(id, verdict)| {
            let mut entry = json!({"id": id.id(), "title": id.title(), "verdict": verdict.word(), "checked": 0, "findings": []});
            match verdict {
                Verdict::Ok { checked } => entry["checked"] = json!(checked),
                Verdict::Violated { checked, findings, total } => {
                    entry["checked"] = json!(checked);
                    entry["findings"] = json!(findings);
                    entry["total"] = json!(total);
                }
                Verdict::NotChecked { why } => entry["why"] = json!(why),
            }
            entry
        });
        json!({
            "verdict": self.word(),
            "invariants": invariants.collect::<Vec<_>>(),
            "counts": self.counts,
            "notes": self.notes,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (id, verdict) in &self.invariants {
            let detail = match verdict {
                Verdict::Ok { checked } => format!("{checked} checked"),
                Verdict::Violated { checked, total, .. } => format!("{total} found, {checked} checked"),
                Verdict::NotChecked { why } => why.clone(),
            };
            writeln!(f, "{:<8}{:<12}{:<56}{detail}", id.id(), verdict.word(), id.title())?;
            if let Verdict::Violated { findings, total, .. } = verdict {
                for finding in findings {
                    writeln!(f, "          - {finding}")?;
                }
                let hidden = total.saturating_sub(findings.len() as u64);
                if hidden > 0 {
                    writeln!(f, "          - and {hidden} more")?;
                }
            }
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        writeln!(f, "verdict: {}", self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(verdicts: Vec<(Invariant, Verdict)>) -> Report {
        Report { invariants: verdicts, counts: BTreeMap::new(), notes: Vec::new() }
    }

    #[test]
    fn nothing_looked_at_is_not_ok() {
        let verdict = Tally::default().verdict("no capture in any ledger");
        assert_eq!(verdict, Verdict::not_checked("no capture in any ledger"));
        let report = report(vec![(Invariant::Ledgers, Verdict::Ok { checked: 3 }), (Invariant::I3, verdict)]);
        assert_eq!((report.word(), report.exit_code()), ("not checked", 1));
        assert!(!report.is_clean_on(&[Invariant::I3]));
    }

    #[test]
    fn many_findings_are_counted_and_the_first_are_shown() {
        let mut tally = Tally::default();
        for seq in 0..25 {
            tally.saw();
            tally.found(Finding { seq: Some(seq), system: "erp".into(), text: "wrong".into(), ..Finding::default() });
        }
        let report = report(vec![(Invariant::I2, tally.verdict(""))]);
        let json = report.to_json();
        assert_eq!((json["verdict"].as_str(), json["invariants"][0]["total"].as_u64()), (Some("violated"), Some(25)));
        assert_eq!(json["invariants"][0]["findings"].as_array().map(Vec::len), Some(SHOWN_MAX));
        let shown = report.to_string();
        assert!(shown.contains("wrong [erp row 0]") && shown.contains("and 5 more"), "{shown}");
        assert_eq!(report.exit_code(), 1);
    }
}
