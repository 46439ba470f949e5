//! Turns of nodes: heartbeats, and leases that change hands. On a connection of their own, so that a node with much to write is not
//! taken for one that is gone.
//!
//! The taker locks the row of whoever it takes from before it looks at the heartbeat, and a node writes its own heartbeat before it
//! looks at the leases, each by a statement of its own. So of a heartbeat and a taking that meet, one comes wholly before the other:
//! either the taker sees that the node lives, or the node sees in the same turn that it has lost.

use super::{
    dial::{Dial, Role},
    rows::{bytes, small, text, time, unsigned},
};
use crate::{Lease, Membership, NodeRow, NodeTurn, Owner, PARTITIONS, StoreError};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Mutex, time::timeout};
use tokio_postgres::{Client, Statement};

const SQL: [&str; 10] = [
    "INSERT INTO node (name, beat, seen_at, about) VALUES ($1, 1, $2, $3)
     ON CONFLICT (name) DO UPDATE SET beat = node.beat + 1, seen_at = excluded.seen_at, about = excluded.about",
    "SELECT name FROM node WHERE name = ANY ($1) ORDER BY name FOR UPDATE",
    "SELECT partition FROM lease WHERE partition = ANY ($1) ORDER BY partition FOR NO KEY UPDATE",
    "UPDATE lease SET node = '', doubt_before = CASE WHEN u.clean THEN doubt_before ELSE lease.epoch + 1 END
     FROM unnest($2::int2[], $3::int8[], $4::bool[]) u (partition, epoch, clean)
     WHERE lease.partition = u.partition AND lease.epoch = u.epoch AND lease.node = $1",
    "UPDATE lease SET epoch = lease.epoch + 1, node = $1, taken_at = $2,
     doubt_before = CASE WHEN u.gone = '' THEN least(doubt_before, lease.epoch + 1) ELSE lease.epoch + 1 END
     FROM unnest($3::int2[], $4::int8[], $5::text[], $6::int8[]) u (partition, epoch, gone, beat)
     WHERE lease.partition = u.partition AND lease.epoch = u.epoch AND lease.node = u.gone
     AND NOT EXISTS (SELECT FROM node n WHERE n.name = u.gone AND n.beat <> u.beat)",
    "DELETE FROM node n USING unnest($1::text[], $2::int8[]) u (name, beat)
     WHERE n.name = u.name AND n.beat = u.beat AND NOT EXISTS (SELECT FROM lease l WHERE l.node = n.name)",
    "UPDATE lease SET node = '', doubt_before = epoch + 1 WHERE node = $1",
    "DELETE FROM node WHERE name = $1",
    "SELECT name, beat, seen_at, about FROM node ORDER BY name",
    "SELECT partition, epoch, node FROM lease ORDER BY partition",
];

pub(super) struct Members {
    dial: Arc<Dial>,
    within: Duration,
    /// One turn at a time.
    link: Mutex<Option<(Client, Vec<Statement>)>>,
}

impl Members {
    pub(super) fn new(dial: Arc<Dial>, within: Duration) -> Self {
        Self { dial, within, link: Mutex::default() }
    }

    pub(super) async fn turn(&self, turn: NodeTurn) -> Result<Membership, StoreError> {
        let mut link = self.link.lock().await;
        // A connection that failed or was too slow is not put back: what it had begun ends with it.
        let kept = link.take().filter(|(client, _)| !client.is_closed());
        let working = async {
            let (client, sql) = match kept {
                Some(kept) => kept,
                None => self.connect().await?,
            };
            let members = take_turn(&client, &sql, &turn).await?;
            Ok((members, (client, sql)))
        };
        let done = timeout(self.within, working).await.unwrap_or_else(|_| {
            Err(StoreError::Unavailable(self.dial.shut(format!("the database did not answer within {:?}", self.within))))
        });
        let (members, used) = done?;
        *link = Some(used);
        Ok(members)
    }

    async fn connect(&self) -> Result<(Client, Vec<Statement>), StoreError> {
        let client = self.dial.client(Role::Writer).await.map_err(StoreError::Unavailable)?;
        let mut sql = Vec::with_capacity(SQL.len());
        for text in SQL {
            sql.push(client.prepare(text).await?);
        }
        Ok((client, sql))
    }
}

