//! The vendor's own description of the Orders API, as a validator.

use std::sync::OnceLock;

use serde_json::{Value, json};

const OAS: &str = include_str!("../../specs/salesforce-orders/orders-oas-v1-public.yaml");

fn document() -> &'static Value {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    DOCUMENT.get_or_init(|| serde_saphyr::from_str(OAS).expect("the vendored description is YAML"))
}

/// A validator for one of the description's schemas.
pub fn validator(schema: &str) -> jsonschema::Validator {
    let root = json!({
        "$ref": format!("#/components/schemas/{schema}"),
        "components": { "schemas": document()["components"]["schemas"] },
    });
    jsonschema::draft7::new(&root).expect("the vendor's schema compiles")
}

/// The value of a named example.
pub fn example(name: &str) -> Value {
    document()["components"]["examples"][name]["value"].clone()
}

/// Members that the schema neither lists nor allows: the description states the `c_` rule in words, so it is checked here.
pub fn undeclared(schema: &str, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(&document()["components"]["schemas"][schema], value, schema, &mut found);
    found
}

fn walk(schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let schemas = &document()["components"]["schemas"];
    let reference = schema["$ref"].as_str().or(schema["allOf"][0]["$ref"].as_str());
    let schema = match reference.and_then(|r| r.rsplit('/').next()) {
        Some(name) => &schemas[name],
        None => schema,
    };
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match schema["properties"].get(name) {
                    Some(inner) => walk(inner, member, &format!("{at}.{name}"), found),
                    None if name.starts_with("c_") && schema["additionalProperties"].is_object() => {}
                    None => found.push(format!("{at}.{name}")),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| walk(&schema["items"], item, at, found)),
        _ => {}
    }
}
