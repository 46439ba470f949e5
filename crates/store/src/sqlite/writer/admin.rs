//! Writes that belong to no process: leases, cursors, pins, the hub's own audit rows, erasure, retention.

use super::{Failure, Staged, Writer, journal::Entry};
use crate::{
    CursorWrite, Lease, PARTITIONS, TransitionId,
    audit::{self, Deed},
    request::Answer,
};
use crossdock_canonical::Timestamp;

impl Writer<'_> {
    pub(super) fn lease(&mut self, staged: &mut Staged, node: &str, now: Timestamp) -> Result<Answer, Failure> {
        let mut leases = Vec::with_capacity(usize::from(PARTITIONS));
        for (partition, epoch) in (0..PARTITIONS).zip(&mut staged.tail.epochs) {
            *epoch += 1;
            self.sql.put_lease.execute((partition, epoch.cast_signed(), node, now.0))?;
            leases.push(Lease { partition, epoch: *epoch });
        }
        Ok(Answer::Leased(leases))
    }

    pub(super) fn set_cursor(&mut self, write: &CursorWrite) -> Result<(), Failure> {
        self.sql.put_cursor.execute((&write.name, &write.body))?;
        Ok(())
    }

    pub(super) fn put_pin(&mut self, hash: &str, body: &[u8]) -> Result<(), Failure> {
        self.sql.put_pin.execute((hash, body))?;
        Ok(())
    }

    /// A link that belongs to no process: process 0, in the chain of partition 0.
    pub(super) fn audit(&mut self, staged: &mut Staged, at: Timestamp, actor: &str, action: &str) -> Result<(), Failure> {
        let (rows, last) = staged.tail.own;
        let deed = Deed { partition: 0, offset: None, process: None, version: rows + 1, at, actor, action, record: None };
        let entry = Entry { process_no: 0, prev: last, deed, transition: TransitionId(0), messages: &[], record: None };
        let seq = self.append(staged, entry)?;
        staged.tail.own = (rows + 1, seq);
        self.sql.set_meta.execute((audit::OWN_ROWS, staged.tail.own_bytes()))?;
        Ok(())
    }

    pub(super) fn erase(&mut self, staged: &mut Staged, at: Timestamp, actor: &str, subject: &str) -> Result<Answer, Failure> {
        // From here on nothing in this group or on its way is stored under one of the keys.
        self.vault.keys.destroy(subject);
        let erased = self.sql.erase_keys.execute([subject])? > 0;
        self.audit(staged, at, actor, &format!("erase {subject}"))?;
        staged.erased.push(subject.to_owned());
        Ok(Answer::Erased(erased))
    }

    pub(super) fn sweep(&mut self, now: Timestamp, folded_before: Timestamp, limit: usize) -> Result<Answer, Failure> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let payloads = self.sql.sweep_payloads.execute((now.0, limit))?;
        let messages = self.sql.sweep_inbox.execute((folded_before.0, limit))?;
        Ok(Answer::Swept(payloads + messages))
    }
}
