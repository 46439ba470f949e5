//! The scheduler: jobs at their times, each occurrence once over all nodes. When a job last ran is stored before it runs, so a hub that dies in the
//! middle does not run it again; what a run missed, the next one finds.

use super::{Running, client::Client, clock, poll};
use crossdock_canonical::{Duration, MarketId, SystemName, Timestamp};
use crossdock_store::{CursorWrite, StoreError};
use std::{fmt, sync::Arc};
use tokio::sync::watch;

/// A start this late still counts as in time.
const IN_TIME: Duration = Duration::seconds(60);
/// The longest wait in one piece, so that a clock that is set is noticed.
const NAP: Duration = Duration::seconds(30);
/// How soon a node looks again whether a job is its own.
const LOOK: Duration = Duration::seconds(1);

/// One job and its times.
#[derive(Clone)]
pub struct Schedule {
    pub name: Arc<str>,
    pub job: Job,
    /// The first time after an instant.
    pub next_after: Arc<dyn Fn(Timestamp) -> Option<Timestamp> + Send + Sync>,
    /// Whether one run makes up for occurrences that passed while no hub ran.
    pub catch_up: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// Ask a system for news, page by page until there is none.
    Poll(SystemName),
    /// Compare every open process with its systems; of one market, or of all.
    Reconcile(Option<MarketId>),
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedule").field("name", &self.name).field("job", &self.job).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Wait(Duration),
    Run,
    Skip,
    /// It never comes again.
    Never,
}

/// What a schedule that last ran at `last` does now.
fn turn(schedule: &Schedule, last: Timestamp, now: Timestamp) -> Turn {
    match (schedule.next_after)(last) {
        None => Turn::Never,
        Some(due) if due > now => Turn::Wait(Duration((due - now).0.min(NAP.0))),
        Some(due) if schedule.catch_up || now - due <= IN_TIME => Turn::Run,
        Some(_) => Turn::Skip,
    }
}

/// Starts a task for each schedule.
pub(super) fn start(hub: &Arc<Running>, client: &Arc<Client>, stopped: &watch::Receiver<bool>) {
    for schedule in hub.options.schedules.clone() {
        tokio::spawn(follow(hub.clone(), client.clone(), schedule, stopped.clone()));
    }
}

/// What is stored of a schedule: when it last ran, and the bytes that say so.
struct Mark {
    last: Timestamp,
    stored: Vec<u8>,
}

async fn follow(hub: Arc<Running>, client: Arc<Client>, schedule: Schedule, mut stopped: watch::Receiver<bool>) {
    let cursor: Arc<str> = format!("schedule/{}", schedule.name).into();
    // A poll is made by whoever is in charge of it.
    let charge = match &schedule.job {
        Job::Poll(system) => poll::charge(system),
        Job::Reconcile(_) => cursor.clone(),
    };
    let mut known: Option<Mark> = None;
    loop {
        let now = hub.clock.now();
        let pause = if !hub.standing.is_in_charge_of(&charge) {
            known = None;
            LOOK
        } else if let Some(mark) = &mut known {
            match turn(&schedule, mark.last, now) {
                Turn::Never => return,
                Turn::Wait(pause) => pause,
                Turn::Skip => {
                    tracing::info!(schedule = %schedule.name, "missed while no hub ran, skipped");
                    mark.last = now;
                    continue;
                }
                Turn::Run => match write(&hub, &cursor, now, &mark.stored).await {
                    Ok(written) => {
                        known = Some(written);
                        perform(&hub, &client, &schedule.job).await;
                        continue;
                    }
                    Err(error) => {
                        tracing::warn!(schedule = %schedule.name, %error, "not run: its mark could not be stored");
                        known = None;
                        LOOK
                    }
                },
            }
        } else {
            match begin(&hub, &cursor, now).await {
                Ok(mark) => {
                    known = Some(mark);
                    continue;
                }
                Err(_) => LOOK,
            }
        };
        tokio::select! {
            _ = stopped.changed() => return,
            () = clock::pause(pause) => {}
        }
    }
}

/// Where it stands. One that never ran counts from now; with several nodes that is stored, or each that comes in charge would begin anew.
async fn begin(hub: &Running, cursor: &Arc<str>, now: Timestamp) -> Result<Mark, StoreError> {
    let stored = hub.store.cursor(cursor).await?.unwrap_or_default();
    let last = std::str::from_utf8(&stored).ok().and_then(|text| text.parse().ok()).map(Timestamp);
    match last {
        Some(last) => Ok(Mark { last, stored }),
        None if hub.standing.is_shared() => write(hub, cursor, now, &stored).await,
        None => Ok(Mark { last: now, stored }),
    }
}

/// Stores that it runs now, unless another node has since said so.
async fn write(hub: &Running, cursor: &Arc<str>, now: Timestamp, seen: &[u8]) -> Result<Mark, StoreError> {
    let stored = now.0.to_string().into_bytes();
    hub.store.set_cursor(CursorWrite { name: cursor.clone(), body: stored.clone(), seen: Some(seen.to_vec()) }).await?;
    Ok(Mark { last: now, stored })
}

async fn perform(hub: &Running, client: &Client, job: &Job) {
    match job {
        Job::Poll(system) => {
            if let Some(system) = hub.wiring.systems.get(system) {
                poll::all(hub, client, system).await;
            }
        }
        Job::Reconcile(market) => {
            // Each node asks about the processes that are its own.
            let of = market.as_ref().map(ToString::to_string).unwrap_or_default();
            hub.standing.ask_all(format!("reconcile/{of}"), hub.clock.now());
            poll::reconcile_open(hub, market.as_ref()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_ten_seconds(catch_up: bool) -> Schedule {
        let next = |at: Timestamp| Some(Timestamp((at.0.div_euclid(10_000) + 1) * 10_000));
        Schedule { name: "test".into(), job: Job::Reconcile(None), next_after: Arc::new(next), catch_up }
    }

    #[test]
    fn an_occurrence_runs_once_and_missed_ones_are_made_up_for_or_skipped() {
        for (catch_up, last, now, expected) in [
            (true, 0, 4_000, Turn::Wait(Duration(6_000))),
            (true, 0, 10_000, Turn::Run),
            // Ran at ten seconds: the next one is not before twenty.
            (true, 10_000, 10_001, Turn::Wait(Duration(9_999))),
            (true, 0, 3_600_000, Turn::Run),
            (true, 3_600_000, 3_600_000, Turn::Wait(Duration(10_000))),
            (false, 0, 10_000 + IN_TIME.0, Turn::Run),
            (false, 0, 3_600_000, Turn::Skip),
        ] {
            assert_eq!(turn(&every_ten_seconds(catch_up), Timestamp(last), Timestamp(now)), expected, "{last} {now}");
        }
    }
}