async fn take_turn(client: &Client, sql: &[Statement], turn: &NodeTurn) -> Result<Membership, StoreError> {
    let [beat, lock_nodes, lock_leases, release, take, forget, let_go, go, nodes, owners] = sql else {
        return Err(StoreError::Damaged("a turn's statements were not all prepared".into()));
    };
    let changes = !turn.release.is_empty() || !turn.take.is_empty() || turn.leaves;
    // A heartbeat that a crash of the database forgets was heard by nobody. A lease that was taken must be on disk.
    client.batch_execute(if changes { "BEGIN" } else { "BEGIN; SET LOCAL synchronous_commit = off" }).await?;
    if !turn.take.is_empty() || !turn.forget.is_empty() {
        // Its own with them: two that take from each other wait in one order.
        let gone = turn.take.iter().filter_map(|taking| taking.gone.as_ref()).chain(&turn.forget).map(|(node, _)| &**node);
        let names: Vec<&str> = gone.chain([&*turn.node]).collect();
        client.query(lock_nodes, &[&names]).await?;
    }
    if !turn.forget.is_empty() {
        let (names, beats): (Vec<&str>, Vec<i64>) = turn.forget.iter().map(|(name, beat)| (&**name, beat.cast_signed())).unzip();
        client.execute(forget, &[&names, &beats]).await?;
    }
    client.execute(beat, &[&&*turn.node, &turn.at.0, &turn.about]).await?;
    if changes {
        let some =
            turn.release.iter().map(|release| release.lease.partition).chain(turn.take.iter().map(|taking| taking.partition));
        let touched: Vec<i16> = if turn.leaves { (0..PARTITIONS).map(row_no).collect() } else { some.map(row_no).collect() };
        // In the order in which commits lock them, so that nobody waits crosswise.
        client.query(lock_leases, &[&touched]).await?;
        let given = turn.release.iter().map(|release| (row_no(release.lease.partition), release.lease.epoch.cast_signed()));
        let (partitions, epochs): (Vec<i16>, Vec<i64>) = given.unzip();
        let clean: Vec<bool> = turn.release.iter().map(|release| release.clean).collect();
        client.execute(release, &[&&*turn.node, &partitions, &epochs, &clean]).await?;
        let (mut gone, mut beats) = (Vec::new(), Vec::new());
        for taking in &turn.take {
            let (node, beat) = taking.gone.as_ref().map_or(("", 0), |(node, beat)| (&**node, beat.cast_signed()));
            gone.push(node);
            beats.push(beat);
        }
        let (partitions, epochs): (Vec<i16>, Vec<i64>) =
            turn.take.iter().map(|taking| (row_no(taking.partition), taking.epoch.cast_signed())).unzip();
        client.execute(take, &[&&*turn.node, &turn.at.0, &partitions, &epochs, &gone, &beats]).await?;
    }
    if turn.leaves {
        client.execute(let_go, &[&&*turn.node]).await?;
        client.execute(go, &[&&*turn.node]).await?;
    }
    let (nodes, owners) = tokio::join!(biased; client.query(nodes, &[]), client.query(owners, &[]));
    let (nodes, owners) = (nodes?, owners?);
    client.batch_execute("COMMIT").await?;
    let node = |row: &tokio_postgres::Row| {
        Ok(NodeRow { node: text(row, 0)?, beat: unsigned(row, 1)?, seen_at: time(row, 2)?, about: bytes(row, 3)?.to_vec() })
    };
    let owner = |row: &tokio_postgres::Row| {
        Ok(Owner { lease: Lease { partition: small(row, 0)?, epoch: unsigned(row, 1)? }, node: text(row, 2)? })
    };
    Ok(Membership {
        nodes: nodes.iter().map(node).collect::<Result<_, StoreError>>()?,
        owners: owners.iter().map(owner).collect::<Result<_, StoreError>>()?,
    })
}

fn row_no(partition: u16) -> i16 {
    i16::try_from(partition).unwrap_or(i16::MAX)
}
