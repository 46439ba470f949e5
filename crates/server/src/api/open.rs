//! What anyone may read: health, the API's own description, the catalogue of problems; and the metrics, for those with a key.

use crate::{
    app::App,
    auth::roles::Action,
    input::Path,
    openapi,
    problem::{Code, Problem},
    route::{Access, Doc, NO_BODY, Route, api},
};
use axum::{
    extract::State,
    http::{Method, header},
    response::IntoResponse,
};
use schemars::JsonSchema;
use serde::Serialize;

pub fn routes() -> Vec<Route> {
    let public = Access::Public;
    vec![
        api(
            Method::GET,
            "/healthz",
            public,
            NO_BODY,
            Doc::new("getHealth", "The process runs. Says nothing of the systems: restarting would not mend them.").answers_text(
                200,
                "It runs",
                "text/plain",
            ),
            async || "ok\n",
        ),
        api(
            Method::GET,
            "/readyz",
            public,
            NO_BODY,
            Doc::new("getReadiness", "Whether intake is open. A load balancer sends no traffic otherwise.")
                .answers_text(200, "Open", "text/plain")
                .fails(&[Code::Overloaded]),
            ready,
        ),
        api(
            Method::GET,
            "/metrics",
            Access::To(Action::ReadMetrics),
            NO_BODY,
            Doc::new("getMetrics", "Counters and gauges in the Prometheus text format.").answers_text(
                200,
                "The metrics",
                "text/plain; version=0.0.4",
            ),
            metrics,
        ),
        api(
            Method::GET,
            "/openapi.json",
            public,
            NO_BODY,
            Doc::new("getOpenApi", "This description.").answers_text(200, "OpenAPI 3.1", "application/json"),
            async || ([(header::CONTENT_TYPE, "application/json")], openapi::text()),
        ),
        api(
            Method::GET,
            "/problems",
            public,
            NO_BODY,
            Doc::new("getProblems", "Every code an error answer can carry.").answers::<Catalogue>(200, "The catalogue"),
            async || axum::Json(Catalogue { items: Code::ALL.iter().copied().map(entry).collect() }),
        ),
        api(
            Method::GET,
            "/problems/{code}",
            public,
            NO_BODY,
            Doc::new("getProblem", "One code.").answers::<Entry>(200, "The code").fails(&[Code::NotFound]),
            problem,
        ),
    ]
}

#[derive(Serialize, JsonSchema)]
struct Catalogue {
    items: Vec<Entry>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CatalogueEntry")]
struct Entry {
    code: &'static str,
    status: u16,
    title: &'static str,
    /// What the caller should do.
    advice: &'static str,
}

fn entry(code: Code) -> Entry {
    Entry { code: code.as_str(), status: code.status().as_u16(), title: code.title(), advice: code.advice() }
}

async fn problem(Path(code): Path<String>) -> Result<axum::Json<Entry>, Problem> {
    Code::parse(&code).map(|code| axum::Json(entry(code))).ok_or_else(|| Problem::of(Code::NotFound))
}

async fn ready(State(app): State<App>) -> Result<&'static str, Problem> {
    app.hub.readiness().map(|()| "ready\n").map_err(Problem::from)
}

async fn metrics(State(app): State<App>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.hub.metrics())
}
