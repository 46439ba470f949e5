//! Roads that connections take: to a node's database, which can be cut one way or both as a broken network would, and to the nodes from
//! outside, which a balancer spreads over those that are well.
//!
//! A road that is cut loses nothing and closes nothing: bytes stand still, as they do while a network keeps trying to deliver them.

use crate::address;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

const BYTES: usize = 16 << 10;

/// The road from one node to its database.
pub(super) struct Road {
    pub address: SocketAddr,
    there: watch::Sender<bool>,
    back: watch::Sender<bool>,
}

impl Road {
    pub async fn to(target: SocketAddr) -> Result<Self, String> {
        let (listener, address) = listen().await?;
        let (there, back) = (watch::Sender::new(true), watch::Sender::new(true));
        let (forth, home) = (there.subscribe(), back.subscribe());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (forth, home) = (forth.clone(), home.clone());
                tokio::spawn(async move {
                    if let Ok(far) = TcpStream::connect(target).await {
                        carry(near, far, forth, home).await;
                    }
                });
            }
        });
        Ok(Self { address, there, back })
    }

    /// Nothing gets through to the database, or back from it, until it is mended.
    pub fn cut(&self, there: bool, back: bool) {
        self.there.send_replace(!there);
        self.back.send_replace(!back);
    }

    pub fn mend(&self) {
        self.cut(false, false);
    }
}

/// The way in: each connection goes to the next node that is well.
pub(super) struct Balancer {
    pub address: SocketAddr,
    well: watch::Sender<Vec<SocketAddr>>,
}

impl Balancer {
    pub async fn new() -> Result<Self, String> {
        let (listener, address) = listen().await?;
        let well = watch::Sender::new(Vec::new());
        let nodes = well.subscribe();
        tokio::spawn(async move {
            let next = Arc::new(AtomicUsize::new(0));
            while let Ok((near, _)) = listener.accept().await {
                let all = nodes.borrow().clone();
                let turn = next.fetch_add(1, Ordering::Relaxed);
                let Some(node) = all.get(turn % all.len().max(1)).copied() else { continue };
                tokio::spawn(async move {
                    if let Ok(far) = TcpStream::connect(node).await {
                        let open = watch::Sender::new(true);
                        carry(near, far, open.subscribe(), open.subscribe()).await;
                    }
                });
            }
        });
        Ok(Self { address, well })
    }

    pub fn set_well(&self, nodes: Vec<SocketAddr>) {
        self.well.send_replace(nodes);
    }
}

async fn listen() -> Result<(TcpListener, SocketAddr), String> {
    let wished = address::own()?;
    let listener = TcpListener::bind(wished).await.map_err(|e| format!("{wished} cannot be listened on: {e}"))?;
    Ok((listener, wished))
}

async fn carry(near: TcpStream, far: TcpStream, forth: watch::Receiver<bool>, home: watch::Receiver<bool>) {
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    // As soon as one direction has ended the other ends too.
    tokio::select! {
        () = pump(near_in, far_out, forth) => {}
        () = pump(far_in, near_out, home) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut open: watch::Receiver<bool>) {
    let mut bytes = vec![0; BYTES];
    while let Ok(count) = from.read(&mut bytes).await {
        if open.wait_for(|open| *open).await.is_err() || count == 0 || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
