//! A node's turns: its heartbeat, which leases it gives back and takes, and what it hears of the others. Whose turn a partition is
//! `nodes` decides; the core is told of what came and went, and says when it is done with what it hands over.

use super::{Running, clock, standing::Standing};
use crate::{
    NodeView,
    core::Input,
    nodes::{About, BEATS, Heard, Members, News, Word},
};
use crossdock_canonical::{Duration, MarketId, SystemName, Timestamp};
use crossdock_store::{Membership, Release, StoreError};
use std::sync::Arc;
use tokio::sync::mpsc;

/// How long a node that stops waits for what it hands over. The core needs less unless the store is away.
const HAND_OVER: Duration = Duration::seconds(4);

/// What the core says of its partitions.
pub(super) enum Change {
    GaveUp(Release),
    Superseded(u16),
}

pub(super) struct Turns {
    hub: Arc<Running>,
    members: Members,
    heard: Heard,
    share: (u32, u32),
}

/// Takes the first turn: whoever cannot say that he is there does not start.
pub(super) async fn join(hub: &Arc<Running>) -> Result<Turns, StoreError> {
    let node = &hub.options.node;
    let mut turns =
        Turns { hub: hub.clone(), members: Members::new(node.id(), node.lease), heard: Heard::default(), share: (0, 1) };
    let read = turns.take(false).await?;
    match read.nodes.iter().find(|row| row.node == node.id()) {
        Some(row) if row.beat > 1 => {
            Err(StoreError::Constraint(format!("a node called {} is there already: give this one another name", node.id())))
        }
        _ => Ok(turns),
    }
}

/// Takes turns until the hub leaves, then hands all over and leaves.
pub(super) async fn run(mut turns: Turns, mut changes: mpsc::UnboundedReceiver<Change>) {
    let hub = turns.hub.clone();
    let every = Duration((hub.options.node.lease.0 / BEATS).max(1));
    let mut leaving = hub.leaving.subscribe();
    while !*leaving.borrow() {
        let pause = if turns.members.is_eager() { Duration(1) } else { every };
        tokio::select! {
            biased;
            _ = leaving.changed() => break,
            change = changes.recv() => turns.note(change, &mut changes),
            () = clock::pause(pause) => {}
        }
        // One that fails is made up for by the next.
        let _ = turns.take(false).await;
    }
    turns.leave(&mut changes, every).await;
    let _ = hub.ended.send(true);
}

impl Turns {
    fn note(&mut self, first: Option<Change>, more: &mut mpsc::UnboundedReceiver<Change>) {
        let mut next = first;
        while let Some(change) = next {
            match change {
                Change::GaveUp(release) => self.members.gave_up(release),
                Change::Superseded(partition) => self.members.superseded(partition),
            }
            next = more.try_recv().ok();
        }
        self.hub.standing.set_owned(self.members.owned(), self.members.held());
    }

    /// Hands over what it has, as far as that is possible in a while, and is gone.
    async fn leave(&mut self, changes: &mut mpsc::UnboundedReceiver<Change>, every: Duration) {
        let watch = clock::Stopwatch::start();
        self.hub.standing.about().leaving = true;
        let given = self.members.leave();
        self.hub.standing.set_owned(self.members.owned(), self.members.held());
        let _ = self.hub.inputs.send(Input::GiveUp(given));
        while !self.members.has_left() && watch.elapsed() < HAND_OVER {
            tokio::select! {
                change = changes.recv() => self.note(change, changes),
                () = clock::pause(every) => {}
            }
            // What is done with is given back while the rest is waited for.
            if !self.members.has_left() {
                let _ = self.take(false).await;
            }
        }
        if let Err(error) = self.take(true).await {
            tracing::warn!(%error, "the store was not told that this node is gone: the others wait a lease for it");
        }
    }

