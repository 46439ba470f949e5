//! The write-ahead log: how long it is, and moving what it holds into the database before it grows for ever.
//!
//! Nearly all is moved by a thread and a connection of their own, beside the commits that go on meanwhile. What these add is left over,
//! less each time; the writer moves the last of it between two groups, and only that makes SQLite begin the log anew.

use super::{Failure, Settings};
use crate::StoreError;
use rusqlite::Connection;
use std::{
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
        mpsc::{self, Receiver, SyncSender, TryRecvError},
    },
    thread::{self, JoinHandle},
};

/// How often the mover goes over the log for what came meanwhile, before the writer does the rest.
const ROUNDS_MAX: usize = 3;

pub(super) struct Log {
    /// In pages, as SQLite tells it at each commit.
    pages: Arc<AtomicI32>,
    /// It is moved when it has grown to this. 0: at once and by the writer, which cuts the file as well.
    next: i32,
    /// Moved each time it has grown by so much; cut as well beyond the other.
    every: i32,
    most: i32,
    mover: Mover,
}

/// The thread that moves most of it.
struct Mover {
    /// `None` when closing.
    orders: Option<SyncSender<()>>,
    done: Receiver<Result<(), String>>,
    is_busy: bool,
    thread: Option<JoinHandle<()>>,
}

impl Log {
    pub(super) fn watch(conn: &mut Connection, mover: Connection, settings: &Settings) -> Result<Self, StoreError> {
        let pages = Arc::new(AtomicI32::new(0));
        let seen = Arc::clone(&pages);
        conn.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            seen.store(pages, Ordering::Relaxed);
            Ok(())
        }))?;
        let (every, most) = (settings.checkpoint_pages, settings.log_pages_max);
        let mover = Mover::start(mover, Arc::clone(&pages), every / 8)?;
        Ok(Self { pages, next: every, every, most, mover })
    }

    /// After the answers of a group, so that nobody waits for it but the next one. An error is fatal.
    pub(super) fn move_if_due(&mut self, conn: &Connection) -> Result<(), String> {
        let pages = self.pages.load(Ordering::Relaxed);
        if self.next == 0 || pages >= self.most {
            self.cut(conn)?;
        } else if let Some(moved) = self.mover.has_ended() {
            moved?;
            checkpoint(conn, "PASSIVE")?;
        } else {
            if pages >= self.next && !self.mover.is_busy {
                self.mover.start_moving();
            } else if pages < self.every {
                // The log began anew since the last time.
                self.next = self.every;
            }
            return Ok(());
        }
        // A reader may have kept it from being complete: then another try comes a little later, not at every commit.
        self.next = pages + self.every;
        Ok(())
    }

    /// Moves all of it, and cuts the file to nothing.
    pub(super) fn cut(&mut self, conn: &Connection) -> Result<(), String> {
        // Two at once keep each other from it.
        self.mover.wait()?;
        checkpoint(conn, "TRUNCATE").map(|_| ())
    }

    /// It holds what must be nowhere any more.
    pub(super) fn cut_soon(&mut self) {
        self.next = 0;
    }
}

impl Mover {
    fn start(conn: Connection, pages: Arc<AtomicI32>, few: i32) -> Result<Self, StoreError> {
        let (orders, ordered) = mpsc::sync_channel(1);
        let (tell, done) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("store-move".into())
            .spawn(move || {
                for () in ordered {
                    // The writer that has gone hears nothing, and needs nothing.
                    let _ = tell.send(move_most(&conn, &pages, few));
                }
            })
            .map_err(|e| StoreError::Unavailable(format!("no thread for checkpoints: {e}")))?;
        Ok(Self { orders: Some(orders), done, is_busy: false, thread: Some(thread) })
    }

    fn start_moving(&mut self) {
        if let Some(orders) = &self.orders {
            // There is room for one, and none is under way.
            self.is_busy = orders.try_send(()).is_ok();
        }
    }

    /// How it ended, told once.
    fn has_ended(&mut self) -> Option<Result<(), String>> {
        match self.done.try_recv() {
            Ok(ended) => {
                self.is_busy = false;
                Some(ended)
            }
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => None,
        }
    }

    fn wait(&mut self) -> Result<(), String> {
        if !self.is_busy {
            return Ok(());
        }
        self.is_busy = false;
        self.done.recv().unwrap_or(Ok(()))
    }
}

impl Drop for Mover {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Goes over the log until no more than `few` pages came meanwhile.
fn move_most(conn: &Connection, pages: &AtomicI32, few: i32) -> Result<(), String> {
    for _ in 0..ROUNDS_MAX {
        let moved = checkpoint(conn, "PASSIVE")?;
        if pages.load(Ordering::Relaxed) - moved <= few {
            break;
        }
    }
    Ok(())
}

/// How many pages of the log are in the database now. A reader in the way makes a checkpoint incomplete, which is no error. A disk that
/// fails is one, and fatal.
fn checkpoint(conn: &Connection, mode: &str) -> Result<i32, String> {
    match conn.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get(2)) {
        Ok(moved) => Ok(moved),
        Err(e) => match Failure::from(e) {
            Failure::Fatal(message) => Err(format!("a checkpoint failed: {message}")),
            Failure::Unavailable(_) | Failure::Offender(_) => Ok(0),
        },
    }
}
