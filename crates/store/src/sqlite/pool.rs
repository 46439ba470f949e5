//! Reader threads, each with its own connection: what they read is the last commit, and they never make a writer wait.

use super::{open, options::Options};
use crate::{StoreError, vault::Vault};
use rusqlite::Connection;
use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
};
use tokio::sync::oneshot;

/// Questions that may wait.
const QUEUE: usize = 4_096;

type Job = Box<dyn FnOnce(&Reader) + Send>;

/// What a question is answered with.
pub(super) struct Reader {
    pub(super) conn: Connection,
    pub(super) vault: Arc<Vault>,
}

impl Reader {
    /// Runs `read` on one snapshot: what it sees in two statements was committed together.
    pub(super) fn snapshot<T>(&self, read: impl FnOnce(&Self) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let transaction = self.conn.unchecked_transaction()?;
        let answer = read(self);
        // Nothing was written: ending it cannot fail in a way that matters to the answer.
        drop(transaction);
        answer
    }
}

pub(super) struct Pool {
    /// `None` once closing.
    jobs: Option<mpsc::SyncSender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    pub(super) fn start(options: &Options, vault: &Arc<Vault>) -> Result<Self, StoreError> {
        let (sender, receiver) = mpsc::sync_channel::<Job>(QUEUE);
        let receiver = Arc::new(Mutex::new(receiver));
        let mut threads = Vec::new();
        for n in 0..options.readers.max(1) {
            let reader = Reader { conn: open::reader(options)?, vault: Arc::clone(vault) };
            let receiver = Arc::clone(&receiver);
            let thread = thread::Builder::new()
                .name(format!("store-read-{n}"))
                .spawn(move || {
                    loop {
                        // One waits in `recv`, the others for the lock; a job runs with the lock free.
                        let job = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                        match job {
                            Ok(job) => job(&reader),
                            Err(mpsc::RecvError) => break,
                        }
                    }
                })
                .map_err(|e| StoreError::Unavailable(format!("no thread for reading: {e}")))?;
            threads.push(thread);
        }
        Ok(Self { jobs: Some(sender), threads })
    }

    /// Asks a question; the answer comes through the channel.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<T, StoreError>>, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |reader| {
            // Who asked may have gone; then nobody wants the answer.
            let _ = reply.send(reader.snapshot(read));
        });
        match self.jobs.as_ref().map(|jobs| jobs.try_send(job)) {
            Some(Ok(())) => Ok(answer),
            Some(Err(mpsc::TrySendError::Full(_))) => Err(StoreError::Busy(QUEUE)),
            Some(Err(mpsc::TrySendError::Disconnected(_))) | None => Err(StoreError::Unavailable("the store is closed".into())),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
