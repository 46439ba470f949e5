//! Turns of nodes: heartbeats, and leases that change hands. On a connection of their own, so that a node with much to write is not
//! taken for one that is gone.
//!
//! The taker locks the row of whoever it takes from before it looks at the heartbeat, and a node writes its own heartbeat before it
//! looks at the leases, each by a statement of its own. So of a heartbeat and a taking that meet, one comes wholly before the other:
//! either the taker sees that the node lives, or the node sees in the same turn that it has lost.
//!
//! A turn waits for nobody's lock: a node that stands still inside a transaction would keep every other from saying that it lives. What
//! is locked is left for a later turn; the server ends such a transaction after a while (`dial`).

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
    "SELECT name FROM node WHERE name = ANY ($1) ORDER BY name FOR UPDATE SKIP LOCKED",
    "SELECT partition FROM lease WHERE partition = ANY ($1) ORDER BY partition FOR NO KEY UPDATE SKIP LOCKED",
    "UPDATE lease SET node = '', doubt_before = CASE WHEN u.clean THEN doubt_before ELSE lease.epoch + 1 END
     FROM unnest($2::int2[], $3::int8[], $4::bool[]) u (partition, epoch, clean)
     WHERE lease.partition = u.partition AND lease.epoch = u.epoch AND lease.node = $1",
    "UPDATE lease SET epoch = lease.epoch + 1, node = $1, taken_at = $2,
     doubt_before = CASE WHEN u.gone = '' THEN least(doubt_before, lease.epoch + 1) ELSE lease.epoch + 1 END
     FROM unnest($3::int2[], $4::int8[], $5::text[], $6::int8[]) u (partition, epoch, gone, beat)
     WHERE lease.partition = u.partition AND lease.epoch = u.epoch AND lease.node = u.gone
     AND NOT EXISTS (SELECT FROM node n WHERE n.name = u.gone AND (n.beat <> u.beat OR n.name <> ALL ($7)))",
    "DELETE FROM node n USING unnest($1::text[], $2::int8[]) u (name, beat)
     WHERE n.name = u.name AND n.beat = u.beat AND n.name = ANY ($3) AND NOT EXISTS (SELECT FROM lease l WHERE l.node = n.name)",
    "UPDATE lease SET node = '', doubt_before = epoch + 1 WHERE node = $1 AND partition = ANY ($2)",
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
    let mut judged: Vec<String> = Vec::new();
    if !turn.take.is_empty() || !turn.forget.is_empty() {
        let gone: Vec<&str> =
            turn.take.iter().filter_map(|taking| taking.gone.as_ref()).chain(&turn.forget).map(|(node, _)| &**node).collect();
        for row in &client.query(lock_nodes, &[&gone]).await? {
            judged.push(row.try_get(0)?);
        }
    }
    if !turn.forget.is_empty() {
        let (names, beats): (Vec<&str>, Vec<i64>) = turn.forget.iter().map(|(name, beat)| (&**name, beat.cast_signed())).unzip();
        client.execute(forget, &[&names, &beats, &judged]).await?;
    }
    client.execute(beat, &[&&*turn.node, &turn.at.0, &turn.about]).await?;
    if changes {
        let some =
            turn.release.iter().map(|release| release.lease.partition).chain(turn.take.iter().map(|taking| taking.partition));
        let wanted: Vec<i16> = if turn.leaves { (0..PARTITIONS).map(row_no).collect() } else { some.map(row_no).collect() };
        let mut locked: Vec<i16> = Vec::with_capacity(wanted.len());
        for row in &client.query(lock_leases, &[&wanted]).await? {
            locked.push(row.try_get(0)?);
        }
        let is_locked = |partition: u16| locked.binary_search(&row_no(partition)).is_ok();
        let given = turn.release.iter().filter(|release| is_locked(release.lease.partition));
        let (partitions, epochs): (Vec<i16>, Vec<i64>) =
            given.clone().map(|release| (row_no(release.lease.partition), release.lease.epoch.cast_signed())).unzip();
        let clean: Vec<bool> = given.map(|release| release.clean).collect();
        client.execute(release, &[&&*turn.node, &partitions, &epochs, &clean]).await?;
        let taken = turn.take.iter().filter(|taking| is_locked(taking.partition));
        let (partitions, epochs): (Vec<i16>, Vec<i64>) =
            taken.clone().map(|taking| (row_no(taking.partition), taking.epoch.cast_signed())).unzip();
        let from = taken.map(|taking| taking.gone.as_ref().map_or(("", 0), |(node, beat)| (&**node, beat.cast_signed())));
        let (gone, beats): (Vec<&str>, Vec<i64>) = from.unzip();
        client.execute(take, &[&&*turn.node, &turn.at.0, &partitions, &epochs, &gone, &beats, &judged]).await?;
        if turn.leaves {
            // What is left over belongs to a name that is not there any more: it is taken as from one that is gone.
            client.execute(let_go, &[&&*turn.node, &locked]).await?;
            client.execute(go, &[&&*turn.node]).await?;
        }
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
