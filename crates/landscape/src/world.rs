//! What the rest of a landscape may name: its systems with their roles, its markets.

use crate::{
    fault::Faults,
    read::{text, valid},
    source::Spot,
    yaml::Node,
};
use crossdock_canonical::{Role, SystemName};
use std::collections::BTreeMap;

/// Names that others refer to. A system whose file could not be read is known by name, so that one fault does not make ten.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub systems: BTreeMap<String, Option<Vec<Role>>>,
    /// Market -> IANA time zone, if it could be read.
    pub markets: BTreeMap<String, Option<String>>,
}

pub(crate) const ROLES: &[(&str, Role)] = &[
    ("storefront", Role::Storefront),
    ("marketplace", Role::Marketplace),
    ("erp", Role::Erp),
    ("oms", Role::Oms),
    ("wms", Role::Wms),
    ("store", Role::Store),
    ("inventory", Role::Inventory),
    ("payment", Role::Payment),
    ("tax", Role::Tax),
    ("fraud", Role::Fraud),
    ("carrier", Role::Carrier),
    ("service", Role::Service),
    ("crm", Role::Crm),
    ("pim", Role::Pim),
    ("notification", Role::Notification),
];

pub(crate) fn role_name(role: Role) -> &'static str {
    ROLES.iter().find(|(_, known)| *known == role).map_or("hub", |(name, _)| name)
}

impl World {
    /// Reads the name of a system that has one of the roles; any system when no role is asked for.
    pub fn system<'w>(&'w self, roles: &'w [Role]) -> impl Fn(&Node, &mut Faults) -> Option<SystemName> + 'w {
        move |node, faults| {
            let name = text(node, faults)?;
            let Some(held) = self.systems.get(&*name) else {
                let hint = valid(&name, self.with(roles));
                faults.add(node.spot, "unknown_system", format!("there is no system `{name}` in systems/")).suggest(hint);
                return None;
            };
            if !fits(held.as_deref(), roles) {
                let wanted: Vec<&str> = roles.iter().map(|role| role_name(*role)).collect();
                let fitting: Vec<&str> = self.with(roles).collect();
                let message = format!("the system `{name}` does not have the role {}", wanted.join(" or "));
                let hint = (!fitting.is_empty()).then(|| format!("valid: {}", fitting.join(", ")));
                faults.add(node.spot, "wrong_role", message).suggest(hint);
                return None;
            }
            Some(SystemName::new(&*name))
        }
    }

    /// The one system with the role, for a section that names none.
    pub fn only(&self, roles: &[Role], title: &str, spot: Spot, faults: &mut Faults) -> Option<SystemName> {
        let mut fitting = self.with(roles);
        let wanted: Vec<&str> = roles.iter().map(|role| role_name(*role)).collect();
        let wanted = wanted.join(" or ");
        match (fitting.next(), fitting.next()) {
            (Some(name), None) => Some(SystemName::new(name)),
            (None, _) => {
                // A system whose roles could not be read may be the one.
                if self.systems.values().all(Option::is_some) {
                    faults.add(
                        spot,
                        "missing_role",
                        format!("`{title}` needs a system with the role {wanted}, and no system has it"),
                    );
                }
                None
            }
            (Some(_), Some(_)) => {
                let names: Vec<&str> = self.with(roles).collect();
                let found = faults.add(
                    spot,
                    "ambiguous_system",
                    format!("several systems have the role {wanted}; `{title}` must name its `system`"),
                );
                found.suggest(Some(format!("valid: {}", names.join(", "))));
                None
            }
        }
    }

    fn with<'w>(&'w self, roles: &'w [Role]) -> impl Iterator<Item = &'w str> {
        let fitting = self.systems.iter().filter(|(_, held)| held.as_deref().is_some_and(|held| fits(Some(held), roles)));
        fitting.map(|(name, _)| name.as_str())
    }
}

fn fits(held: Option<&[Role]>, wanted: &[Role]) -> bool {
    wanted.is_empty() || held.is_none_or(|held| held.iter().any(|role| wanted.contains(role)))
}
