//! Several nodes in virtual time on one store, with turns that take their time, nodes that are paused, killed, stopped and started.

use super::*;
use crate::simulated::at_once;
use crossdock_store::{MemoryStore, Store};

const LEASE: Duration = Duration::seconds(1);
const EVERY: i64 = LEASE.0 / 4;

/// The same cases for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(self.0 >> 33).expect("31 bits") % most
    }
}

enum Stage {
    /// Its turn begins then.
    Rests,
    /// The turn reaches the store then; it began before.
    Asks { began: Mono },
    /// The answer is heard then.
    Hears { began: Mono, read: Membership },
}

struct Node {
    name: Arc<str>,
    members: Members,
    stage: Stage,
    next: Mono,
    /// When the turn began that last showed what it owns.
    checked: Mono,
    leaves: bool,
    /// How far its monotonic clock is ahead: no two agree.
    skew: i64,
}

struct World {
    store: MemoryStore,
    nodes: Vec<Node>,
    now: Mono,
    dice: Dice,
    born: u32,
}

impl World {
    fn new(seed: u64) -> Self {
        Self { store: MemoryStore::new(), nodes: Vec::new(), now: 0, dice: Dice(seed), born: 0 }
    }

    fn join(&mut self) {
        self.born += 1;
        let name: Arc<str> = format!("n{:03}", (self.born * 37) % 1_000).into();
        let members = Members::new(name.clone(), LEASE);
        let skew = self.dice.below(1_000_000);
        self.nodes.push(Node { name, members, stage: Stage::Rests, next: self.now, checked: i64::MIN / 2, leaves: false, skew });
    }

    /// One node goes one step on.
    fn step(&mut self) {
        let Some(at) = (0..self.nodes.len()).min_by_key(|at| self.nodes[*at].next) else { return };
        let node = &mut self.nodes[at];
        self.now = self.now.max(node.next);
        let now = self.now + node.skew;
        let soon = |dice: &mut Dice| 1 + dice.below(20);
        match std::mem::replace(&mut node.stage, Stage::Rests) {
            Stage::Rests => {
                node.stage = Stage::Asks { began: now };
                node.next = self.now + soon(&mut self.dice);
            }
            // Sometimes the store is away.
            Stage::Asks { .. } if self.dice.below(60) == 0 => {
                node.members.missed(now);
                node.next = self.now + EVERY;
            }
            Stage::Asks { began } => {
                let last = node.leaves && node.members.has_left();
                let about = if node.leaves { b"leaves".to_vec() } else { Vec::new() };
                let turn = node.members.turn(Timestamp(now), about, last);
                let read = at_once(self.store.turn(turn)).expect("the memory store answers");
                if last {
                    self.nodes.remove(at);
                    return;
                }
                node.stage = Stage::Hears { began, read };
                node.next = self.now + soon(&mut self.dice);
            }
            Stage::Hears { began, read } => {
                let news = node.members.heard(&read, |row| row.about == b"leaves", began, now);
                node.checked = began;
                // Handing over takes a while, which another turn may come in between.
                let give = news.give.iter().filter(|_| self.dice.below(3) > 0).collect::<Vec<_>>();
                let owned = node.members.owned.clone();
                for partition in give.into_iter().chain(node.members.giving.clone()) {
                    if let Some(epoch) = owned.get(&partition) {
                        let lease = Lease { partition, epoch: *epoch };
                        node.members.gave_up(Release { lease, clean: true });
                    }
                }
                node.next = self.now + if node.members.is_eager() { 1 } else { EVERY };
            }
        }
        self.check();
    }

    /// Of each partition at most one node can be sure.
    fn check(&self) {
        let mut sure = [None; PARTITIONS as usize];
        for node in self.nodes.iter().filter(|node| self.now + node.skew - node.checked < LEASE.0) {
            for partition in node.members.owned().iter() {
                let other = sure[usize::from(partition)].replace(&node.name);
                assert_eq!(other, None, "{partition} at {}: {} is as sure of it", self.now, node.name);
            }
        }
    }

    fn run_for(&mut self, length: i64) {
        let until = self.now + length;
        while self.nodes.iter().any(|node| node.next <= until) {
            self.step();
        }
        self.now = until;
    }

    fn shares(&self) -> Vec<usize> {
        self.nodes.iter().map(|node| node.members.owned().len()).collect()
    }

    fn is_even(&self) -> bool {
        let shares = self.shares();
        let (least, most) = (shares.iter().min().expect("a node"), shares.iter().max().expect("a node"));
        shares.iter().sum::<usize>() == usize::from(PARTITIONS) && most - least <= 1
    }
}

#[test]
fn partitions_are_never_two_nodes_own_and_come_to_rest_evenly_within_five_seconds() {
    for seed in 0..10 {
        let mut world = World::new(seed);
        world.join();
        for _ in 0..30 {
            let some = usize::try_from(world.dice.below(world.nodes.len().max(1) as i64)).expect("not negative");
            match world.dice.below(6) {
                0 | 1 if world.nodes.len() < 7 => world.join(),
                // Killed.
                2 if world.nodes.len() > 1 => drop(world.nodes.remove(some)),
                // Stands still, in whatever it is doing, for less or longer than a lease.
                3 => world.nodes[some].next += world.dice.below(4 * LEASE.0),
                // Leaves as it should.
                4 if world.nodes.len() > 1 => {
                    world.nodes[some].leaves = true;
                    world.nodes[some].members.leave();
                }
                _ => {}
            }
            let length = world.dice.below(3_000);
            world.run_for(length);
            if world.nodes.iter().all(|node| node.leaves) {
                world.join();
            }
        }
        world.nodes.iter_mut().for_each(|node| node.next = node.next.min(world.now + EVERY));
        world.run_for(5_000);
        assert!(world.is_even(), "seed {seed}: {:?}", world.shares());
    }
}

#[test]
fn a_dead_nodes_partitions_are_shared_out_after_its_lease_and_a_leaving_ones_at_once() {
    let mut world = World::new(1);
    (0..3).for_each(|_| world.join());
    world.run_for(5_000);
    assert!(world.is_even());
    world.nodes.remove(0);
    world.run_for(LEASE.0 - 2 * EVERY);
    assert!(!world.is_even(), "nobody may take before the lease is over");
    world.run_for(4 * EVERY);
    assert!(world.is_even(), "{:?}", world.shares());
    world.nodes[0].leaves = true;
    world.nodes[0].members.leave();
    world.run_for(3 * EVERY);
    assert_eq!(world.shares(), [usize::from(PARTITIONS)]);
    let read = at_once(world.store.turn(world.nodes[0].members.turn(Timestamp(0), Vec::new(), false))).expect("it answers");
    assert_eq!(read.nodes.len(), 2, "the dead one's row stands for a while, so that people see it");
    world.run_for(FORGET_AFTER.0 + 2_000);
    let read = at_once(world.store.turn(world.nodes[0].members.turn(Timestamp(0), Vec::new(), false))).expect("it answers");
    assert_eq!(read.nodes.len(), 1);
}
