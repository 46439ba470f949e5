//! Word of new messages between nodes: `NOTIFY` by the node that stored them, `LISTEN` by the others.
//!
//! The word is sent after the commit, on a connection of its own and many commits at a time: sent inside the commit, PostgreSQL would
//! make one commit at a time wait for the disk, over all nodes. Word may be lost, with the node or the connection; it is a wake-up and
//! nothing more, so who waits for it also looks for himself now and then (`PostgresOptions::look_every`).

use super::{
    clock,
    dial::{Dial, Role},
};
use std::{future::poll_fn, sync::Arc, time::Duration};
use tokio::sync::Notify;
use tokio_postgres::AsyncMessage;

const PAUSE: Duration = Duration::from_millis(500);

/// Runs until it is aborted.
pub(super) async fn run(dial: Arc<Dial>, stored: Arc<Notify>, arrived: Arc<Notify>) {
    loop {
        // Whatever ended it: what came meanwhile was not heard.
        let _ = listen(&dial, &stored, &arrived).await;
        arrived.notify_one();
        clock::pause(PAUSE).await;
    }
}

async fn listen(dial: &Dial, stored: &Notify, arrived: &Arc<Notify>) -> Result<(), String> {
    let (client, mut connection) = dial.connection(Role::Listener).await?;
    let heard = Arc::clone(arrived);
    let (own, known) = tokio::sync::oneshot::channel::<i32>();
    let driven = tokio::spawn(async move {
        let (mut known, mut own) = (known, None);
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if own.is_none() {
                own = known.try_recv().ok();
            }
            // What this node stored it knows.
            if let AsyncMessage::Notification(word) = message
                && Some(word.process_id()) != own
            {
                heard.notify_one();
            }
        }
    });
    let speaking = async {
        let failed = |e: tokio_postgres::Error| e.to_string();
        client.batch_execute(&dial.settings(Role::Listener)).await.map_err(failed)?;
        let pid = client.query_one("SELECT pg_backend_pid()", &[]).await.and_then(|row| row.try_get(0)).map_err(failed)?;
        let _ = own.send(pid);
        // Nothing of it has to be on disk.
        client.batch_execute("SET synchronous_commit = off; LISTEN crossdock_inbox").await.map_err(failed)?;
        let say = client.prepare("SELECT pg_notify('crossdock_inbox', '')").await.map_err(failed)?;
        arrived.notify_one();
        loop {
            stored.notified().await;
            client.query(&say, &[]).await.map_err(failed)?;
        }
    };
    let ended = tokio::select! {
        ended = speaking => ended,
        () = closed(&client) => Ok(()),
    };
    driven.abort();
    ended
}

/// Until the connection has ended.
async fn closed(client: &tokio_postgres::Client) {
    while !client.is_closed() {
        clock::pause(PAUSE).await;
    }
}
