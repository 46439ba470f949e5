//! Writing the rows of a group, and looking at how many were really written.

use super::{
    Link, UNTIL_DONE, Writer, Written,
    batch::{Batch, Tallies, Tally},
    stage::Stage,
};
use crate::{StoreError, audit, postgres::error::Failure, request::Answer};
use std::{future::poll_fn, pin::Pin, task::Poll};
use tokio_postgres::{Error, Statement, types::ToSql};

/// What it means when fewer rows were written than were sent.
enum Fewer {
    /// Nothing: a timer that was not there need not be cancelled.
    Fine,
    /// One of the group broke this rule.
    Refused(&'static str),
    /// Another node wrote one of them since they were looked up.
    Raced(&'static str),
}

/// One statement with its rows.
struct Step<'s> {
    statement: &'s Statement,
    values: Vec<&'s (dyn ToSql + Sync)>,
    rows: usize,
    fewer: Fewer,
}

impl<'s> Step<'s> {
    fn batch(statement: &'s Statement, batch: &'s impl Batch, fewer: Fewer) -> Self {
        Self { statement, values: batch.values(), rows: batch.rows(), fewer }
    }
}

type Running<'a> = Pin<Box<dyn Future<Output = Result<u64, Error>> + Send + 'a>>;

impl Writer {
    /// Writes what the stage holds.
    pub(super) async fn finish(
        &self,
        Link { client, sql }: &Link,
        stage: Stage<'_>,
        answers: Vec<Result<Answer, StoreError>>,
    ) -> Result<Written, Failure> {
        let rows = &stage.rows;
        let tails: Vec<_> = stage.found.tails.iter().filter(|(_, tail)| tail.moved).collect();
        let partitions: Vec<i16> = tails.iter().map(|(partition, _)| **partition).collect();
        let epochs: Vec<i64> = tails.iter().map(|(_, tail)| tail.epoch).collect();
        let offsets: Vec<i64> = tails.iter().map(|(_, tail)| tail.offset).collect();
        let heads: Vec<&[u8]> = tails.iter().map(|(_, tail)| &tail.head[..]).collect();
        let own = stage.found.own.bytes();
        let cursors = rows.cursors();
        let mut tallies = Tallies::default();
        for ([kind, status, stage], count) in stage.tally.iter().filter(|(_, count)| **count != 0) {
            tallies.push(Tally { kind, status, stage, shard: self.settings.shard, count: *count });
        }

        let name = audit::OWN_ROWS;
        let (timer_nos, timer_names) = &rows.cancelled_timers;
        let (exception_nos, exception_names) = &rows.closed_exceptions;
        let mut steps = vec![
            Step::batch(&sql.keys, &rows.keys, Fewer::Fine),
            Step::batch(&sql.dedups, &rows.dedups, Fewer::Raced("another node took the same message")),
            Step::batch(&sql.process_keys, &rows.process_keys, Fewer::Raced("another node took the same process")),
            Step {
                statement: &sql.settle,
                values: vec![&rows.settled],
                rows: rows.settled.len(),
                fewer: Fewer::Refused("its inbox row does not wait: it was settled before, or never stored"),
            },
            Step {
                statement: &sql.move_tails,
                values: vec![&partitions, &epochs, &offsets, &heads],
                rows: partitions.len(),
                fewer: Fewer::Raced("a lease moved though it was locked"),
            },
            Step::batch(&sql.processes, &rows.processes, Fewer::Refused("its number is that of another process")),
            Step::batch(&sql.states, &rows.states, Fewer::Raced("a process began though its partition was locked")),
            Step::batch(&sql.move_states, &rows.moved_states, Fewer::Raced("a process moved though its partition was locked")),
            Step::batch(&sql.payloads, &rows.payloads, Fewer::Fine),
            Step::batch(&sql.effects, &rows.effects, Fewer::Refused("an effect would change its name, or its generation fall")),
            Step::batch(&sql.timers, &rows.timers, Fewer::Fine),
            Step {
                statement: &sql.cancel_timers,
                values: vec![timer_nos, timer_names],
                rows: timer_nos.len(),
                fewer: Fewer::Fine,
            },
            Step::batch(&sql.exceptions, &rows.exceptions, Fewer::Fine),
            Step {
                statement: &sql.close_exceptions,
                values: vec![exception_nos, exception_names],
                rows: exception_nos.len(),
                fewer: Fewer::Fine,
            },
            Step::batch(&sql.identities, &rows.identities, Fewer::Refused("an identity belongs to another process")),
            Step::batch(&sql.messages, &rows.messages, Fewer::Fine),
            Step::batch(&sql.waitings, &rows.waitings, Fewer::Fine),
            Step::batch(&sql.links, &rows.links, Fewer::Fine),
            Step::batch(&sql.cursors, &cursors, Fewer::Fine),
            Step::batch(&sql.pins, &rows.pins, Fewer::Fine),
            Step { statement: &sql.set_meta, values: vec![&name, &own], rows: usize::from(stage.audited), fewer: Fewer::Fine },
            // Last, since another store of the same shard waits for it.
            Step::batch(&sql.tallies, &tallies, Fewer::Fine),
        ];
        steps.retain(|step| step.rows > 0);

        let mut running: Vec<Running<'_>> = Vec::with_capacity(steps.len() + 1);
        for step in &steps {
            running.push(Box::pin(client.execute(step.statement, &step.values)));
        }
        running.push(Box::pin(async { client.batch_execute(UNTIL_DONE).await.map(|()| 0) }));
        let mut done = together(running).await.into_iter();
        let written = done.by_ref().take(steps.len()).collect::<Result<Vec<_>, _>>()?;
        // This one too: after an error the server would take the commit for an order to undo, and say so to nobody.
        done.try_for_each(|last| last.map(|_| ()))?;
        for (step, written) in steps.iter().zip(written) {
            if written == step.rows as u64 {
                continue;
            }
            match step.fewer {
                Fewer::Fine => {}
                Fewer::Refused(reason) => return Err(Failure::Offender(StoreError::Constraint(reason.into()))),
                Fewer::Raced(reason) => return Err(Failure::Raced(reason.into())),
            }
        }
        Ok(Written { answers, messages: rows.messages.rows() > 0, seq: stage.last_seq, keys: stage.stored_keys, erased: None })
    }
}

/// Starts all in their order, so that they are sent in it, and waits for the last.
async fn together(mut running: Vec<Running<'_>>) -> Vec<Result<u64, Error>> {
    let mut done: Vec<Option<Result<u64, Error>>> = running.iter().map(|_| None).collect();
    poll_fn(|context| {
        let mut open = false;
        for (one, done) in running.iter_mut().zip(&mut done) {
            if done.is_none() {
                match one.as_mut().poll(context) {
                    Poll::Ready(answer) => *done = Some(answer),
                    Poll::Pending => open = true,
                }
            }
        }
        if open { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    done.into_iter().flatten().collect()
}
