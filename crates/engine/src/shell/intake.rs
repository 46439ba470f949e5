//! Accepting: an order, a webhook, a command. Scrubbed, addressed, on disk; then the core is told.

use super::Running;
use crate::{
    CommandRequest, HubError, OrderIntake,
    core::{HubMessage, Input, intake_of, row_of},
};
use crossdock_canonical::{OrderRef, SystemName};
use crossdock_connect::{http::Request, scrub};
use crossdock_flows::Answer;
use crossdock_store::{Accepted, Addressee, CursorWrite, Intake, ProcessKey, StoreError};
use std::sync::PoisonError;
use tokio::sync::oneshot;

impl Running {
    pub(super) async fn take_order(&self, order: OrderIntake) -> Result<Accepted, HubError> {
        self.check_open()?;
        let reference =
            OrderRef { channel: (&*order.channel).into(), site: (&*order.site).into(), number: (&*order.number).into() };
        let intake = Intake {
            to: Addressee::Process(ProcessKey::new("order", &reference.to_string())),
            source: order.source,
            message_id: order.idempotency_key.map(|key| format!("{}/{}/{key}", order.channel, order.site).into()),
            kind: "order.placed".into(),
            actor: order.actor,
            body: scrub::scrub(&order.body).bytes.into(),
            subject: format!("order:{reference}").into(),
            at: self.clock.now(),
            starts: true,
        };
        let accepted = self.accept(vec![intake], None).await?;
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
        match self.store.accept(vec![intake.clone()], None).await?.first() {
            Some(Accepted::Stored(id)) => {
                let (tell, told) = oneshot::channel();
                self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(*id, tell);
                let _ = self.inputs.send(Input::Inbox(row_of(intake, *id)));
                told.await.map_err(|_| HubError::Stopping)?
            }
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
                let row = row_of(intake, *id);
                let _ = self.inputs.send(Input::Inbox(row));
            }
        }
        Ok(accepted)
    }

    fn check_open(&self) -> Result<(), HubError> {
        if *self.stopping.borrow() {
            return Err(HubError::Stopping);
        }
        let waiting = self.view.read().unwrap_or_else(PoisonError::into_inner).inbox.0 as u64;
        if waiting >= self.options.inbox_cap {
            return Err(HubError::Overloaded(format!("{waiting} messages wait to be folded")));
        }
        Ok(())
    }
}
