//! Several cores over one store, with the leases that `nodes` deals out: killed, paused, stopped and started, seeded. The town they call
//! is one, and knows what it applied.

use crate::{
    kit::{SETTLING, Setting, T0, key, status, step},
    town::{Act, Applied, Town},
};
use crossdock_canonical::{Duration, SystemName};
use crossdock_connect::Identity;
use crossdock_engine::{
    core::{Config, Core, Input, Output},
    nodes::{About, Members},
    simulated::{CommitFault, Nodes, at_once},
    wiring::Limits,
};
use crossdock_store::{
    Addressee, AuditVerdict, InboxId, InboxRow, Intake, Lease, MemoryStore, PARTITIONS, ProcessKey, ReadStore, Store,
};
use std::{cell::RefCell, rc::Rc, sync::Arc};

const LEASE: Duration = Duration::seconds(1);
const BEAT: Duration = Duration(LEASE.0 / 4);
const MINUTE: Duration = Duration::minutes(1);

struct World {
    store: Arc<MemoryStore>,
    sim: Nodes<Town>,
    dice: u64,
    toys: Vec<ProcessKey>,
}

impl World {
    fn new(setting: &Setting, seed: u64, nodes: u32) -> Self {
        let store = Arc::new(MemoryStore::new());
        let (town, wiring) = setting.build(&store, &Arc::default());
        let sim = Nodes::new(Config::default(), wiring, town, LEASE, T0);
        let mut world = Self { store, sim, dice: seed, toys: Vec::new() };
        (0..nodes).for_each(|_| world.join());
        world
    }

    fn below(&mut self, most: usize) -> usize {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.dice >> 33).expect("31 bits") % most
    }

    fn join(&mut self) {
        self.sim.join(self.store.clone());
    }

    fn toy(&mut self, at: usize, steps: usize) {
        let number = format!("{}", self.toys.len() + 1);
        let script = crossdock_value::to_value(&vec![step("erp"); steps]).expect("plain data");
        let body = crossdock_value::to_json(&crossdock_value::value!({"script": script}));
        self.tell(at, &number, "toy.placed", body);
        self.toys.push(key(&number));
    }

    fn tell(&mut self, at: usize, number: &str, kind: &str, body: Vec<u8>) {
        let intake = Intake {
            to: Addressee::Process(key(number)),
            source: SystemName::new("shop"),
            message_id: None,
            kind: kind.into(),
            actor: "system:shop".into(),
            body: body.into(),
            subject: "system:shop".into(),
            at: self.sim.now,
            starts: kind.ends_with(".placed"),
        };
        self.sim.node(at).accept(vec![intake], None).expect("the memory store answers");
    }

    fn run_for(&mut self, length: Duration) {
        self.sim.run(self.sim.now + length);
    }

    fn each_call_takes(&mut self, length: Duration) {
        self.sim.network_mut().places.get_mut(&SystemName::new("erp")).expect("it is there").takes = length;
    }

    fn open(&self) -> Vec<&ProcessKey> {
        self.toys.iter().filter(|toy| status(&self.store, toy) != "closed").collect()
    }

    /// What the system applied more than once: each toy has one step where it would.
    fn applied_twice(&self) -> Vec<String> {
        let town = self.sim.network();
        let erp = &town.places[&SystemName::new("erp")];
        let name = |applied: &Applied| match erp.identity {
            Identity::NativeKey => applied.key.clone(),
            _ => applied.reference.clone(),
        };
        let mut names: Vec<_> = erp.applied.iter().map(name).collect();
        names.sort();
        names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0].clone()).collect()
    }

    fn check(&self, seed: u64) {
        assert_eq!(self.open(), Vec::<&ProcessKey>::new(), "seed {seed}");
        assert_eq!(self.applied_twice(), Vec::<String>::new(), "seed {seed}");
        assert_eq!(self.sim.network().broken, Vec::<String>::new(), "seed {seed}");
        assert!(matches!(at_once(self.store.verify_audit()), Ok(AuditVerdict::Intact { .. })));
        assert_eq!(at_once(self.store.inbox_depth()), Ok(0));
    }
}

/// Much in flight, so that every blow hits something.
fn busy(identity: Identity) -> Setting {
    let limits = Limits { concurrency: 64, ..Setting::default().limits };
    Setting { limits, ..Setting::identity(identity) }
}

