//! Accepting: an order, a webhook, a command. Scrubbed, addressed, on disk; then the core is told.

use super::{
    Running,
    clock::{self, Stopwatch},
};
use crate::{
    CommandRequest, HubError, OrderIntake,
    core::{HubMessage, Input, answer_in, intake_of, order_intake_of, row_of},
};
use crossdock_canonical::{Duration, SystemName};
use crossdock_connect::http::Request;
use crossdock_flows::Answer;
use crossdock_store::{Accepted, Addressee, CursorWrite, InboxId, Intake, ProcessKey, StoreError};
use std::sync::atomic::Ordering;
use tokio::sync::oneshot;

/// How soon a command's answer is looked for that another node may have written, and how seldom at last.
const LOOK_FIRST: Duration = Duration::millis(20);
const LOOK_MOST: Duration = Duration::millis(320);

impl Running {
    pub(super) async fn take_order(&self, order: OrderIntake) -> Result<Accepted, HubError> {
        self.check_open()?;
        let accepted = self.accept(vec![order_intake_of(order, self.clock.now())], None).await?;
        accepted.first().copied().ok_or_else(|| HubError::Store(StoreError::Damaged("no answer to one row".into())))
    }

    pub(super) async fn take_webhook(&self, system: SystemName, request: Request) -> Result<Vec<Accepted>, HubError> {
        let known = self.wiring.systems.get(&system).ok_or_else(|| HubError::NoSystem(system.clone()))?;
        self.check_open()?;
        let messages = known.connector.webhook(&system, &request, self.clock.now())?;
        let rows = messages.into_iter().map(|message| intake_of(&system, message, self.clock.now())).collect();
        Ok(self.accept(rows, None).await?)
    }

    pub(super) async fn take_command(&self, command: CommandRequest) -> Result<Answer, HubError> {
        self.check_open()?;
        let Some(loaded) = self.store.load(&command.process).await? else { return Err(HubError::NoProcess(command.process)) };
        if let Some(seen) = command.seen_version.filter(|seen| *seen != loaded.version) {
            return Err(HubError::Conflict { seen, found: loaded.version });
        }
        let message = HubMessage::Command {
            name: command.name.to_string(),
            body: command.body,
            key: command.idempotency_key.to_string(),
            seen_version: command.seen_version,
            birth: None,
        };
        let intake = Intake {
            to: Addressee::Process(command.process.clone()),
            source: SystemName::new("api"),
            message_id: Some(format!("{}/{}", command.process, command.idempotency_key).into()),
            kind: "command".into(),
            actor: command.actor,
            body: message.to_bytes(),
            subject: loaded.row.subject.clone(),
            at: self.clock.now(),
            starts: false,
        };
        let arrival = self.waiting.arrive();
        match self.accept(vec![intake], None).await?.first() {
            Some(Accepted::Stored(id)) => {
                let told = arrival.wait_for(*id);
                if self.standing.is_shared() {
                    return self.answer_from_anywhere(told, &command.process, *id, command.seen_version).await;
                }
                told.await.map_err(|_| HubError::Stopping)?
            }
            // The same command again: it was taken before.
            Some(Accepted::Duplicate) | None => Ok(Answer::Taken),
        }
    }

    /// Waits for an answer that this node gives or another, which writes it into the journal. Looked for ever more rarely.
    async fn answer_from_anywhere(
        &self,
        mut told: oneshot::Receiver<Result<Answer, HubError>>,
        process: &ProcessKey,
        row: InboxId,
        seen: Option<u64>,
    ) -> Result<Answer, HubError> {
        let watch = Stopwatch::start();
        let mut pause = LOOK_FIRST;
        while watch.elapsed() < self.options.answer_within {
            tokio::select! {
                biased;
                answer = &mut told => return answer.map_err(|_| HubError::Stopping)?,
                () = clock::pause(pause) => {}
            }
            pause = Duration((pause.0 * 2).min(LOOK_MOST.0));
            // While the store is away the owner cannot answer either.
            let Ok(journal) = self.read.journal(process).await else { continue };
            if let Some(answer) = journal.iter().rev().find_map(|record| answer_in(record, row, seen)) {
                return answer;
            }
        }
        Err(HubError::Unanswered(self.options.answer_within.0 / 1_000))
    }

    /// Stores rows and tells the core of those that are new. When it returns they are on disk.
    pub(super) async fn accept(&self, rows: Vec<Intake>, cursor: Option<CursorWrite>) -> Result<Vec<Accepted>, StoreError> {
        let kept = rows.clone();
        let _turn = self.turn().await;
        let accepted = self.store.accept(rows, cursor).await?;
        for (intake, accepted) in kept.into_iter().zip(&accepted) {
            if let Accepted::Stored(id) = accepted {
                self.backlog.fetch_add(1, Ordering::Relaxed);
                let row = row_of(intake, *id);
                let _ = self.inputs.send(Input::Inbox(row));
            }
        }
        Ok(accepted)
    }

    /// Whether anything more may be taken.
    pub(super) fn check_open(&self) -> Result<(), HubError> {
        if *self.stopping.borrow() {
            return Err(HubError::Stopping);
        }
        let waiting = self.backlog.load(Ordering::Relaxed);
        if waiting >= self.options.inbox_cap {
            return Err(HubError::Overloaded(format!("{waiting} messages wait to be folded")));
        }
        Ok(())
    }
}