    /// One turn, and what follows from it.
    async fn take(&mut self, leaves: bool) -> Result<Membership, StoreError> {
        let hub = self.hub.clone();
        let standing = &hub.standing;
        let about = {
            let mut about = standing.about();
            about.in_flight = hub.in_flight();
            about.to_bytes()
        };
        let began = standing.mono();
        let turn = self.members.turn(hub.clock.now(), about, leaves);
        let read = match hub.store.turn(turn).await {
            Ok(read) => read,
            Err(error) => {
                self.members.missed(standing.mono());
                return Err(error);
            }
        };
        let ended = standing.mono();
        let News { gained, lost, give, alive } = self.members.heard(&read, |row| About::of(row).leaving, began, ended);
        standing.set_owned(self.members.owned(), self.members.held());
        standing.set_checked(began);
        let tell = |input| drop(hub.inputs.send(input));
        if !lost.is_empty() {
            tracing::warn!(partitions = lost.len(), "other nodes have taken partitions from this one");
            tell(Input::Lost(lost));
        }
        self.tell_share(&alive);
        if !gained.is_empty() {
            tracing::info!(partitions = gained.len(), "partitions taken");
            tell(Input::Gained(gained));
        }
        if !give.is_empty() {
            tell(Input::GiveUp(give));
        }
        self.hear(&read, &alive, ended);
        Ok(read)
    }

    fn tell_share(&mut self, alive: &[Arc<str>]) {
        let place = alive.binary_search(&self.hub.options.node.id()).unwrap_or(0);
        let share = (u32::try_from(place).unwrap_or(0), u32::try_from(alive.len()).unwrap_or(1).max(1));
        if self.share != share {
            self.share = share;
            let _ = self.hub.inputs.send(Input::Share { place: share.0, nodes: share.1 });
        }
    }

    /// What the others say, and how they are.
    fn hear(&mut self, read: &Membership, alive: &[Arc<str>], ended: i64) {
        let me = self.hub.options.node.id();
        let now = self.hub.clock.now();
        let mut views = Vec::with_capacity(read.nodes.len());
        for row in &read.nodes {
            let about = About::of(row);
            if row.node != me {
                self.heed(&row.node, &about, now);
            }
            let partitions = read.owners.iter().filter(|owner| owner.node == row.node).count();
            let heard = self.members.heard_of(&row.node, ended);
            views.push(NodeView {
                name: if about.name.is_empty() { row.node.to_string() } else { about.name },
                id: row.node.to_string(),
                address: about.address,
                version: about.version,
                is_this: row.node == me,
                available: alive.contains(&row.node),
                partitions: u32::try_from(partitions).unwrap_or(0),
                in_flight: about.in_flight,
                started_at: Timestamp(about.started_at),
                last_heard: row.seen_at,
                silent_ms: if row.node == me { 0 } else { heard },
            });
        }
        self.heard.keep(&read.nodes);
        self.hub.standing.set_views(views);
    }

    fn heed(&mut self, node: &Arc<str>, about: &About, now: Timestamp) {
        for word in self.heard.news(node, about) {
            let what = match word {
                Word::Warned(system, state) => {
                    let _ = self.hub.inputs.send(Input::Warned(system, state));
                    continue;
                }
                Word::Asked(what) => what,
            };
            match what.split_once('/') {
                Some(("resume", system)) => {
                    let _ = self.hub.inputs.send(Input::Resume(SystemName::new(system)));
                }
                Some(("reconcile", market)) => {
                    let market = (!market.is_empty()).then(|| MarketId::new(market));
                    let hub = self.hub.clone();
                    tokio::spawn(async move { super::poll::reconcile_open(&hub, market.as_ref()).await });
                }
                _ => tracing::debug!(%node, what, %now, "another node asks for what this version does not know"),
            }
        }
    }
}

/// The one node of a store of its own.
pub(super) fn alone(standing: &Standing, id: &str, in_flight: u32, now: Timestamp) -> Vec<NodeView> {
    let about = standing.about().clone();
    vec![NodeView {
        name: about.name,
        id: id.to_owned(),
        address: about.address,
        version: about.version,
        is_this: true,
        available: true,
        partitions: u32::from(crossdock_store::PARTITIONS),
        in_flight,
        started_at: Timestamp(about.started_at),
        last_heard: now,
        silent_ms: 0,
    }]
}
