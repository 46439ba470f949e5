//! Writes that share their transaction with no other: leases, erasure, retention, and looking up a lost reply.

use super::{
    Link, OwnRows, Writer, Written,
    stage::{Found, Stage, Tail},
};
use crate::{
    Committed, InboxId, Lease, PARTITIONS, ProcessKey, StoreError, TransitionId,
    postgres::{error::Failure, pool::Values, rows::small},
    request::{Answer, Op},
};
use crossdock_canonical::Timestamp;
use tokio_postgres::Row;

impl Writer {
    pub(super) async fn alone(&self, link: &Link, op: &Op) -> Result<Written, Failure> {
        let answer = match op {
            Op::WasCommitted { process, transition } => was_committed(link, process, *transition).await?,
            Op::Lease { node, now } => lease(link, node, *now).await?,
            Op::Sweep { now, folded_before, limit } => sweep(link, *now, *folded_before, *limit).await?,
            Op::Erase { at, actor, subject } => return self.erase(link, *at, actor, subject).await,
            Op::Accept { .. } | Op::Commit(_) | Op::SetCursor(_) | Op::PutPin { .. } | Op::Audit { .. } => {
                return Err(Failure::Offender(StoreError::Damaged("what is written in groups was written alone".into())));
            }
        };
        Ok(Written { answers: vec![Ok(answer)], ..Written::default() })
    }

    async fn erase(&self, link: &Link, at: Timestamp, actor: &str, subject: &str) -> Result<Written, Failure> {
        let Link { client, sql } = link;
        client.batch_execute("BEGIN").await?;
        client.query(&sql.lock_erasure, &[]).await?;
        let others = client.query(&sql.erasures, &[&self.erasures.seen()]).await?;
        self.erasures.heed(&others).map_err(Failure::Offender)?;
        // From here on nothing on its way is stored under one of the keys.
        self.erasures.vault.keys.destroy(subject);
        let erased = client.execute(&sql.erase_keys, &[&subject]).await? > 0;
        let no: i64 = client.query_one(&sql.add_erasure, &[&subject]).await?.try_get(0)?;

        let partition: &[i16] = &[0];
        let mut found = Found::default();
        for row in &client.query(&sql.lock_leases, &[&partition]).await? {
            found.tails.insert(row.try_get(0)?, Tail::read(row).map_err(Failure::Offender)?);
        }
        let drawn: [i64; 3] = [0, 1, 0];
        let numbers: Values<'_> = &[&drawn[0], &drawn[1], &drawn[2]];
        for row in &client.query(&sql.draw, numbers).await? {
            found.draw([row.try_get(0)?, row.try_get(1)?, row.try_get(2)?]);
        }
        if let Some(row) = client.query(&sql.own_rows, &[]).await?.first() {
            found.own = OwnRows::read(row.try_get(0)?);
        }
        let action = format!("erase {subject}");
        let mut stage = Stage::new(found, None);
        stage.audit(at, actor, &action)?;
        let written = self.finish(link, stage, vec![Ok(Answer::Erased(erased))]).await?;
        Ok(Written { erased: Some((no, subject.to_owned())), ..written })
    }
}

/// Takes the partition's lock first: while the lost commit may still be under way its row is locked, and the answer has to wait.
async fn was_committed(Link { client, sql }: &Link, process: &ProcessKey, transition: TransitionId) -> Result<Answer, Failure> {
    client.batch_execute("BEGIN").await?;
    let partition = [i16::try_from(process.partition()).unwrap_or(i16::MAX)];
    client.query(&sql.lock_leases, &[&&partition[..]]).await?;
    let wanted = transition.0.cast_signed();
    let rows = client.query(&sql.find_transition, &[&&*process.kind, &&*process.key, &wanted]).await?;
    let found = rows.first().map(committed).transpose()?;
    Ok(Answer::Found(found))
}

fn committed(row: &Row) -> Result<Committed, Failure> {
    let messages = row.try_get::<_, Option<&[u8]>>(1)?.unwrap_or_default();
    let messages = messages.as_chunks::<8>().0.iter().map(|id| InboxId(i64::from_le_bytes(*id))).collect();
    Ok(Committed { version: row.try_get::<_, i64>(0)?.cast_unsigned(), messages })
}

async fn lease(Link { client, sql }: &Link, node: &str, now: Timestamp) -> Result<Answer, Failure> {
    client.batch_execute("BEGIN").await?;
    client.query(&sql.lock_all_leases, &[]).await?;
    client.execute(&sql.beat, &[&node, &now.0]).await?;
    let mut leases = Vec::with_capacity(usize::from(PARTITIONS));
    for row in &client.query(&sql.take_leases, &[&node, &now.0]).await? {
        let partition = small(row, 0).map_err(Failure::Offender)?;
        leases.push(Lease { partition, epoch: row.try_get::<_, i64>(1)?.cast_unsigned() });
    }
    leases.sort_by_key(|lease| lease.partition);
    Ok(Answer::Leased(leases))
}

async fn sweep(Link { client, sql }: &Link, now: Timestamp, folded_before: Timestamp, limit: usize) -> Result<Answer, Failure> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    client.batch_execute("BEGIN").await?;
    let payloads = client.execute(&sql.sweep_payloads, &[&now.0, &limit]).await?;
    let messages = client.execute(&sql.sweep_inbox, &[&folded_before.0, &limit]).await?;
    Ok(Answer::Swept(usize::try_from(payloads + messages).unwrap_or(usize::MAX)))
}
