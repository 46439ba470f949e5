//! One transition: all its rows, in the transaction of its group.

use super::{Failure, Known, NOT_DUE, Staged, Writer, accept::Taken, journal::Entry};
use crate::{
    Committed, InboxId, StoreError, Transition,
    audit::Deed,
    codes::{priority_code, state_code, told},
    effects::{self, Moved},
    request::{Answer, SealedTransition},
    sqlite::rows::Compact,
};
use crossdock_canonical::Timestamp;
use rusqlite::params;
use std::sync::Arc;

/// Binds and runs a statement with more columns than a tuple can have.
macro_rules! run {
    ($statement:expr, $($value:expr),+ $(,)?) => {
        $statement.execute(params![$($value),+])
    };
}

impl Writer<'_> {
    pub(super) fn transition(
        &mut self,
        staged: &mut Staged,
        sealed: &SealedTransition,
    ) -> Result<Result<Answer, StoreError>, Failure> {
        let plain = &sealed.plain;
        let epoch = staged.tail.epochs[usize::from(sealed.partition)];
        if plain.epoch != epoch {
            return Ok(Err(StoreError::StaleEpoch { partition: sealed.partition, expected: plain.epoch, found: epoch }));
        }
        let found = self.find(staged, &plain.process)?;
        let version = found.as_ref().map_or(0, |known| known.version);
        if plain.version != version {
            return Ok(Err(StoreError::StaleVersion { process: plain.process.clone(), expected: plain.version, found: version }));
        }

        // From here on something is written: who fails now takes his group with him.
        if let Some(InboxId(id)) = plain.settles
            && self.sql.settle.execute([id])? == 0
        {
            return Err(refused(format!("inbox row {id} does not wait: it was settled before, or never stored")));
        }
        let mut known = match found {
            Some(known) => known,
            None => self.begin(staged, plain)?,
        };
        self.payloads(staged, &mut known, sealed)?;
        let mut messages = Vec::with_capacity(sealed.messages.len());
        for message in &sealed.messages {
            messages.push(match self.take(staged, message)? {
                Taken::Stored(id) => id,
                // Sent before: its row is the first one's. A process that is there already has no row to name.
                Taken::Seen(id) => id.unwrap_or_default(),
            });
        }
        self.effects(&mut known, plain)?;
        self.timers(known.no, plain)?;
        self.exceptions(known.no, plain)?;
        self.identities(known.no, plain)?;

        let deed = Deed {
            partition: sealed.partition,
            offset: None,
            process: Some(&plain.process),
            version: version + 1,
            at: plain.at,
            actor: &plain.actor,
            action: &plain.action,
            record: sealed.record_hash,
        };
        let entry = Entry {
            process_no: known.no,
            prev: known.journal,
            deed,
            transition: plain.id,
            messages: &messages,
            record: plain.record.as_deref(),
        };
        known.journal = self.append(staged, entry)?;
        self.process(staged, plain, known)?;
        Ok(Ok(Answer::Committed(Committed { version: version + 1, messages })))
    }

    /// Takes the key of a process that no message has taken.
    fn begin(&mut self, staged: &mut Staged, plain: &Transition) -> Result<Known, Failure> {
        let no = plain.settles.map_or_else(
            || {
                staged.tail.no += 1;
                staged.tail.no
            },
            |InboxId(id)| id,
        );
        self.sql.insert_process_key.execute((&plain.process.kind, &plain.process.key, no))?;
        Ok(Known::new(no))
    }

    fn process(&mut self, staged: &mut Staged, plain: &Transition, mut known: Known) -> Result<(), Failure> {
        let (row, summary) = (&plain.row, &plain.row.summary);
        let told = told(row);
        if known.told != told {
            let changed = run!(
                self.sql.put_process,
                known.no,
                &plain.process.kind,
                &plain.process.key,
                row.logic,
                Compact(&row.policy),
                &row.subject,
                priority_code(row.priority),
                row.opened_at.0,
                &summary.channel,
                &summary.site,
                &summary.number,
                &summary.market,
                &summary.total,
                &summary.currency,
            )?;
            if changed == 0 {
                return Err(refused(format!("the number of {} is that of another process", plain.process)));
            }
        }
        let put = if known.version == 0 { &mut self.sql.insert_state } else { &mut self.sql.update_state };
        put.execute((
            known.no,
            (known.version + 1).cast_signed(),
            known.journal,
            known.payload,
            plain.at.0,
            row.schema,
            &row.state,
            &row.document,
            &summary.stage,
            &summary.status,
            &summary.waiting_for,
            &known.effects,
        ))?;
        if (&known.status, &known.stage) != (&summary.status, &summary.stage) {
            let kind = &plain.process.kind;
            let mut count = |status: &Arc<str>, stage: &Arc<str>, change| {
                *staged.tally.entry([kind, status, stage].map(Arc::clone)).or_default() += change;
            };
            count(&summary.status, &summary.stage, 1);
            if known.version > 0 {
                count(&known.status, &known.stage, -1);
            }
        }
        let (status, stage) = (Arc::clone(&summary.status), Arc::clone(&summary.stage));
        known = Known { version: known.version + 1, status, stage, told, ..known };
        staged.known.insert(plain.process.clone(), known);
        Ok(())
    }

    fn payloads(&mut self, staged: &mut Staged, known: &mut Known, sealed: &SealedTransition) -> Result<(), Failure> {
        let expires_at = self.settings.payload_retention.map(|kept| (sealed.plain.at + kept).0);
        for (payload, body) in sealed.plain.payloads.iter().zip(&sealed.payloads) {
            if let Some(key) = body.key() {
                self.keep_key(staged, key)?;
            }
            staged.tail.payload += 1;
            let id = staged.tail.payload;
            self.sql.insert_payload.execute((id, known.no, known.payload, &payload.hash.0[..16], expires_at, body.bytes()))?;
            known.payload = id;
        }
        Ok(())
    }

    fn effects(&mut self, known: &mut Known, plain: &Transition) -> Result<(), Failure> {
        if plain.effects.is_empty() {
            return Ok(());
        }
        let (packed, moved) = effects::change(&known.effects, &plain.effects).map_err(|fault| refused(fault.to_string()))?;
        for Moved { no, from, to } in moved {
            if let Some(from) = from {
                self.sql.close_effect.execute((from.system, from.class, due(from.due), known.no, no))?;
            }
            if let Some(to) = to {
                self.sql.open_effect.execute((to.system, to.class, due(to.due), known.no, no, state_code(to.state)))?;
            }
        }
        known.effects = packed.into();
        Ok(())
    }

    fn timers(&mut self, no: i64, plain: &Transition) -> Result<(), Failure> {
        for (name, due) in &plain.timers {
            match due {
                Some(due) => self.sql.put_timer.execute((no, name, due.0))?,
                None => self.sql.delete_timer.execute((no, name))?,
            };
        }
        Ok(())
    }

    fn exceptions(&mut self, no: i64, plain: &Transition) -> Result<(), Failure> {
        for (name, row) in &plain.exceptions {
            match row {
                Some(row) => self.sql.put_exception.execute((
                    no,
                    name,
                    &row.class,
                    &row.step,
                    &row.intent,
                    &row.system,
                    &row.cause,
                    &row.suggestion,
                    row.since.0,
                    &row.payload,
                ))?,
                None => self.sql.delete_exception.execute((no, name))?,
            };
        }
        Ok(())
    }

    fn identities(&mut self, no: i64, plain: &Transition) -> Result<(), Failure> {
        for identity in &plain.identities {
            let system = identity.system.as_str();
            if self.sql.put_identity.execute((system, &identity.kind, &identity.theirs, no, &identity.ours))? == 0 {
                return Err(refused(format!(
                    "{} {} of {system} belongs to another process than {}",
                    identity.kind, identity.theirs, plain.process
                )));
            }
        }
        Ok(())
    }
}

fn due(due: Option<Timestamp>) -> i64 {
    due.map_or(NOT_DUE, |due| due.0)
}

fn refused(reason: String) -> Failure {
    Failure::Offender(StoreError::Constraint(reason))
}
