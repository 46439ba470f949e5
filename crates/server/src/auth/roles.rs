//! Who may do what: one table, and everything that is not in it is denied.

use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt, sync::Arc};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads; personal data stays hidden.
    Viewer,
    /// Reads, commands processes, reveals payloads (recorded).
    Operator,
    /// An operator who also reads the audit and gives the second signature.
    Approver,
    /// Everything, erasure included.
    Admin,
    /// Another program: places orders, reads states and events.
    Machine,
}

impl Role {
    pub const ALL: [Self; 5] = [Self::Viewer, Self::Operator, Self::Approver, Self::Admin, Self::Machine];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Admin => "admin",
            Self::Machine => "machine",
        }
    }
}

macro_rules! actions {
    ($($(#[$doc:meta])* $action:ident: $($role:ident)+;)*) => {
        /// What a route lets its caller do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Action { $($(#[$doc])* $action),* }

        impl Action {
            pub const ALL: &'static [Self] = &[$(Self::$action),*];

            /// The table.
            pub const fn roles(self) -> &'static [Role] {
                match self { $(Self::$action => &[$(Role::$role),+]),* }
            }
        }
    };
}

actions! {
    ReadOrders: Viewer Operator Approver Admin Machine;
    PlaceOrders: Admin Machine;
    CancelOrders: Operator Approver Admin Machine;
    ReadProcesses: Viewer Operator Approver Admin Machine;
    /// Hold, release, retry, skip, amend, repin, decide.
    CommandProcesses: Operator Approver Admin;
    /// See a payload or a document with its personal data; each look is recorded.
    Reveal: Operator Approver Admin;
    ReadSystems: Viewer Operator Approver Admin Machine;
    ReadEvents: Viewer Operator Approver Admin Machine;
    ReadMetrics: Viewer Operator Approver Admin Machine;
    ReadAudit: Approver Admin;
    EraseSubjects: Admin;
    /// Make and revoke people and keys.
    ManagePrincipals: Admin;
    /// The console's own pages and preferences: any signed-in person.
    UseConsole: Viewer Operator Approver Admin;
    /// Set faults of simulated systems. Exists only in the demo.
    BreakThings: Operator Approver Admin;
}

impl Action {
    /// Whether it sees or touches what no site scope divides, so that only an actor of all sites may do it.
    pub const fn needs_all_sites(self) -> bool {
        match self {
            Self::ReadAudit | Self::EraseSubjects | Self::ManagePrincipals | Self::BreakThings => true,
            Self::ReadOrders
            | Self::PlaceOrders
            | Self::CancelOrders
            | Self::ReadProcesses
            | Self::CommandProcesses
            | Self::Reveal
            | Self::ReadSystems
            | Self::ReadEvents
            | Self::ReadMetrics
            | Self::UseConsole => false,
        }
    }
}

/// The sites an actor may see, as `channel/site`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sites {
    /// Left out in configuration means this: a retailer's own people usually see everything.
    #[default]
    All,
    Only(BTreeSet<String>),
}

impl Sites {
    pub fn hold(&self, channel: &str, site: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(sites) => sites.iter().any(|known| known.split_once('/') == Some((channel, site))),
        }
    }

    /// Whether a process key `channel/site/...` lies inside.
    pub fn hold_key(&self, key: &str) -> bool {
        let mut parts = key.splitn(3, '/');
        match (self, parts.next(), parts.next()) {
            (Self::All, _, _) => true,
            (Self::Only(_), Some(channel), Some(site)) => self.hold(channel, site),
            (Self::Only(_), _, _) => false,
        }
    }

    /// The filter the store applies.
    pub fn filter(&self) -> Option<Vec<String>> {
        match self {
            Self::All => None,
            Self::Only(sites) => Some(sites.iter().cloned().collect()),
        }
    }
}

/// Who makes a request. Every audit row, journal row and command carries `name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// `person:anna`, `key:shop`.
    pub name: Arc<str>,
    pub role: Role,
    pub sites: Sites,
    /// The form token of the session; `None` for a key.
    pub form_token: Option<Arc<str>>,
}

impl Actor {
    pub fn may(&self, action: Action) -> bool {
        action.roles().contains(&self.role) && (self.sites == Sites::All || !action.needs_all_sites())
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.role.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_reads_as_documented() {
        let table: Vec<String> = Action::ALL
            .iter()
            .map(|action| {
                let marks: String = Role::ALL.iter().map(|role| if action.roles().contains(role) { 'x' } else { '.' }).collect();
                format!("{marks} {action:?}")
            })
            .collect();
        // viewer, operator, approver, admin, machine
        let expected = "
            xxxxx ReadOrders
            ...xx PlaceOrders
            .xxxx CancelOrders
            xxxxx ReadProcesses
            .xxx. CommandProcesses
            .xxx. Reveal
            xxxxx ReadSystems
            xxxxx ReadEvents
            xxxxx ReadMetrics
            ..xx. ReadAudit
            ...x. EraseSubjects
            ...x. ManagePrincipals
            xxxx. UseConsole
            .xxx. BreakThings";
        let expected: Vec<_> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        assert_eq!(table, expected);
    }

    #[test]
    fn a_site_scope_is_matched_whole_and_keys_without_a_site_lie_outside() {
        let sites = Sites::Only(BTreeSet::from(["sfcc/DE".to_owned()]));
        assert!(sites.hold("sfcc", "DE"));
        assert!(sites.hold_key("sfcc/DE/0001"));
        for outside in ["sfcc/DE2/1", "sfcc/D/1", "x/sfcc/DE", "sync", ""] {
            assert!(!sites.hold_key(outside), "{outside}");
        }
        assert!(Sites::All.hold_key("sync"));
    }

    #[test]
    fn a_scoped_admin_may_not_do_what_no_scope_divides() {
        let actor = Actor {
            name: "person:a".into(),
            role: Role::Admin,
            sites: Sites::Only(BTreeSet::from(["sfcc/DE".to_owned()])),
            form_token: None,
        };
        assert!(actor.may(Action::CommandProcesses));
        assert!(!actor.may(Action::ReadAudit));
        assert!(!actor.may(Action::EraseSubjects));
    }
}
