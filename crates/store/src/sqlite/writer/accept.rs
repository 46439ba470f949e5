//! Taking messages in.

use super::{Failure, Known, Staged, Writer};
use crate::{
    Accepted, Addressee, CursorWrite, InboxId,
    codes::{addressee_columns, dedup_id},
    request::{Answer, SealedIntake},
};
use rusqlite::OptionalExtension;

/// What became of a message.
pub(super) enum Taken {
    Stored(InboxId),
    /// Seen before; the row it was stored under then, if it has one.
    Seen(Option<InboxId>),
}

impl Writer<'_> {
    pub(super) fn accept(
        &mut self,
        staged: &mut Staged,
        rows: &[SealedIntake],
        cursor: Option<&CursorWrite>,
    ) -> Result<Answer, Failure> {
        let mut answers = Vec::with_capacity(rows.len());
        for row in rows {
            answers.push(match self.take(staged, row)? {
                Taken::Stored(id) => Accepted::Stored(id),
                Taken::Seen(_) => Accepted::Duplicate,
            });
        }
        if let Some(cursor) = cursor {
            self.set_cursor(cursor)?;
        }
        Ok(Answer::Accepted(answers))
    }

    pub(super) fn take(&mut self, staged: &mut Staged, row: &SealedIntake) -> Result<Taken, Failure> {
        let intake = &row.intake;
        let source = intake.source.as_str();
        let id = staged.tail.no + 1;
        // The message id first: a key must never be taken for a message that is then not stored.
        if let Some(message) = &intake.message_id {
            let message = dedup_id(message);
            if self.sql.insert_dedup.execute((source, &message, id))? == 0 {
                let seen = self.sql.find_dedup.query_row((source, &message), |row| row.get(0)).optional()?;
                return Ok(Taken::Seen(seen.map(InboxId)));
            }
        }
        if let (true, Addressee::Process(process)) = (intake.starts, &intake.to) {
            if staged.known.contains_key(process) || self.known.contains_key(process) {
                return Ok(Taken::Seen(None));
            }
            if self.sql.insert_process_key.execute((&process.kind, &process.key, id))? == 0 {
                return Ok(Taken::Seen(None));
            }
            staged.known.insert(process.clone(), Known::new(id));
        }
        staged.tail.no = id;
        self.keep_key(staged, &row.body.key)?;
        let (to_system, to_kind, to_key) = addressee_columns(&intake.to);
        self.sql.insert_inbox.execute((
            id,
            to_system,
            to_kind,
            to_key,
            source,
            &intake.message_id,
            &intake.kind,
            &intake.actor,
            &intake.subject,
            intake.at.0,
            &row.body.bytes,
        ))?;
        self.sql.insert_pending.execute([id])?;
        Ok(Taken::Stored(InboxId(id)))
    }
}
