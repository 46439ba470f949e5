//! Who waits for the answer to a command.
//!
//! A command's row can be read and folded before `accept` has returned its id, so its answer may be there before anybody can wait
//! for it. Such answers are kept as long as somebody is on the way between the two, and no longer.

use crate::HubError;
use crossdock_flows::Answer;
use crossdock_store::InboxId;
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::oneshot;

type Reply = Result<Answer, HubError>;

#[derive(Default)]
pub(super) struct Waiting(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    waiters: HashMap<InboxId, oneshot::Sender<Reply>>,
    /// How many are about to accept a row and wait for it.
    arriving: usize,
    /// Answers that one of them may wait for.
    early: HashMap<InboxId, Reply>,
    /// No answer will come any more.
    closed: bool,
}

/// Somebody who is about to accept a row and wait for its answer.
pub(super) struct Arrival<'w>(&'w Waiting);

impl Waiting {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called before the row is accepted.
    pub fn arrive(&self) -> Arrival<'_> {
        self.inner().arriving += 1;
        Arrival(self)
    }

    pub fn answer(&self, row: InboxId, reply: Reply) {
        let mut inner = self.inner();
        match inner.waiters.remove(&row) {
            // Who waited may have gone.
            Some(waiter) => drop(waiter.send(reply)),
            None if inner.arriving > 0 => drop(inner.early.insert(row, reply)),
            None => {}
        }
    }

    /// Ends all waiting, now and later.
    pub fn close(&self) {
        let mut inner = self.inner();
        inner.closed = true;
        inner.waiters.clear();
    }
}

impl Arrival<'_> {
    /// The row has this id. The receiver ends without an answer when the hub stops.
    pub fn wait_for(self, row: InboxId) -> oneshot::Receiver<Reply> {
        let (tell, told) = oneshot::channel();
        let mut inner = self.0.inner();
        match inner.early.remove(&row) {
            Some(reply) => drop(tell.send(reply)),
            None if inner.closed => {}
            None => drop(inner.waiters.insert(row, tell)),
        }
        told
    }
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.inner();
        inner.arriving -= 1;
        if inner.arriving == 0 {
            inner.early.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_reaches_whoever_waits_for_it_whichever_comes_first() {
        let waiting = Waiting::default();
        let (first, second) = (waiting.arrive(), waiting.arrive());
        waiting.answer(InboxId(1), Ok(Answer::Taken));
        let first = first.wait_for(InboxId(1));
        let second = second.wait_for(InboxId(2));
        waiting.answer(InboxId(2), Ok(Answer::Taken));
        for told in [first, second] {
            assert!(matches!(told.await, Ok(Ok(Answer::Taken))));
        }
    }

    #[tokio::test]
    async fn no_answer_is_kept_that_nobody_can_wait_for() {
        let waiting = Waiting::default();
        waiting.answer(InboxId(1), Ok(Answer::Taken));
        let gone = waiting.arrive();
        waiting.answer(InboxId(2), Ok(Answer::Taken));
        drop(gone);
        let inner = waiting.inner();
        assert_eq!((inner.arriving, inner.early.len(), inner.waiters.len()), (0, 0, 0));
    }

    #[tokio::test]
    async fn a_stopped_hub_lets_nobody_wait() {
        let waiting = Waiting::default();
        let before = waiting.arrive().wait_for(InboxId(1));
        waiting.close();
        let after = waiting.arrive().wait_for(InboxId(2));
        assert!(before.await.is_err() && after.await.is_err());
    }
}
