//! Where the store ends: the next numbers, each partition's offset, chain head and epoch. Kept in memory by the writer and rebuilt
//! from the newest mark when the file is opened; copied for a group of writes and put in its place only when that is on disk.

use crate::{PARTITIONS, StoreError, audit};
use rusqlite::{Connection, OptionalExtension};

/// Journal rows between two marks.
pub(in crate::sqlite) const MARK_EVERY: i64 = 4_096;

const ALL: usize = PARTITIONS as usize;

#[derive(Clone)]
pub(super) struct Tail {
    /// The last journal row.
    pub(super) seq: i64,
    /// The last number of inbox rows and processes: a process has the number of the message that began it.
    pub(super) no: i64,
    /// The last payload.
    pub(super) payload: i64,
    pub(super) offsets: Vec<u64>,
    pub(super) heads: Vec<audit::Link>,
    pub(super) epochs: Vec<u64>,
    /// Rows of the hub itself (process 0): how many, and the last.
    pub(super) own: (u64, i64),
}

impl Tail {
    pub(super) fn read(conn: &Connection) -> Result<Self, StoreError> {
        let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0));
        let mut tail = Self {
            seq: 0,
            no: number("SELECT max(coalesce((SELECT max(id) FROM inbox), 0), coalesce((SELECT max(no) FROM process), 0))")?,
            payload: number("SELECT coalesce(max(id), 0) FROM payload")?,
            offsets: vec![0; ALL],
            heads: vec![audit::GENESIS; ALL],
            epochs: vec![0; ALL],
            own: own_rows(conn)?,
        };
        let mark = conn
            .query_row("SELECT seq, offsets, heads FROM mark ORDER BY seq DESC LIMIT 1", [], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, Vec<u8>>(2)?))
            })
            .optional()?;
        if let Some((seq, offsets, heads)) = mark {
            if offsets.len() != ALL * 8 || heads.len() != ALL * 32 {
                return Err(StoreError::Damaged(format!("the mark at journal row {seq} has the wrong size")));
            }
            tail.seq = seq;
            for (place, chunk) in tail.offsets.iter_mut().zip(offsets.as_chunks::<8>().0) {
                *place = u64::from_le_bytes(*chunk);
            }
            tail.heads = heads.as_chunks::<32>().0.to_vec();
        }
        let mut rows = conn.prepare("SELECT seq, partition, \"offset\", hash FROM journal WHERE seq > ?1 ORDER BY seq")?;
        let mut rows = rows.query([tail.seq])?;
        while let Some(row) = rows.next()? {
            let partition = row.get::<_, u16>(1)?;
            let place = usize::from(partition);
            if place >= ALL {
                return Err(StoreError::Damaged(format!("a journal row names partition {partition}")));
            }
            tail.seq = row.get(0)?;
            if let Some(offset) = row.get::<_, Option<i64>>(2)? {
                tail.offsets[place] = offset.cast_unsigned();
            }
            tail.heads[place] = row.get(3)?;
        }
        let mut leases = conn.prepare("SELECT partition, epoch FROM lease")?;
        let mut leases = leases.query([])?;
        while let Some(row) = leases.next()? {
            if let Some(epoch) = tail.epochs.get_mut(usize::from(row.get::<_, u16>(0)?)) {
                *epoch = row.get::<_, i64>(1)?.cast_unsigned();
            }
        }
        Ok(tail)
    }

    /// The blobs of a mark at this point.
    pub(super) fn mark(&self) -> (Vec<u8>, Vec<u8>) {
        (self.offsets.iter().flat_map(|offset| offset.to_le_bytes()).collect(), self.heads.concat())
    }

    pub(super) fn own_bytes(&self) -> Vec<u8> {
        [self.own.0.to_le_bytes(), self.own.1.cast_unsigned().to_le_bytes()].concat()
    }
}

/// How many audit rows the hub wrote of its own, and the last of them.
pub(in crate::sqlite) fn own_rows(conn: &Connection) -> rusqlite::Result<(u64, i64)> {
    let stored: Option<Vec<u8>> =
        conn.query_row("SELECT value FROM meta WHERE name = 'own_rows'", [], |row| row.get(0)).optional()?;
    Ok(stored.map_or((0, 0), |bytes| match bytes.as_chunks::<8>().0 {
        [count, last] => (u64::from_le_bytes(*count), u64::from_le_bytes(*last).cast_signed()),
        _ => (0, 0),
    }))
}
