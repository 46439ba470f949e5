//! `mappings/*.yaml`: what a landscape adds to a connector's own mapping. A target the connector fills too is filled by the landscape.

use crate::{
    expr,
    fault::Faults,
    ownership::Ownership,
    read::{Section, text, valid},
    shape::{ORDER, Shape, canonical},
    source::Spot,
    terms::named,
    world::{World, role_name},
    yaml::{Key, Node},
};
use crossdock_canonical::{Operation, SystemName};
use std::sync::{Arc, LazyLock};

/// What an outbound expression sees: the call, with the canonical order as its document.
static CALL: LazyLock<Shape> = LazyLock::new(|| {
    let order = ["channel", "site", "number", "reference", "id"].map(|name| (name.to_owned(), Shape::Text));
    let fields = [
        ("key", Shape::Text),
        ("reference", Shape::Text),
        ("operation", Shape::Text),
        ("order", Shape::Object(Arc::new(order.into()))),
        ("args", Shape::Any),
        ("document", ORDER.clone()),
        ("identities", Shape::Any),
        ("at", Shape::Text),
    ];
    Shape::Object(Arc::new(fields.map(|(name, shape)| (name.to_owned(), shape)).into()))
});

/// One file of `mappings/`, read.
pub(crate) struct Mapping {
    pub system: SystemName,
    pub subject: Subject,
    /// Where the subject is named.
    pub spot: Spot,
    /// Dotted target path -> jq expression.
    pub fields: Node,
}

/// What is mapped.
pub(crate) enum Subject {
    /// A call out: targets are fields of the vendor's body.
    Operation(Operation),
    /// A message of this kind that comes in: targets are canonical fields.
    Message(Arc<str>),
}

impl Subject {
    /// The name that connectors find the mapping by.
    pub fn name(&self) -> &str {
        match self {
            Self::Operation(operation) => operation.as_str(),
            Self::Message(kind) => kind,
        }
    }
}

/// The kinds of message that connectors hand in, with the canonical object of their body where it has a schema.
pub(crate) const MESSAGES: &[(&str, Option<&str>)] = &[
    ("order.placed", Some("order")),
    ("order.observed", Some("order")),
    ("order.cancel_requested", None),
    ("shipment.notice", Some("shipment-notice")),
    ("fraud.decided", None),
    ("payment.notice", None),
    ("effect.settled", None),
];

pub(crate) fn read(root: &Node, world: &World, ownership: &Ownership, faults: &mut Faults) -> Option<Mapping> {
    let mut section = Section::open("a mapping", root, faults)?;
    let system = section.need("system", faults, world.system(&[]));
    let (operation_entry, message_entry) = (section.entry("operation"), section.entry("message"));
    let subject = match (operation_entry, message_entry) {
        (Some((_, node)), None) => operation(node, system.as_ref(), world, faults).map(Subject::Operation),
        (None, Some((_, node))) => message(node, faults).map(Subject::Message),
        (Some(_), Some((key, _))) => {
            faults.add(key.spot, "unknown_key", "a mapping is of an `operation` or of a `message`, not of both");
            None
        }
        (None, None) => {
            faults.add(section.spot, "missing_key", "a mapping needs `operation` (what goes out) or `message` (what comes in)");
            None
        }
    };
    let fields = section.need("fields", faults, |node, faults| {
        let entries = named(node, faults)?;
        targets(entries, faults);
        for (key, node) in entries {
            field(key, node, subject.as_ref(), system.as_ref(), ownership, faults);
        }
        Some(node.clone())
    });
    section.close(faults);
    let (key, _) = operation_entry.or(message_entry)?;
    Some(Mapping { system: system?, subject: subject?, spot: key.spot, fields: fields? })
}

fn operation(node: &Node, system: Option<&SystemName>, world: &World, faults: &mut Faults) -> Option<Operation> {
    let given = text(node, faults)?;
    let known = Operation::ALL.iter().filter(|operation| **operation != Operation::HubCommand);
    let Some(operation) = known.clone().find(|operation| operation.as_str() == &*given) else {
        let hint = valid(&given, known.map(|operation| operation.as_str()));
        faults.add(node.spot, "unknown_operation", format!("there is no operation `{given}`")).suggest(hint);
        return None;
    };
    let roles = system.and_then(|system| world.systems.get(system.as_str())).and_then(Option::as_ref);
    if let (Some(system), Some(roles)) = (system, roles)
        && !roles.contains(&operation.role())
    {
        let role = role_name(operation.role());
        faults.add(
            node.spot,
            "wrong_role",
            format!("`{operation}` is asked of the role {role}, which the system `{system}` does not have"),
        );
        return None;
    }
    Some(*operation)
}

fn message(node: &Node, faults: &mut Faults) -> Option<Arc<str>> {
    let given = text(node, faults)?;
    if !MESSAGES.iter().any(|(kind, _)| *kind == &*given) {
        let hint = valid(&given, MESSAGES.iter().map(|(kind, _)| *kind));
        faults.add(node.spot, "unknown_message", format!("there is no message kind `{given}`")).suggest(hint);
        return None;
    }
    Some(given)
}

/// Targets that are no paths, or that would write each other's field.
fn targets(entries: &[(Key, Node)], faults: &mut Faults) {
    for (n, (key, _)) in entries.iter().enumerate() {
        if key.text.split('.').any(|step| step.is_empty() || step.contains(['[', ']', ' ', '"', '\''])) {
            faults.add(key.spot, "bad_target", format!("`{}` is not a dotted path of plain names", key.text));
        }
        let inside = |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'));
        let other = entries[..n].iter().find(|(other, _)| inside(&key.text, &other.text) || inside(&other.text, &key.text));
        if let Some((other, _)) = other {
            let place = faults.place(other.spot);
            faults.add(
                key.spot,
                "bad_target",
                format!("`{}` and `{}` ({place}) would write the same field", key.text, other.text),
            );
        }
    }
}

fn field(
    key: &Key,
    node: &Node,
    subject: Option<&Subject>,
    system: Option<&SystemName>,
    ownership: &Ownership,
    faults: &mut Faults,
) {
    match subject {
        // Of an unknown body only the language can be checked.
        None => drop(expr::program(node, "call", &Shape::Any, faults)),
        Some(Subject::Operation(_)) => drop(expr::program(node, "call", &CALL, faults)),
        Some(Subject::Message(kind)) => {
            if let Some(object) = MESSAGES.iter().find(|(known, _)| *known == &**kind).and_then(|(_, object)| *object) {
                canonical_target(key, object, system, ownership, faults);
            }
            // What it sees is the connector's to say.
            expr::program(node, "message", &Shape::Any, faults);
        }
    }
}

/// A message may write only canonical fields, and none that another system owns.
fn canonical_target(key: &Key, object: &str, system: Option<&SystemName>, ownership: &Ownership, faults: &mut Faults) {
    let name = if object == "shipment-notice" { "shipment" } else { object };
    if let Some(shape) = canonical(object)
        && let Err(unknown) = shape.dotted(name, &key.text)
    {
        let found = faults.add(key.spot, "unknown_field", format!("`{}` has no field `{}`", unknown.parent, unknown.name));
        found.suggest(valid(unknown.name, unknown.valid));
        return;
    }
    let field = format!("{name}.{}", key.text);
    if let (Some(owner), Some(system)) = (ownership.owner_of(&field), system)
        && owner != system
    {
        let message = format!("`{field}` belongs to the system `{owner}`; what `{system}` says of it would not be taken");
        faults.add(key.spot, "foreign_owned", message).suggest(Some("change ownership.yaml, or leave the field out"));
    }
}