fn trouble(identity: Identity, seed: u64) {
    let mut world = World::new(&busy(identity), seed, 3);
    world.each_call_takes(Duration::millis(300));
    world.run_for(Duration::seconds(4));
    for _ in 0..25 {
        for _ in 0..8 {
            let (at, steps) =
                (world.below(world.sim.nodes.len()), if identity == Identity::NativeKey { 1 + world.below(3) } else { 1 });
            world.toy(at, steps);
        }
        let some = world.below(world.sim.nodes.len());
        match world.below(6) {
            0 if world.sim.nodes.len() > 1 => drop(world.sim.nodes.remove(some)),
            1 => world.sim.pause(some, world.sim.now + Duration::seconds(3)),
            2 if world.sim.nodes.len() > 1 => world.sim.node(some).leave(),
            3 | 4 if world.sim.nodes.len() < 5 => world.join(),
            _ => {}
        }
        let length = Duration(200 + i64::try_from(world.below(1_500)).expect("small"));
        world.run_for(length);
        if world.sim.nodes.iter().all(|node| node.is_leaving()) {
            world.join();
        }
    }
    world.run_for(MINUTE);
    world.check(seed);
}

#[test]
fn toys_close_and_nothing_is_applied_twice_though_nodes_die_pause_leave_and_join() {
    for seed in 1..=4 {
        trouble(Identity::UniqueReference, seed);
        trouble(Identity::NativeKey, 100 + seed);
        trouble(Identity::LookupOnly, 200 + seed);
    }
}

#[test]
fn a_node_reads_folds_and_sends_only_what_is_its_own() {
    let mut world = World::new(&busy(Identity::UniqueReference), 1, 2);
    world.run_for(Duration::seconds(4));
    (0..40).for_each(|n| world.toy(n % 2, 1));
    world.run_for(Duration::seconds(3));
    assert_eq!(world.open(), Vec::<&ProcessKey>::new());
    let sent: Vec<u64> = world.sim.nodes.iter().map(|node| node.core.stats.sent).collect();
    let refused: u64 = world.sim.nodes.iter().map(|node| node.core.stats.commits_refused).sum();
    assert_eq!((sent.iter().sum::<u64>(), refused), (40, 0), "each by one of them");
    assert!(sent.iter().all(|sent| *sent > 5), "{sent:?}");
}

#[test]
fn what_a_dead_node_may_have_sent_is_asked_after_by_the_next_owner_when_it_must_be_visible() {
    let mut world = World::new(&busy(Identity::LookupOnly), 1, 2);
    world.run_for(Duration::seconds(4));
    world.sim.network_mut().places.get_mut(&SystemName::new("erp")).expect("it is there").script.extend([Act::ApplyAndHang; 8]);
    (0..8).for_each(|n| world.toy(n % 2, 1));
    world.run_for(Duration::millis(100));
    assert_eq!(world.sim.network().arrivals.len(), 8);
    let died = world.sim.now;
    assert!(world.sim.nodes[1].core.stats.sent < 8);
    world.sim.nodes.remove(0);
    world.run_for(Duration(SETTLING.0 + 5_000));
    let town = world.sim.network();
    let probes: Vec<_> = town.arrivals.iter().filter(|arrival| arrival.probe).collect();
    // Those of the dead one, and those that the living one heard nothing of.
    assert_eq!(probes.len(), 8);
    assert!(probes.iter().all(|probe| (probe.at - died).0 >= SETTLING.0 + LEASE.0 - BEAT.0), "not before it is visible");
    assert_eq!(town.arrivals.len() - probes.len(), 8, "and nothing is sent again that is there");
}

#[test]
fn a_hand_over_waits_for_the_calls_under_way_so_that_nothing_is_in_doubt() {
    let mut world = World::new(&busy(Identity::None), 1, 2);
    world.each_call_takes(Duration::millis(900));
    world.run_for(Duration::seconds(4));
    // Of those that leave, the second step is pending when they do.
    (0..20).for_each(|n| world.toy(n % 2, 2));
    world.run_for(Duration::millis(400));
    world.sim.node(0).leave();
    world.run_for(Duration::seconds(8));
    assert_eq!(world.sim.nodes.len(), 1);
    assert_eq!(world.open(), Vec::<&ProcessKey>::new());
    assert_eq!(world.sim.network().arrivals.len(), 40, "none was parked or asked after");
}

