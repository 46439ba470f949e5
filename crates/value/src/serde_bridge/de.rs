//! Reading: `Deserialize for Value`, and a deserializer over a borrowed `Value`.

use std::fmt;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde::de::value::{BytesDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::{Error, VALUE_TOKEN};
use crate::{Map, Value, decimal};

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(VALUE_TOKEN, ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Value, E> {
        Err(E::custom("a fraction read as a float has lost its digits; write it as text, or read the JSON exactly"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::from(text))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::from(text))
    }

    /// Only this crate's own reader sends bytes: the digits of a number.
    fn visit_bytes<E: de::Error>(self, digits: &[u8]) -> Result<Value, E> {
        let number = std::str::from_utf8(digits).ok().and_then(decimal::read);
        number.map(Value::Num).ok_or_else(|| E::invalid_type(Unexpected::Bytes(digits), &self))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element::<Value>()? {
            items.push(item);
        }
        Ok(Value::from(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, value)) = access.next_entry::<String, Value>()? {
            if map.contains_key(&key) {
                return Err(de::Error::custom(format_args!("the key \"{key}\" comes twice in one object")));
            }
            map.insert(key, value);
        }
        Ok(Value::from(map))
    }
}

/// A value being read by a type's `Deserialize`.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub &'a Value);

impl<'de> Reader<'de> {
    fn entries(self, map: &'de Map) -> MapDeserializer<'de, impl Iterator<Item = (&'de str, Reader<'de>)>, Error> {
        MapDeserializer::new(map.iter().map(|(key, value)| (&**key, Reader(value))))
    }

    fn unexpected(self) -> Unexpected<'de> {
        match self.0 {
            Value::Null => Unexpected::Unit,
            Value::Bool(truth) => Unexpected::Bool(*truth),
            // Neither digits nor text: an error message is no place for what a document says.
            other => Unexpected::Other(other.kind()),
        }
    }

    fn mismatch<'v, V: Visitor<'v>>(self, visitor: &V) -> Error {
        de::Error::invalid_type(self.unexpected(), visitor)
    }
}

impl<'de> IntoDeserializer<'de, Error> for Reader<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// A whole number as the visitor knows it, a fraction as its digits in text.
fn visit_number<'de, V: Visitor<'de>>(number: &Decimal, visitor: V) -> Result<V::Value, Error> {
    if number.scale() == 0 {
        if let Some(whole) = number.to_u64() {
            return visitor.visit_u64(whole);
        }
        if let Some(whole) = number.to_i64() {
            return visitor.visit_i64(whole);
        }
    }
    visitor.visit_string(number.to_string())
}

macro_rules! read_whole {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.0 {
                Value::Num(number) if number.is_integer() => match (number.to_i64(), number.to_u64()) {
                    (Some(whole), _) => visitor.visit_i64(whole),
                    (None, Some(whole)) => visitor.visit_u64(whole),
                    (None, None) => Err(de::Error::custom("the whole number does not fit in 64 bits")),
                },
                _ => Err(self.mismatch(&visitor)),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(truth) => visitor.visit_bool(*truth),
            Value::Num(number) => visit_number(number, visitor),
            Value::Str(text) => visitor.visit_borrowed_str(text),
            Value::Arr(items) => {
                let mut access = SeqDeserializer::new(items.iter().map(Reader));
                let seen = visitor.visit_seq(&mut access)?;
                access.end()?;
                Ok(seen)
            }
            Value::Obj(map) => {
                let mut access = self.entries(map);
                let seen = visitor.visit_map(&mut access)?;
                access.end()?;
                Ok(seen)
            }
        }
    }

    read_whole! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(de::Error::custom("a value is never read as a float; use a decimal"))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        match (name, self.0) {
            (VALUE_TOKEN, Value::Num(number)) => {
                let digits = number.to_string();
                visitor.visit_newtype_struct(BytesDeserializer::new(digits.as_bytes()))
            }
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Value::Str(text) => visitor.visit_enum(Variant { name: text, content: None }),
            Value::Obj(map) if map.len() == 1 => {
                let (name, content) = map.iter().next().expect("the map has one entry");
                visitor.visit_enum(Variant { name, content: Some(content) })
            }
            _ => Err(self.mismatch(&visitor)),
        }
    }

    forward_to_deserialize_any! {
        bool i128 u128 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier
        ignored_any
    }
}

/// An enum: `"Name"`, or `{"Name": content}`.
struct Variant<'a> {
    name: &'a str,
    content: Option<&'a Value>,
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Error> {
        let name = de::value::BorrowedStrDeserializer::new(self.name);
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> Variant<'de> {
    fn content(self) -> Reader<'de> {
        static NULL: Value = Value::Null;
        Reader(self.content.unwrap_or(&NULL))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Deserialize::deserialize(self.content())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        seed.deserialize(self.content())
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Error> {
        self.content().deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _fields: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        self.content().deserialize_any(visitor)
    }
}
