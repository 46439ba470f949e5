//! One table of routes. It builds the router, the guards and the OpenAPI document, so none of them can lag behind the others.

use crate::{
    app::App,
    auth::{
        guard::{self, Post},
        roles::Action,
    },
    harden,
    problem::Code,
};
use axum::{
    Router,
    handler::Handler,
    http::Method,
    middleware,
    routing::{MethodFilter, MethodRouter, on},
};
use schemars::{JsonSchema, Schema, SchemaGenerator};

/// Who gets to a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anyone: health, the sign-in page, style sheets, the API description.
    Public,
    /// A system whose connector verifies the request itself (webhooks).
    Verified,
    /// An actor whose role allows the action.
    To(Action),
}

/// Bodies: none, a form of the console, a command, an order, a webhook.
pub const NO_BODY: usize = 0;
pub const FORM: usize = 64 << 10;
pub const COMMAND: usize = 256 << 10;
pub const ORDER: usize = 4 << 20;
pub const WEBHOOK: usize = 1 << 20;

pub struct Route {
    pub method: Method,
    pub path: &'static str,
    pub access: Access,
    pub body_max: usize,
    /// `None` for pages of the console.
    pub doc: Option<Doc>,
    handler: MethodRouter<App>,
}

/// What the OpenAPI document says of a route.
#[derive(Clone, Default)]
pub struct Doc {
    pub id: &'static str,
    pub summary: &'static str,
    pub query: &'static [(&'static str, &'static str)],
    pub idempotent: bool,
    pub request: Option<SchemaOf>,
    pub answers: Vec<Answer>,
    pub problems: &'static [Code],
}

pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

#[derive(Clone)]
pub struct Answer {
    pub status: u16,
    pub text: &'static str,
    pub content: &'static str,
    pub schema: Option<SchemaOf>,
}

impl Doc {
    pub fn new(id: &'static str, summary: &'static str) -> Self {
        Self { id, summary, ..Self::default() }
    }
    pub fn query(mut self, query: &'static [(&'static str, &'static str)]) -> Self {
        self.query = query;
        self
    }
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }
    pub fn takes<T: JsonSchema>(mut self) -> Self {
        self.request = Some(SchemaGenerator::subschema_for::<T>);
        self
    }
    pub fn answers<T: JsonSchema>(mut self, status: u16, text: &'static str) -> Self {
        let schema: Option<SchemaOf> = Some(SchemaGenerator::subschema_for::<T>);
        self.answers.push(Answer { status, text, content: "application/json", schema });
        self
    }
    pub fn answers_text(mut self, status: u16, text: &'static str, content: &'static str) -> Self {
        self.answers.push(Answer { status, text, content, schema: None });
        self
    }
    pub fn fails(mut self, problems: &'static [Code]) -> Self {
        self.problems = problems;
        self
    }
}

/// A route of an API. Its description is not optional.
pub fn api<H, T>(method: Method, path: &'static str, access: Access, body_max: usize, doc: Doc, handler: H) -> Route
where
    H: Handler<T, App>,
    T: 'static,
{
    Route { handler: on(filter(&method), handler), method, path, access, body_max, doc: Some(doc) }
}

/// A page of the console that is read.
pub fn page<H, T>(path: &'static str, access: Access, handler: H) -> Route
where
    H: Handler<T, App>,
    T: 'static,
{
    Route { handler: on(MethodFilter::GET, handler), method: Method::GET, path, access, body_max: NO_BODY, doc: None }
}

/// A form of the console.
pub fn form<H, T>(path: &'static str, access: Access, handler: H) -> Route
where
    H: Handler<T, App>,
    T: 'static,
{
    Route { handler: on(MethodFilter::POST, handler), method: Method::POST, path, access, body_max: FORM, doc: None }
}

fn filter(method: &Method) -> MethodFilter {
    MethodFilter::try_from(method.clone()).expect("the table has standard methods only")
}

/// Every route there is.
pub fn table() -> Vec<Route> {
    [crate::api::routes(), crate::console::routes()].into_iter().flatten().collect()
}

/// The router of the whole table.
pub fn build(app: App) -> Router {
    let mut router = Router::new();
    for Route { path, access, body_max, doc, handler, .. } in table() {
        let post = Post { app: app.clone(), access, body_max, page: doc.is_none() };
        router = router.route(path, handler.route_layer(middleware::from_fn_with_state(post, guard::stand)));
    }
    router
        .fallback(harden::not_found)
        .method_not_allowed_fallback(harden::method_not_allowed)
        .layer(middleware::from_fn_with_state(app.clone(), harden::wrap))
        .with_state(app)
}
