//! Values through serde and back.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::*;
use crate::{parse_str, value};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Line {
    sku: String,
    quantity: u32,
    #[serde(with = "crate::decimal")]
    price: Decimal,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    state: State,
    custom: Value,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum State {
    Open,
    Shipped(u8),
    Returned { reason: String },
}

fn line(state: State) -> Line {
    let custom = parse_str(r#"{"c_rate": 12.50, "big": 12345678901234567890.123456}"#).unwrap();
    Line { sku: "A-1".into(), quantity: 2, price: Decimal::new(1990, 2), note: None, state, custom }
}

#[test]
fn typed_things_come_back_from_a_value_exactly() {
    for state in [State::Open, State::Shipped(3), State::Returned { reason: "torn".into() }] {
        let line = line(state);
        let value = to_value(&line).unwrap();
        assert_eq!(value.get("price").to_string(), "19.90");
        assert_eq!(value.get("custom").to_string(), r#"{"c_rate":12.50,"big":12345678901234567890.123456}"#);
        assert_eq!(from_value::<Line>(&value).unwrap(), line);
    }
}

#[test]
fn another_format_gets_whole_numbers_as_numbers_and_fractions_as_text() {
    let value = parse_str(r#"{"n": 3, "scaled": 3.0, "p": 12.50, "big": 99999999999999999999}"#).unwrap();
    let text = serde_json::to_string(&value).unwrap();
    assert_eq!(text, r#"{"n":3,"scaled":"3.0","p":"12.50","big":"99999999999999999999"}"#);
}

#[test]
fn another_format_reads_all_but_floats() {
    let read: Value = serde_json::from_str(r#"{"a": [1, -2, "x", null, true], "b": {}}"#).unwrap();
    assert_eq!(read, value!({"a": [1, -2, "x", null, true], "b": {}}));
    let error = serde_json::from_str::<Value>("[1.5]").unwrap_err();
    assert!(error.to_string().contains("lost its digits"), "{error}");
    assert!(serde_json::from_str::<Value>(r#"{"a": 1, "a": 2}"#).is_err());
}

#[test]
fn floats_are_refused_on_the_way_in_and_out() {
    assert!(to_value(&1.5_f64).is_err());
    assert!(to_value(&BTreeMap::from([("rate", 0.5_f32)])).is_err());
    assert!(from_value::<f64>(&value!(1)).is_err());
}

#[test]
fn misfits_name_the_field_kind_but_not_the_content() {
    let secret = value!({"sku": "A", "quantity": "4111111111111111"});
    let error = from_value::<Line>(&secret).unwrap_err().to_string();
    assert!(error.contains("u32") && !error.contains("4111"), "{error}");
    assert!(from_value::<u8>(&value!(256)).is_err());
    assert!(from_value::<u32>(&value!(1.5_f32.to_string())).is_err());
    assert!(from_value::<(u8, u8)>(&value!([1, 2, 3])).is_err());
}

#[test]
fn whole_numbers_with_a_scale_are_whole() {
    let two = parse_str("2.00").unwrap();
    assert_eq!(from_value::<u32>(&two).unwrap(), 2);
    assert_eq!(from_value::<Option<i64>>(&two).unwrap(), Some(2));
}
