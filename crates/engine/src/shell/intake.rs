//! Accepting: an order, a webhook, a command. Scrubbed, addressed, on disk; then the core is told.

use super::Running;
use crate::{
    CommandRequest, HubError, OrderIntake,
    core::{HubMessage, Input, intake_of, order_intake_of, row_of},
};
use crossdock_canonical::SystemName;
use crossdock_connect::http::Request;
use crossdock_flows::Answer;
use crossdock_store::{Accepted, Addressee, CursorWrite, Intake, StoreError};
use std::sync::atomic::Ordering;

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
            Some(Accepted::Stored(id)) => arrival.wait_for(*id).await.map_err(|_| HubError::Stopping)?,
            // The same command again: it was taken before.
            Some(Accepted::Duplicate) | None => Ok(Answer::Taken),
        }
    }

    /// Stores rows and tells the core of those that are new. When it returns they are on disk.
    pub(super) async fn accept(&self, rows: Vec<Intake>, cursor: Option<CursorWrite>) -> Result<Vec<Accepted>, StoreError> {
        let kept = rows.clone();
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
