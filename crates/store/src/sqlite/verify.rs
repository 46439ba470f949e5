//! Walks the audit chain from its beginning, and finds what was edited, removed, put in, moved or cut off.

use super::{
    pool::Reader,
    rows::{process_key, time, unsigned},
    writer::own_rows,
};
use crate::{
    AuditVerdict, PARTITIONS, StoreError,
    audit::{self, Deed},
};
use rusqlite::OptionalExtension;
use sha2::{Digest, Sha256};

impl Reader {
    pub(super) fn verify_audit(&self) -> Result<AuditVerdict, StoreError> {
        self.walk_audit(&mut |_, _| ())
    }

    /// The same; `seen` is told of every link that fits, with its partition.
    pub(super) fn walk_audit(&self, seen: &mut dyn FnMut(u16, &audit::Link)) -> Result<AuditVerdict, StoreError> {
        let all = usize::from(PARTITIONS);
        let mut heads = vec![audit::GENESIS; all];
        let mut places = vec![0_u64; all];
        let mut offsets = vec![0_u64; all];
        let mut count = 0;
        let mut rows = self.conn.prepare(
            "SELECT j.partition, j.\"offset\", j.process_no, p.kind, p.key, j.version, j.at, j.actor, j.action, j.record, j.hash
             FROM journal j LEFT JOIN process p ON p.no = j.process_no ORDER BY j.seq",
        )?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let partition: u16 = row.get(0)?;
            let place = usize::from(partition);
            let broken = |offset: u64, reason: String| Ok(AuditVerdict::Broken { partition, offset, reason });
            places[place] += 1;
            count += 1;
            let offset = row.get::<_, Option<i64>>(1)?.map(i64::cast_unsigned);
            if let Some(offset) = offset {
                if offset != offsets[place] + 1 {
                    return broken(places[place], format!("journal offset {offset} follows {}", offsets[place]));
                }
                offsets[place] = offset;
            }
            let process = match row.get::<_, i64>(2)? {
                0 => None,
                no if row.get_ref(3)?.as_str_or_null().is_ok_and(|kind| kind.is_none()) => {
                    return broken(places[place], format!("its process {no} is missing"));
                }
                _ => Some(process_key(row, 3)?),
            };
            let (actor, action) = (row.get_ref(7)?, row.get_ref(8)?);
            let text = |value: rusqlite::types::ValueRef<'_>| value.as_str().map(str::to_owned);
            let (Ok(actor), Ok(action)) = (text(actor), text(action)) else {
                return broken(places[place], "actor or action is not text".into());
            };
            let record = row.get_ref(9)?.as_blob_or_null().ok().flatten().map(|record| Sha256::digest(record).into());
            let deed = Deed {
                partition,
                offset,
                process: process.as_ref(),
                version: unsigned(row, 5)?,
                at: time(row, 6)?,
                actor: &actor,
                action: &action,
                record,
            };
            heads[place] = deed.link(&heads[place]);
            if row.get::<_, [u8; 32]>(10)? != heads[place] {
                return broken(places[place], "its hash does not fit what it says and what came before it".into());
            }
            seen(partition, &heads[place]);
        }
        drop(rows);
        if let Some(cut) = self.cut_off()? {
            return Ok(cut);
        }
        Ok(AuditVerdict::Intact { rows: count, head: audit::head_digest(&heads) })
    }

    /// A chain that ends early still fits link by link. But each process names its newest row.
    fn cut_off(&self) -> Result<Option<AuditVerdict>, StoreError> {
        let missing = self
            .conn
            .query_row(
                "SELECT p.kind, p.key, s.version FROM process_state s JOIN process p ON p.no = s.no LEFT JOIN journal j ON j.seq = s.journal
                 WHERE j.seq IS NULL OR j.process_no <> s.no OR j.version <> s.version LIMIT 1",
                [],
                |row| Ok((process_key(row, 0)?, unsigned::<u64>(row, 2)?)),
            )
            .optional()?;
        if let Some((process, version)) = missing {
            let reason = format!(
                "the row of {process} at version {version} is missing: the end was cut off, or the process changed past the audit"
            );
            return Ok(Some(AuditVerdict::Broken { partition: process.partition(), offset: 0, reason }));
        }
        let (rows, last) = own_rows(&self.conn)?;
        let found: Option<i64> = self
            .conn
            .query_row("SELECT version FROM journal WHERE seq = ?1 AND process_no = 0", [last], |row| row.get(0))
            .optional()?;
        if found.map_or(0, i64::cast_unsigned) != rows {
            let reason = format!("the hub's own audit row {rows} is missing: the end was cut off");
            return Ok(Some(AuditVerdict::Broken { partition: 0, offset: 0, reason }));
        }
        Ok(None)
    }
}
