//! What surfaces read.

use super::state::{Link, Process, State};
use crate::{
    AuditRow, AuditVerdict, Counts, ExceptionQuery, ExceptionView, JournalRow, ProcessDetail, ProcessKey, ProcessQuery,
    ProcessView, StoreError,
    audit::{self, hex},
};
use std::collections::{BTreeMap, BTreeSet};

impl State {
    pub(super) fn processes(&self, query: &ProcessQuery) -> Vec<ProcessView> {
        let by_identity: BTreeSet<i64> = match query.text.as_deref() {
            Some(text) => self.identities.iter().filter(|((_, _, theirs), _)| &**theirs == text).map(|(_, no)| *no).collect(),
            None => BTreeSet::new(),
        };
        let equal = |wanted: Option<&str>, is: &str| wanted.is_none_or(|wanted| wanted == is);
        let fits = |no: i64, process: &Process| {
            let summary = &process.row.summary;
            equal(query.kind.as_deref(), &process.key.kind)
                && equal(query.status.as_deref(), &summary.status)
                && equal(query.stage.as_deref(), &summary.stage)
                && equal(query.market.as_deref(), &summary.market)
                && in_sites(query.sites.as_deref(), process)
                && query.text.as_deref().is_none_or(|text| summary.number.starts_with(text) || by_identity.contains(&no))
                && (!query.exceptional || !process.exceptions.is_empty())
                && query.before.is_none_or(|before| no.cast_unsigned() < before)
        };
        self.processes
            .iter()
            .rev()
            .filter(|(no, process)| fits(**no, process))
            .take(query.limit)
            .map(|(no, process)| view(*no, process))
            .collect()
    }

    pub(super) fn process(&self, key: &ProcessKey) -> Option<ProcessDetail> {
        let loaded = self.load(key)?;
        let (no, process) = self.find(key)?;
        Some(ProcessDetail {
            view: view(no, process),
            effects: loaded.effects,
            timers: loaded.timers,
            exceptions: loaded.exceptions,
            identities: loaded.identities,
        })
    }

    pub(super) fn journal_of(&self, key: &ProcessKey) -> Vec<JournalRow> {
        let Some((_, process)) = self.find(key) else { return Vec::new() };
        process.journal.iter().filter_map(|place| journal_row(&self.journal[*place])).collect()
    }

    pub(super) fn exceptions(&self, query: &ExceptionQuery) -> Vec<ExceptionView> {
        let equal = |wanted: Option<&str>, is: &str| wanted.is_none_or(|wanted| wanted == is);
        let mut found: Vec<_> = self
            .processes
            .iter()
            .filter(|(_, process)| in_sites(query.sites.as_deref(), process))
            .flat_map(|(no, process)| process.exceptions.iter().map(move |(name, row)| (*no, process, name, row)))
            .filter(|(_, _, _, row)| equal(query.class.as_deref(), &row.class) && equal(query.system.as_deref(), &row.system))
            .collect();
        found.sort_by(|(a_no, _, a, x), (b_no, _, b, y)| (x.since, a_no, a).cmp(&(y.since, b_no, b)));
        let views = found.into_iter().take(query.limit);
        views
            .map(|(no, process, name, row)| ExceptionView { process: view(no, process), name: name.clone(), row: row.clone() })
            .collect()
    }

    pub(super) fn counts(&self) -> Counts {
        let (mut processes, mut stages) = (BTreeMap::new(), BTreeMap::new());
        let (mut effects, mut exceptions) = (BTreeMap::new(), BTreeMap::new());
        for process in self.processes.values() {
            let summary = &process.row.summary;
            *processes.entry((process.key.kind.to_string(), summary.status.to_string())).or_insert(0) += 1;
            if &*process.key.kind == "order" && matches!(&*summary.status, "open" | "held") {
                *stages.entry(summary.stage.to_string()).or_insert(0) += 1;
            }
            for effect in process.effects.values().filter(|effect| effect.state.is_open()) {
                let (count, oldest) = effects.entry((effect.system.to_string(), effect.state)).or_insert((0, None));
                *count += 1;
                *oldest = [*oldest, effect.due].into_iter().flatten().min();
            }
            for row in process.exceptions.values() {
                let (count, oldest) = exceptions.entry(row.class.to_string()).or_insert((0, row.since));
                *count += 1;
                *oldest = row.since.min(*oldest);
            }
        }
        Counts {
            processes: processes.into_iter().map(|((kind, status), count)| (kind, status, count)).collect(),
            stages: stages.into_iter().collect(),
            effects: effects
                .into_iter()
                .map(|((system, state), (count, oldest))| (system, state.as_str().to_owned(), count, oldest))
                .collect(),
            exceptions: exceptions.into_iter().map(|(class, (count, oldest))| (class, count, oldest)).collect(),
        }
    }

    pub(super) fn stream(&self, cursor: &str, limit: usize) -> Result<(Vec<JournalRow>, String), StoreError> {
        let end = self.journal.len();
        let after = match cursor {
            "" => 0,
            "now" => end,
            text => text.parse().map_err(|_| StoreError::Constraint(format!("{text:?} is not a cursor of this journal")))?,
        };
        let mut next = after.min(end);
        let mut rows = Vec::new();
        while next < end && rows.len() < limit {
            rows.extend(journal_row(&self.journal[next]));
            next += 1;
        }
        Ok((rows, next.to_string()))
    }

    pub(super) fn verify_audit(&self) -> AuditVerdict {
        let mut heads = vec![audit::GENESIS; self.heads.len()];
        for link in &self.journal {
            let head = &mut heads[usize::from(link.partition)];
            *head = link.deed().link(head);
            if *head != link.hash {
                let reason = "its hash does not fit what it says and what came before it".into();
                return AuditVerdict::Broken { partition: link.partition, offset: link.offset.unwrap_or(0), reason };
            }
        }
        AuditVerdict::Intact { rows: self.journal.len() as u64, head: audit::head_digest(&heads) }
    }

    pub(super) fn audit(&self, limit: usize) -> Vec<AuditRow> {
        let rows = self.journal.iter().rev().take(limit);
        rows.map(|link| AuditRow {
            at: link.at,
            actor: link.actor.clone(),
            action: link.action.clone(),
            process: link.process.clone(),
            hash: hex(&link.hash),
        })
        .collect()
    }
}

fn in_sites(sites: Option<&[String]>, process: &Process) -> bool {
    let summary = &process.row.summary;
    sites.is_none_or(|sites| {
        sites.iter().any(|site| {
            site.split_once('/').is_some_and(|(channel, site)| *channel == *summary.channel && *site == *summary.site)
        })
    })
}

fn view(no: i64, process: &Process) -> ProcessView {
    ProcessView {
        no: no.cast_unsigned(),
        key: process.key.clone(),
        row: process.row.clone(),
        updated_at: process.updated_at,
        version: process.version,
        open_exceptions: u32::try_from(process.exceptions.len()).unwrap_or(u32::MAX),
    }
}

fn journal_row(link: &Link) -> Option<JournalRow> {
    Some(JournalRow {
        partition: link.partition,
        offset: link.offset?,
        process: link.process.clone()?,
        version: link.version,
        at: link.at,
        actor: link.actor.clone(),
        action: link.action.clone(),
        record: link.record.clone()?,
    })
}
