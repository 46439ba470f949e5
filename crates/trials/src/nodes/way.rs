//! How a node reaches the database and the systems, and how that is cut: by cables that lose packets, or where the machine does not allow
//! these, by a relay on the road to the database, which holds the bytes back.

use super::{
    cable::{self, Cables},
    road::Road,
};
use crate::address;
use std::{
    ffi::OsStr,
    net::{Ipv4Addr, SocketAddr},
};
use tokio::process::Command;

/// What does not get through.
#[derive(Clone, Copy)]
pub(super) struct Cut {
    /// What the node says; else what is said to it.
    pub there: bool,
    /// To and from everybody; else the database alone.
    pub alone: bool,
}

pub(super) enum Way {
    Cables(Cables),
    Road(Road),
}

impl Way {
    /// A command that runs where the node is.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        match self {
            Self::Cables(cables) => cables.inside(program),
            Self::Road(_) => Command::new(program),
        }
    }

    /// Where the node finds the database.
    pub fn database(&self, straight: SocketAddr) -> SocketAddr {
        match self {
            Self::Cables(_) => straight,
            Self::Road(road) => road.address,
        }
    }

    /// A relay stands on the road to the database only.
    pub async fn cut(&self, cut: Cut) -> Result<(), String> {
        match self {
            Self::Cables(cables) => cables.cut(cut.there, cut.alone).await,
            Self::Road(road) => {
                road.cut(cut.there, !cut.there);
                Ok(())
            }
        }
    }

    pub async fn mend(&self) -> Result<(), String> {
        match self {
            Self::Cables(cables) => cables.mend().await,
            Self::Road(road) => {
                road.mend();
                Ok(())
            }
        }
    }
}

/// Where everything listens before there are ways, and what the ways will be made of.
pub(super) struct Layout {
    pub database: SocketAddr,
    pub systems: Ipv4Addr,
    /// One for each node, or why there is none.
    cables: Result<Vec<Cables>, String>,
}

impl Layout {
    /// `apart` says whether the campaign is in a network of its own, or why not.
    pub async fn new(nodes: usize, apart: Result<(), String>) -> Result<Self, String> {
        let cables = match apart {
            Ok(()) => lay(nodes).await,
            Err(why) => Err(why),
        };
        let (database, systems) = match &cables {
            Ok(_) => (address::on(cable::DATABASE)?, cable::SYSTEMS),
            Err(_) => (address::own()?, Ipv4Addr::LOCALHOST),
        };
        Ok(Self { database, systems, cables })
    }

    /// For people.
    pub fn cuts(&self) -> String {
        match &self.cables {
            Ok(_) => "packets lost in network namespaces".into(),
            Err(why) => format!("relays to the database hold the bytes back: {why}"),
        }
    }

    /// The ways, each with the address at its node's end, to a database that runs.
    pub async fn ways(self, nodes: usize) -> Result<Vec<(Way, SocketAddr)>, String> {
        let mut ways = Vec::new();
        match self.cables {
            Ok(cables) => ways.extend(cables.into_iter().map(|cables| {
                let address = cables.address();
                (Way::Cables(cables), address)
            })),
            Err(_) => {
                for _ in 0..nodes {
                    ways.push((Way::Road(Road::to(self.database).await?), address::own()?));
                }
            }
        }
        Ok(ways)
    }
}

async fn lay(nodes: usize) -> Result<Vec<Cables>, String> {
    cable::prepare().await?;
    let mut all = Vec::new();
    for at in 0..nodes {
        all.push(Cables::lay(at).await?);
    }
    Ok(all)
}
