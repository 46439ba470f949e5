//! What canonical documents look like, so that a path can be checked before there is a document.
//!
//! Read from the JSON Schemas that the canonical types generate; there is no second list of fields to keep.

use crossdock_value::jq;
use serde_json::Value as Json;
use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

/// The shape of a value, as far as the schema tells.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    /// Anything at all: free attributes.
    Any,
    Text,
    /// One of these texts.
    OneOf(Arc<[String]>),
    Number,
    Truth,
    List(Arc<Shape>),
    Object(Arc<BTreeMap<String, Shape>>),
}

/// A step that leads nowhere.
#[derive(Debug, PartialEq)]
pub(crate) struct Unknown<'a> {
    pub name: &'a str,
    /// The path before it, `order.lines`.
    pub parent: String,
    pub valid: Vec<&'a str>,
}

/// The canonical order, which conditions and outbound mappings see.
pub(crate) static ORDER: LazyLock<Shape> = LazyLock::new(|| canonical("order").unwrap_or(Shape::Any));

/// The shape of a canonical object by its name; `None` for one that has no schema yet.
pub(crate) fn canonical(object: &str) -> Option<Shape> {
    let file = format!("{object}.json");
    let (_, schema) = crossdock_canonical::schema::all().into_iter().find(|(name, _)| *name == file)?;
    let root = schema.as_value();
    Some(read(root, root, 0))
}

fn read(schema: &Json, root: &Json, depth: usize) -> Shape {
    // The schemas do not recurse; if one ever does, its inner turns are free.
    if depth > 24 {
        return Shape::Any;
    }
    let inner = |schema: &Json| read(schema, root, depth + 1);
    if let Some(reference) = schema.get("$ref").and_then(Json::as_str) {
        return reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer)).map_or(Shape::Any, inner);
    }
    for choice in ["anyOf", "oneOf"] {
        if let Some(options) = schema.get(choice).and_then(Json::as_array) {
            return alternatives(options.iter().filter(|option| !is_null(option)).collect(), inner);
        }
    }
    if let Some(words) = schema.get("enum").and_then(Json::as_array) {
        return Shape::OneOf(words.iter().filter_map(Json::as_str).map(str::to_owned).collect());
    }
    if let Some(properties) = schema.get("properties").and_then(Json::as_object) {
        return Shape::Object(Arc::new(properties.iter().map(|(name, schema)| (name.clone(), inner(schema))).collect()));
    }
    let kind = schema.get("type").map(|kind| match kind {
        Json::Array(kinds) => kinds.iter().filter_map(Json::as_str).find(|kind| *kind != "null").unwrap_or_default(),
        kind => kind.as_str().unwrap_or_default(),
    });
    match kind {
        Some("string") => Shape::Text,
        Some("integer" | "number") => Shape::Number,
        Some("boolean") => Shape::Truth,
        Some("array") => Shape::List(Arc::new(schema.get("items").map_or(Shape::Any, inner))),
        _ => Shape::Any,
    }
}

fn is_null(schema: &Json) -> bool {
    schema.get("type").and_then(Json::as_str) == Some("null")
}

fn alternatives(options: Vec<&Json>, inner: impl Fn(&Json) -> Shape) -> Shape {
    if let [only] = options[..] {
        return inner(only);
    }
    // Documented enums come as one constant each.
    let constants = options.iter().map(|option| option.get("const").and_then(Json::as_str).map(str::to_owned));
    constants.collect::<Option<Vec<_>>>().map_or(Shape::Any, |words| Shape::OneOf(words.into()))
}

impl Shape {
    /// The shape at the end of a path of a program.
    pub fn at<'a>(&'a self, object: &str, path: &'a [jq::Step]) -> Result<&'a Shape, Unknown<'a>> {
        let mut shape = self;
        let mut parent = object.to_owned();
        for step in path {
            shape = match (step, shape) {
                (jq::Step::Each, Shape::List(item)) => item,
                (jq::Step::Field(name), shape) => shape.field(name, &parent)?,
                (jq::Step::Each, _) => &Shape::Any,
            };
            if let jq::Step::Field(name) = step {
                parent = format!("{parent}.{name}");
            }
        }
        Ok(shape)
    }

    /// The shape at a dotted canonical path, which passes through lists: `lines.sku` is the SKU of each line.
    pub fn dotted<'a>(&'a self, object: &str, path: &'a str) -> Result<&'a Shape, Unknown<'a>> {
        let mut shape = self;
        let mut parent = object.to_owned();
        for name in path.split('.').filter(|step| !step.is_empty()) {
            while let Shape::List(item) = shape {
                shape = item;
            }
            shape = shape.field(name, &parent)?;
            parent = format!("{parent}.{name}");
        }
        Ok(shape)
    }

    fn field<'a>(&'a self, name: &'a str, parent: &str) -> Result<&'a Shape, Unknown<'a>> {
        match self {
            Shape::Any => Ok(&Shape::Any),
            Shape::Object(fields) => match fields.get(name) {
                Some(shape) => Ok(shape),
                None => Err(Unknown { name, parent: parent.to_owned(), valid: fields.keys().map(String::as_str).collect() }),
            },
            _ => Err(Unknown { name, parent: parent.to_owned(), valid: Vec::new() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_known_down_to_its_leaves() {
        let order = &*ORDER;
        for (path, expected) in [
            ("currency", Shape::Text),
            ("taxation", Shape::OneOf(["gross".to_owned(), "net".to_owned()].into())),
            ("customer.guest", Shape::Truth),
            ("lines.gross.amount", Shape::Text),
            ("lines.quantity.value", Shape::Text),
            ("shipments.ship_to.country", Shape::Text),
            ("custom.c_anything.at.all", Shape::Any),
        ] {
            assert_eq!(order.dotted("order", path), Ok(&expected), "{path}");
        }
        let unknown = order.dotted("order", "lines.skus").expect_err("no such field");
        assert_eq!((unknown.name, unknown.parent.as_str()), ("skus", "order.lines"));
        assert!(unknown.valid.contains(&"sku"));
    }
}