#[test]
fn a_paused_node_commits_nothing_and_sends_nothing_when_it_comes_back() {
    let mut world = World::new(&busy(Identity::LookupOnly), 1, 2);
    world.run_for(Duration::seconds(4));
    (0..30).for_each(|n| world.toy(n % 2, 1));
    // They are told of, and not yet committed or sent.
    world.sim.pause(0, world.sim.now + Duration::seconds(4));
    let tried = Rc::new(RefCell::new(Vec::new()));
    let list = tried.clone();
    world.sim.node(0).on_commit(move |transition| {
        list.borrow_mut().push((transition.process.clone(), transition.id));
        CommitFault::None
    });
    world.run_for(MINUTE);
    world.check(1);
    assert!(!tried.borrow().is_empty(), "it was about to commit");
    for (process, transition) in tried.borrow().iter() {
        assert_eq!(at_once(world.store.was_committed(process, *transition)), Ok(None), "and is refused");
    }
    let arrived = world.sim.network().arrivals.iter().filter(|arrival| !arrival.probe).count();
    assert_eq!(arrived, 30, "the other has sent them all, and only the other");
}

#[test]
fn a_stale_epoch_takes_only_the_lanes_of_its_partition() {
    let mut world = World::new(&busy(Identity::UniqueReference), 1, 1);
    world.run_for(Duration::seconds(1));
    world.toy(0, 3);
    world.toy(0, 3);
    let (lost, kept) = (world.toys[0].partition(), world.toys[1].partition());
    assert_ne!(lost, kept);
    world.run_for(Duration::millis(20));
    // It wants no more than this one.
    let about = About { leaving: true, ..About::default() };
    let mut thief = Members::new("thief".into(), LEASE).turn(world.sim.now, about.to_bytes(), false);
    let read = at_once(world.store.turn(thief.clone())).expect("it answers");
    let owner = read.nodes.iter().find(|row| row.node != thief.node).expect("it is there");
    thief.take = vec![crossdock_store::Taking { partition: lost, epoch: 1, gone: Some((owner.node.clone(), owner.beat)) }];
    at_once(world.store.turn(thief)).expect("it answers");
    // Less than the thief's lease.
    world.run_for(Duration::millis(900));
    let node = &world.sim.nodes[0];
    assert_eq!(node.superseded, [lost], "a commit found it, before a turn did");
    assert!(!node.core.owns(lost) && node.core.owns(kept));
    assert_eq!((status(&world.store, &world.toys[0]), status(&world.store, &world.toys[1])), ("open".into(), "closed".into()));
}

/// What another node is still writing may come before it: the store keeps back what is there already.
#[test]
fn a_message_that_the_store_keeps_back_is_not_overtaken_by_the_next_one_of_its_process() {
    let store = Arc::new(MemoryStore::new());
    let (_, wiring) = busy(Identity::UniqueReference).build(&store, &Arc::default());
    let mut core = Core::new(Config::default(), wiring, T0);
    let mut step = |input: Input| {
        let mut out = Vec::new();
        core.step(input, T0, &mut out);
        let reads = out.iter().any(|output| matches!(output, Output::ReadInbox { .. }));
        let folds = out.iter().any(|output| matches!(output, Output::Load(_) | Output::Commit(_)));
        (reads, folds)
    };
    let row = |id: i64| InboxRow {
        id: InboxId(id),
        to: Addressee::Process(key("1")),
        source: SystemName::new("shop"),
        message_id: None,
        kind: "toy.note".into(),
        actor: "system:shop".into(),
        body: br#"{"n": 1}"#.as_slice().into(),
        subject: "system:shop".into(),
        at: T0,
    };
    let read = |rows: Vec<InboxRow>, held_back| Input::InboxRead { rows, complete: true, held_back };
    let all = (0..PARTITIONS).map(|partition| Lease { partition, epoch: 1 }).collect();
    assert_eq!(step(Input::Gained(all)), (true, false));
    assert_eq!(step(read(Vec::new(), true)), (true, false), "the former owner's rows are read to the last");
    assert_eq!(step(read(Vec::new(), false)), (false, false));
    assert_eq!(step(Input::Arrived), (true, false));
    assert_eq!(step(Input::Inbox(row(7))), (false, false), "told of while a reading is under way");
    assert_eq!(step(read(Vec::new(), true)), (true, false), "it is there, and was not brought");
    assert_eq!(step(read(Vec::new(), true)), (true, false), "nor by the reading that looked for it");
    assert_eq!(step(Input::Inbox(row(9))), (false, false), "the next one waits behind it");
    assert_eq!(step(read(vec![row(7), row(9)], false)), (true, true), "both come, in their order");
    assert_eq!(step(read(Vec::new(), true)), (false, false), "and nothing is left to wait for");
}
