//! Walks the audit chains from their beginning, or from where retention cut them, and finds what was edited, removed, put in, moved or cut off.

use super::{
    pool::Reader,
    rows::{get, hash, process_key, small, text, time, unsigned},
    writer::OwnRows,
};
use crate::{
    AuditVerdict, PARTITIONS, StoreError,
    audit::{self, Deed},
    checkpoint::{Checkpoint, Search, Since, Walked},
    vault::Vault,
};
use sha2::{Digest, Sha256};
use tokio_postgres::Row;

/// Rows fetched at a time: all of them would not fit into memory.
const PAGE: i64 = 2_000;

/// How far each partition was walked.
struct Walk {
    heads: Vec<audit::Link>,
    places: Vec<u64>,
    offsets: Vec<u64>,
    /// The last row that retention took, over all partitions.
    cut: i64,
}

impl Reader {
    pub(super) async fn verify_audit(&self) -> Result<AuditVerdict, StoreError> {
        self.walk_audit(&mut |_, _| ()).await
    }

    /// The same; `seen` is told of every link that fits, with its partition.
    pub(super) async fn walk_audit(&self, seen: &mut (dyn FnMut(u16, &audit::Link) + Send)) -> Result<AuditVerdict, StoreError> {
        self.walk(async {
            let mut walk = self.beginning().await?;
            let (mut count, mut after) = (0, i64::MIN);
            loop {
                let rows = self
                    .ask(
                        "SELECT j.partition, j.\"offset\", j.process_no, p.kind, p.key, j.version, j.at, j.actor, j.action, j.record,
                            j.hash, j.seq
                         FROM journal j LEFT JOIN process p ON p.no = j.process_no WHERE j.seq > $1 ORDER BY j.seq LIMIT $2",
                        &[&after, &PAGE],
                    )
                    .await?;
                let Some(last) = rows.last() else { break };
                after = get(last, 11)?;
                for row in &rows {
                    count += 1;
                    if let Some(broken) = walk.step(row)? {
                        return Ok(broken);
                    }
                    let partition: u16 = small(row, 0)?;
                    if let Some(head) = walk.heads.get(usize::from(partition)) {
                        seen(partition, head);
                    }
                }
            }
            if let Some(cut) = self.cut_off(&walk).await? {
                return Ok(cut);
            }
            Ok(AuditVerdict::Intact { rows: count, head: audit::head_digest(&walk.heads) })
        })
        .await
    }

    pub(super) async fn walk_since(&self, vault: &Vault, wanted: &Checkpoint) -> Result<Walked, StoreError> {
        let search = if wanted.is_sealed_by(vault) { Search::new(wanted) } else { None };
        let Some(mut search) = search else {
            return Ok(Walked { audit: self.verify_audit().await?, since: Some(Since::Forged) });
        };
        let audit = self.walk_audit(&mut |partition, link| search.see(partition, link)).await?;
        let since = match audit {
            AuditVerdict::Intact { .. } => Some(search.end(&self.ends().await?.0)),
            AuditVerdict::Broken { .. } => None,
        };
        Ok(Walked { audit, since })
    }

    /// Each partition's last offset and link.
    pub(super) async fn ends(&self) -> Result<(Vec<u64>, Vec<audit::Link>), StoreError> {
        let all = usize::from(PARTITIONS);
        let (mut offsets, mut heads) = (vec![0; all], vec![audit::GENESIS; all]);
        for row in &self.ask("SELECT partition, \"offset\", head FROM lease ORDER BY partition", &[]).await? {
            let place = small::<usize>(row, 0)?;
            if let (Some(offset), Some(head)) = (offsets.get_mut(place), heads.get_mut(place)) {
                (*offset, *head) = (unsigned(row, 1)?, hash(row, 2)?);
            }
        }
        Ok((offsets, heads))
    }

    async fn beginning(&self) -> Result<Walk, StoreError> {
        let all = usize::from(PARTITIONS);
        let mut walk = Walk { heads: vec![audit::GENESIS; all], places: vec![0; all], offsets: vec![0; all], cut: 0 };
        for row in &self.ask("SELECT partition, \"offset\", head, seq FROM journal_cut", &[]).await? {
            let place = small::<usize>(row, 0)?;
            if let (Some(offset), Some(head)) = (walk.offsets.get_mut(place), walk.heads.get_mut(place)) {
                (*offset, *head) = (unsigned(row, 1)?, hash(row, 2)?);
            }
            walk.cut = walk.cut.max(get(row, 3)?);
        }
        Ok(walk)
    }

