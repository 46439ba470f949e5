//! The Salesforce simulator's answers against the vendor's description, and the vendor's examples against the simulator.

use base64::Engine as _;
use crossdock_simulators::json::Json;
use crossdock_simulators::{Config, Mix, Request, Station, World};
use serde_json::Value;

use crate::schema;

const ORGANIZATION: &str = "f_ecom_zzte_053";

pub struct Client {
    pub world: World,
    pub now: i64,
    token: String,
}

impl Client {
    pub fn new() -> Self {
        let config = Config { orders: Mix { sites: vec!["RefArch-US".into()], ..Mix::plain() }, ..Config::default() };
        let mut client = Client { world: World::new(1, config), now: 1_795_514_400_000, token: String::new() };
        client.token = client.token(
            "/dwsso/oauth2/access_token",
            "grant_type=client_credentials&scope=SALESFORCE_COMMERCE_API:zzte_053%20sfcc.orders.rw",
        );
        client
    }

    fn token(&mut self, path: &str, body: &str) -> String {
        let basic = base64::engine::general_purpose::STANDARD.encode("crossdock-client:crossdockSecret1");
        let request = Request::new("POST", path, body).header("authorization", format!("Basic {basic}"));
        let answer = self.world.storefront.handle(&request, self.now).response.unwrap();
        assert_eq!(answer.status, 200);
        Json::parse(&answer.body).unwrap().text("access_token").to_owned()
    }

    pub fn call(&mut self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let token = self.token.clone();
        self.call_as(&token, method, path, body)
    }

    fn call_as(&mut self, token: &str, method: &str, path: &str, body: &str) -> (u16, Value) {
        let separator = if path.contains('?') { '&' } else { '?' };
        let path = format!("/checkout/orders/v1/organizations/{ORGANIZATION}/orders{path}{separator}siteId=RefArch-US");
        let request = Request::new(method, path, body).header("authorization", format!("Bearer {token}"));
        let answer = self.world.storefront.handle(&request, self.now).response.unwrap();
        assert!(answer.header("x-correlation-id").is_some());
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
    }
}

#[test]
fn answers_match_the_vendors_schemas() {
    let mut client = Client::new();
    for _ in 0..5 {
        client.world.place_next(client.now);
    }
    let (status, list) = client.call("GET", "", "");
    assert_eq!(status, 200);
    let validator = schema::validator("OrdersResponse");
    assert!(validator.is_valid(&list));
    let mut broken = list.clone();
    broken["data"][0]["status"] = "open".into();
    assert!(!validator.is_valid(&broken), "the validator does look");
    assert_eq!(list["data"].as_array().unwrap().len(), 5);
    let (status, order) = client.call("GET", "/00000001", "");
    assert_eq!((status, order["orderNo"].as_str()), (200, Some("00000001")));
    assert!(schema::validator("Order").is_valid(&order));
    let (status, problem) = client.call("GET", "/nope", "");
    assert_eq!(status, 404);
    assert!(schema::validator("ErrorResponse").is_valid(&problem));
    assert!(problem["type"].as_str().unwrap().ends_with("/order-not-found"));
}

#[test]
fn the_vendors_example_orders_can_be_created_and_read_back() {
    let mut client = Client::new();
    let path = format!("/shopper/auth/v1/organizations/{ORGANIZATION}/oauth2/trusted-system/token");
    let trusted = client.token(&path, "grant_type=client_credentials");
    for name in ["CreateSimpleOrder", "CreateFullOrder", "CreateOrderMultiShipment", "CreateFullPaymentInstrument"] {
        let example = schema::example(name);
        let (status, problem) = client.call_as(&trusted, "POST", "", &example.to_string());
        assert_eq!(status, 201, "{name}: {problem}");
        let number = example["orderNo"].as_str().unwrap();
        let (status, order) = client.call("GET", &format!("/{number}"), "");
        assert_eq!(status, 200);
        assert!(schema::validator("Order").is_valid(&order), "{name}: {order}");
        assert_eq!(schema::undeclared("Order", &order), Vec::<String>::new(), "{name}");
    }
    let mut simple = schema::example("CreateSimpleOrder");
    simple["orderNo"] = "other".into();
    simple["taxTotal"] = 12.40.into();
    let (status, problem) = client.call_as(&trusted, "POST", "", &simple.to_string());
    assert!(status == 400 && problem["type"].as_str().unwrap().ends_with("/invalid-tax-total"), "{problem}");
    assert_eq!(client.call("POST", "", &simple.to_string()).0, 403, "an Account Manager token does not create orders");
}
