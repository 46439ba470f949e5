//! What callers put before the writer. All that needs no store is done by then: bodies are compressed and sealed, digests made.

use crate::{
    Accepted, Committed, CursorWrite, Intake, Lease, ProcessKey, StoreError, Transition, TransitionId,
    codes::{REFERENCE, reference},
    vault::{Place, Sealed, SubjectKey, Vault},
};
use crossdock_canonical::Timestamp;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use tokio::sync::oneshot;

pub(crate) struct Request {
    pub(crate) op: Op,
    pub(crate) reply: oneshot::Sender<Result<Answer, StoreError>>,
}

pub(crate) enum Op {
    Accept {
        rows: Vec<SealedIntake>,
        cursor: Option<CursorWrite>,
    },
    Commit(Box<SealedTransition>),
    WasCommitted {
        process: ProcessKey,
        transition: TransitionId,
    },
    Lease {
        node: Arc<str>,
        now: Timestamp,
    },
    SetCursor(CursorWrite),
    PutPin {
        hash: String,
        body: Vec<u8>,
    },
    Audit {
        at: Timestamp,
        actor: String,
        action: String,
    },
    Erase {
        at: Timestamp,
        actor: String,
        subject: String,
    },
    /// Removes what is past its retention: a bounded piece a call.
    Sweep {
        now: Timestamp,
        folded_before: Timestamp,
        limit: usize,
    },
}

impl Op {
    /// The keys that what it stores was sealed under.
    pub(crate) fn keys(&self) -> Box<dyn Iterator<Item = &Arc<SubjectKey>> + '_> {
        match self {
            Self::Accept { rows, .. } => Box::new(rows.iter().map(|row| &row.body.key)),
            Self::Commit(transition) => Box::new(
                transition.payloads.iter().filter_map(Archived::key).chain(transition.messages.iter().map(|row| &row.body.key)),
            ),
            Self::WasCommitted { .. }
            | Self::Lease { .. }
            | Self::SetCursor(_)
            | Self::PutPin { .. }
            | Self::Audit { .. }
            | Self::Erase { .. }
            | Self::Sweep { .. } => Box::new(std::iter::empty()),
        }
    }
}

impl Op {
    /// About how many bytes it writes: its bodies, records and states.
    pub(crate) fn bytes(&self) -> usize {
        let sealed = |rows: &[SealedIntake]| rows.iter().map(|row| row.body.bytes.len()).sum::<usize>();
        match self {
            Self::Accept { rows, .. } => sealed(rows),
            Self::Commit(transition) => {
                let payloads: usize = transition.payloads.iter().map(|payload| payload.bytes().len()).sum();
                let plain = &transition.plain;
                payloads + sealed(&transition.messages) + plain.row.state.len() + plain.record.as_ref().map_or(0, Vec::len)
            }
            Self::SetCursor(write) => write.body.len(),
            Self::PutPin { body, .. } => body.len(),
            Self::WasCommitted { .. } | Self::Lease { .. } | Self::Audit { .. } | Self::Erase { .. } | Self::Sweep { .. } => 0,
        }
    }
}

pub(crate) enum Answer {
    Accepted(Vec<Accepted>),
    Committed(Committed),
    Found(Option<Committed>),
    Leased(Vec<Lease>),
    Erased(bool),
    Swept(usize),
    Done,
}

/// Each answer as what it was asked for; `None` when it is another.
impl Answer {
    pub(crate) fn accepted(self) -> Option<Vec<Accepted>> {
        if let Self::Accepted(answer) = self { Some(answer) } else { None }
    }

    pub(crate) fn committed(self) -> Option<Committed> {
        if let Self::Committed(answer) = self { Some(answer) } else { None }
    }

    pub(crate) fn found(self) -> Option<Option<Committed>> {
        if let Self::Found(answer) = self { Some(answer) } else { None }
    }

    pub(crate) fn leased(self) -> Option<Vec<Lease>> {
        if let Self::Leased(answer) = self { Some(answer) } else { None }
    }

    pub(crate) fn erased(self) -> Option<bool> {
        if let Self::Erased(answer) = self { Some(answer) } else { None }
    }

    pub(crate) fn swept(self) -> Option<usize> {
        if let Self::Swept(answer) = self { Some(answer) } else { None }
    }
}

pub(crate) struct SealedIntake {
    pub(crate) intake: Intake,
    pub(crate) body: Sealed,
}

impl SealedIntake {
    pub(crate) fn new(vault: &Vault, intake: Intake) -> Result<Self, StoreError> {
        let body = vault.seal(&intake.subject, &Place::from(&intake), &intake.body)?;
        Ok(Self { intake, body })
    }
}

/// A payload as it goes to the disk.
pub(crate) enum Archived {
    Sealed(Sealed),
    /// Kept already, as a message: the reference to it.
    Message([u8; REFERENCE]),
}

impl Archived {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Sealed(sealed) => &sealed.bytes,
            Self::Message(reference) => reference,
        }
    }

    pub(crate) fn key(&self) -> Option<&Arc<SubjectKey>> {
        match self {
            Self::Sealed(sealed) => Some(&sealed.key),
            Self::Message(_) => None,
        }
    }
}

pub(crate) struct SealedTransition {
    /// Without its messages, which are sealed below.
    pub(crate) plain: Transition,
    pub(crate) partition: u16,
    pub(crate) record_hash: Option<[u8; 32]>,
    /// In the order of the payloads of `plain`.
    pub(crate) payloads: Vec<Archived>,
    pub(crate) messages: Vec<SealedIntake>,
}

impl SealedTransition {
    pub(crate) fn new(vault: &Vault, mut plain: Transition) -> Result<Self, StoreError> {
        let payloads = plain
            .payloads
            .iter()
            .map(|payload| match payload.message {
                Some(id) => Ok(Archived::Message(reference(id))),
                None => {
                    let place = Place::Payload { process: &plain.process, hash: &payload.hash };
                    vault.seal(&plain.row.subject, &place, &payload.bytes).map(Archived::Sealed)
                }
            })
            .collect::<Result<_, _>>()?;
        let messages = std::mem::take(&mut plain.messages)
            .into_iter()
            .map(|intake| SealedIntake::new(vault, intake))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            partition: plain.process.partition(),
            record_hash: plain.record.as_ref().map(|record| Sha256::digest(record).into()),
            payloads,
            messages,
            plain,
        })
    }
}