    /// A chain that ends early still fits link by link. But each process names its newest row, and each lease its partition's head.
    async fn cut_off(&self, walk: &Walk) -> Result<Option<AuditVerdict>, StoreError> {
        let missing = self
            .ask_opt(
                "SELECT p.kind, p.key, s.version FROM process_state s JOIN process p ON p.no = s.no
                 LEFT JOIN journal j ON j.seq = s.journal
                 WHERE s.journal > $1 AND (j.seq IS NULL OR j.process_no <> s.no OR j.version <> s.version) LIMIT 1",
                &[&walk.cut],
            )
            .await?;
        if let Some(row) = missing {
            let (process, version) = (process_key(&row, 0)?, unsigned::<u64>(&row, 2)?);
            let reason = format!(
                "the row of {process} at version {version} is missing: the end was cut off, or the process changed past the audit"
            );
            return Ok(Some(AuditVerdict::Broken { partition: process.partition(), offset: 0, reason }));
        }
        let own = self.ask_opt(OwnRows::SQL, &[]).await?;
        let own =
            own.map(|row| get::<Vec<u8>>(&row, 0)).transpose()?.map_or_else(OwnRows::default, |bytes| OwnRows::read(&bytes));
        let last = self.ask_opt("SELECT version FROM journal WHERE seq = $1 AND process_no = 0", &[&own.last]).await?;
        if (own.last > walk.cut || own.count == 0) && last.map_or(Ok(0), |row| unsigned::<u64>(&row, 0))? != own.count {
            let reason = format!("the hub's own audit row {} is missing: the end was cut off", own.count);
            return Ok(Some(AuditVerdict::Broken { partition: 0, offset: 0, reason }));
        }
        for row in &self.ask("SELECT partition, \"offset\", head FROM lease ORDER BY partition", &[]).await? {
            let partition: u16 = small(row, 0)?;
            let place = usize::from(partition);
            if walk.offsets.get(place) != Some(&unsigned(row, 1)?) || walk.heads.get(place) != Some(&hash(row, 2)?) {
                let reason = "the partition's head is not the end of its chain: the end was cut off".into();
                return Ok(Some(AuditVerdict::Broken {
                    partition,
                    offset: walk.places.get(place).copied().unwrap_or(0),
                    reason,
                }));
            }
        }
        Ok(None)
    }
}

impl Walk {
    /// Takes one row; what is wrong with it.
    fn step(&mut self, row: &Row) -> Result<Option<AuditVerdict>, StoreError> {
        let partition: u16 = small(row, 0)?;
        let place = usize::from(partition);
        let (Some(head), Some(at), Some(reached)) =
            (self.heads.get_mut(place), self.places.get_mut(place), self.offsets.get_mut(place))
        else {
            return Err(StoreError::Damaged(format!("a journal row names partition {partition}")));
        };
        *at += 1;
        let broken = |reason: String| Ok(Some(AuditVerdict::Broken { partition, offset: *at, reason }));
        let offset = get::<Option<i64>>(row, 1)?.map(i64::cast_unsigned);
        if let Some(offset) = offset {
            if offset != *reached + 1 {
                return broken(format!("journal offset {offset} follows {reached}"));
            }
            *reached = offset;
        }
        let process = match (get::<i64>(row, 2)?, get::<Option<&str>>(row, 3)?) {
            (0, _) => None,
            (no, None) => return broken(format!("its process {no} is missing")),
            (_, Some(_)) => Some(process_key(row, 3)?),
        };
        let (actor, action) = (text(row, 7)?, text(row, 8)?);
        let deed = Deed {
            partition,
            offset,
            process: process.as_ref(),
            version: get::<i64>(row, 5)?.cast_unsigned(),
            at: time(row, 6)?,
            actor: &actor,
            action: &action,
            record: get::<Option<&[u8]>>(row, 9)?.map(|record| Sha256::digest(record).into()),
        };
        *head = deed.link(head);
        if hash::<32>(row, 10)? != *head {
            return broken("its hash does not fit what it says and what came before it".into());
        }
        Ok(None)
    }
}
