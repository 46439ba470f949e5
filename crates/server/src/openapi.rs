//! The OpenAPI document, made from the route table. `docs/openapi.json` is its committed copy; a test compares them.

use crate::{
    problem::{Code, ProblemBody},
    route::{self, Access, Answer, Doc, Route},
};
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value as Json, json};

/// The document as pretty JSON, ended by a newline: exactly what is committed.
pub fn text() -> String {
    let mut text = serde_json::to_string_pretty(&document()).expect("a JSON value is written without fail");
    text.push('\n');
    text
}

pub fn document() -> Json {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut schemas = settings.into_generator();
    let problem = schemas.subschema_for::<ProblemBody>();
    let mut paths = Map::new();
    for route in route::table() {
        let Some(doc) = &route.doc else { continue };
        let entry = paths.entry(route.path).or_insert_with(|| json!({}));
        entry[route.method.as_str().to_ascii_lowercase()] = operation(&route, doc, &problem, &mut schemas);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Crossdock",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "The HTTP surfaces of the hub. Errors are problem+json (RFC 9457) with a stable `code`; see /problems.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "An API key, `cdk_...`."}},
        },
    })
}

fn operation(route: &Route, doc: &Doc, problem: &schemars::Schema, schemas: &mut SchemaGenerator) -> Json {
    let tag = route.path.split('/').nth(1).filter(|_| route.path.contains("/v1/")).unwrap_or("open");
    let mut operation = json!({
        "operationId": doc.id,
        "summary": doc.summary,
        "tags": [tag],
        "parameters": parameters(route, doc),
        "responses": responses(route, doc, problem, schemas),
    });
    match route.access {
        Access::To(action) => {
            operation["security"] = json!([{"key": []}]);
            operation["x-roles"] = action.roles().iter().map(|role| role.as_str()).collect();
        }
        Access::Public | Access::Verified => operation["security"] = json!([]),
    }
    if route.body_max > 0 {
        operation["x-body-max"] = json!(route.body_max);
        operation["requestBody"] = match doc.request {
            Some(schema) => json!({"required": true, "content": {"application/json": {"schema": schema(schemas)}}}),
            None => json!({"required": true, "content": {"*/*": {}}}),
        };
    }
    operation
}

fn parameters(route: &Route, doc: &Doc) -> Json {
    let in_path = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let mut all: Vec<Json> =
        in_path.map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}})).collect();
    if doc.idempotent {
        let text = "New for each order or command, the same for each repeat.";
        let schema = json!({"type": "string", "minLength": 1, "maxLength": 128});
        all.push(json!({"name": "Idempotency-Key", "in": "header", "required": true, "schema": schema, "description": text}));
    }
    for (name, text) in doc.query {
        let required = matches!(*name, "channel" | "site");
        all.push(json!({"name": name, "in": "query", "required": required, "schema": {"type": "string"}, "description": text}));
    }
    all.into()
}

fn responses(route: &Route, doc: &Doc, problem: &schemars::Schema, schemas: &mut SchemaGenerator) -> Json {
    let mut responses = Map::new();
    for Answer { status, text, content, schema } in &doc.answers {
        let mut answer = json!({"description": text});
        if !content.is_empty() {
            let schema = schema.map_or(json!({}), |schema| json!({"schema": schema(schemas)}));
            answer["content"] = json!({*content: schema});
        }
        responses.insert(status.to_string(), answer);
    }
    let always: &[Code] = match route.access {
        Access::To(_) => &[Code::Unauthenticated, Code::Forbidden, Code::TooManyAttempts, Code::Internal],
        Access::Public | Access::Verified => &[Code::Internal],
    };
    for code in doc.problems.iter().chain(always) {
        let status = code.status().as_u16().to_string();
        let answer = responses
            .entry(status)
            .or_insert_with(|| json!({"description": "", "content": {"application/problem+json": {"schema": problem}}}));
        let known = answer["description"].as_str().unwrap_or_default();
        let joined = if known.is_empty() { code.as_str().to_owned() } else { format!("{known}, {}", code.as_str()) };
        answer["description"] = joined.into();
    }
    responses.into()
}
