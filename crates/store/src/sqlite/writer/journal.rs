//! Appending to the journal and its audit chain, and finding a transition in it again.

use super::{Failure, Staged, Writer, tail::MARK_EVERY};
use crate::{Committed, InboxId, ProcessKey, TransitionId, audit::Deed};

/// How far back a lost reply is looked up. A lane asks about its last transition before it makes another.
const LOOK_BACK: usize = 64;

/// A link about to be appended.
pub(super) struct Entry<'a> {
    pub(super) process_no: i64,
    /// The row before it, of the same process.
    pub(super) prev: i64,
    pub(super) deed: Deed<'a>,
    pub(super) transition: TransitionId,
    pub(super) messages: &'a [InboxId],
    pub(super) record: Option<&'a [u8]>,
}

impl Writer<'_> {
    /// Appends a link; the row's number. The offset of its deed is given here.
    pub(super) fn append(&mut self, staged: &mut Staged, mut entry: Entry<'_>) -> Result<i64, Failure> {
        let tail = &mut staged.tail;
        let place = usize::from(entry.deed.partition);
        if entry.record.is_some() {
            tail.offsets[place] += 1;
            entry.deed.offset = Some(tail.offsets[place]);
        }
        let hash = entry.deed.link(&tail.heads[place]);
        tail.heads[place] = hash;
        tail.seq += 1;
        let messages: Option<Vec<u8>> =
            (!entry.messages.is_empty()).then(|| entry.messages.iter().flat_map(|id| id.0.to_le_bytes()).collect());
        self.sql.insert_journal.execute((
            tail.seq,
            entry.process_no,
            entry.deed.version.cast_signed(),
            entry.prev,
            entry.deed.partition,
            entry.deed.offset.map(u64::cast_signed),
            entry.deed.at.0,
            entry.deed.actor,
            entry.deed.action,
            entry.transition.0.cast_signed(),
            messages,
            entry.record,
            &hash[..],
        ))?;
        if tail.seq % MARK_EVERY == 0 {
            let (offsets, heads) = tail.mark();
            self.sql.insert_mark.execute((tail.seq, offsets, heads))?;
        }
        Ok(tail.seq)
    }

    pub(super) fn was_committed(
        &mut self,
        staged: &Staged,
        process: &ProcessKey,
        transition: TransitionId,
    ) -> Result<Option<Committed>, Failure> {
        let Some(known) = self.find(staged, process)? else { return Ok(None) };
        let mut at = known.journal;
        for _ in 0..LOOK_BACK {
            if at == 0 {
                break;
            }
            let (prev, version, id, messages) = self.sql.read_link.query_row([at], |row| {
                Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?, row.get::<_, Option<Vec<u8>>>(3)?))
            })?;
            if id.cast_unsigned() == transition.0 {
                let messages = messages.unwrap_or_default();
                let messages = messages.as_chunks::<8>().0.iter().map(|id| InboxId(i64::from_le_bytes(*id))).collect();
                return Ok(Some(Committed { version: version.cast_unsigned(), messages }));
            }
            at = prev;
        }
        Ok(None)
    }
}
