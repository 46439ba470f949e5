//! Writing: `Serialize for Value`, and a serializer that builds a `Value`.

use rust_decimal::prelude::ToPrimitive;
use serde::ser::{self, Impossible, Serialize, SerializeMap, SerializeSeq, Serializer};

use super::Error;
use crate::{Map, Value, decimal};

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(truth) => serializer.serialize_bool(*truth),
            Value::Num(number) => match (number.scale(), number.to_i64(), number.to_u64()) {
                (0, Some(whole), _) => serializer.serialize_i64(whole),
                (0, None, Some(whole)) => serializer.serialize_u64(whole),
                _ => decimal::serialize(number, serializer),
            },
            Value::Str(text) => serializer.serialize_str(text),
            Value::Arr(items) => serializer.collect_seq(items.iter()),
            Value::Obj(map) => serializer.collect_map(map.iter().map(|(key, value)| (&**key, value))),
        }
    }
}

/// Builds a value from a type's `Serialize`.
pub(super) struct Writer;

/// An array or object being built; a variant's name to wrap it in, if it belongs to an enum.
pub(super) struct Builder<T> {
    built: T,
    key: Option<String>,
    variant: Option<&'static str>,
}

impl<T: Default> Builder<T> {
    fn new(variant: Option<&'static str>) -> Self {
        Self { built: T::default(), key: None, variant }
    }
}

fn wrapped(variant: Option<&'static str>, value: Value) -> Value {
    match variant {
        Some(name) => crate::obj([(name, value)]),
        None => value,
    }
}

fn float_refused<T>() -> Result<T, Error> {
    Err(ser::Error::custom("a float cannot become a value; use a decimal"))
}

macro_rules! write_whole {
    ($($method:ident $from:ty;)*) => {
        $(fn $method(self, number: $from) -> Result<Value, Error> {
            Ok(Value::Num(number.into()))
        })*
    };
}

impl Serializer for Writer {
    type Ok = Value;
    type Error = Error;
    type SerializeSeq = Builder<Vec<Value>>;
    type SerializeTuple = Builder<Vec<Value>>;
    type SerializeTupleStruct = Builder<Vec<Value>>;
    type SerializeTupleVariant = Builder<Vec<Value>>;
    type SerializeMap = Builder<Map>;
    type SerializeStruct = Builder<Map>;
    type SerializeStructVariant = Builder<Map>;

    write_whole! {
        serialize_i8 i8; serialize_i16 i16; serialize_i32 i32; serialize_i64 i64;
        serialize_u8 u8; serialize_u16 u16; serialize_u32 u32; serialize_u64 u64;
    }

    fn serialize_i128(self, number: i128) -> Result<Value, Error> {
        let fits = rust_decimal::Decimal::try_from_i128_with_scale(number, 0);
        fits.map(Value::Num).map_err(|_| ser::Error::custom("the whole number does not fit in 28 digits"))
    }

    fn serialize_u128(self, number: u128) -> Result<Value, Error> {
        let narrower = i128::try_from(number);
        self.serialize_i128(narrower.map_err(|_| ser::Error::custom("the whole number does not fit in 28 digits"))?)
    }

    fn serialize_bool(self, truth: bool) -> Result<Value, Error> {
        Ok(Value::Bool(truth))
    }

    fn serialize_f32(self, _: f32) -> Result<Value, Error> {
        float_refused()
    }

    fn serialize_f64(self, _: f64) -> Result<Value, Error> {
        float_refused()
    }

    fn serialize_char(self, c: char) -> Result<Value, Error> {
        Ok(Value::from(c.to_string()))
    }

    fn serialize_str(self, text: &str) -> Result<Value, Error> {
        Ok(Value::from(text))
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<Value, Error> {
        Err(ser::Error::custom("bytes have no JSON form; encode them as text"))
    }

    fn serialize_none(self) -> Result<Value, Error> {
        Ok(Value::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Value, Error> {
        Ok(Value::Null)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Value, Error> {
        Ok(Value::Null)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<Value, Error> {
        Ok(Value::from(variant))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, inner: &T) -> Result<Value, Error> {
        let value = inner.serialize(self)?;
        match &value {
            Value::Str(digits) if name == decimal::TOKEN => {
                let number = decimal::read(digits);
                number.map(Value::Num).ok_or_else(|| ser::Error::custom("the decimal does not read back"))
            }
            _ => Ok(value),
        }
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        inner: &T,
    ) -> Result<Value, Error> {
        Ok(wrapped(Some(variant), inner.serialize(self)?))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, Error> {
        Ok(Builder::new(None))
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Error> {
        Ok(Builder::new(None))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, Error> {
        Ok(Builder::new(None))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Error> {
        Ok(Builder::new(Some(variant)))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Error> {
        Ok(Builder::new(None))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, Error> {
        Ok(Builder::new(None))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Error> {
        Ok(Builder::new(Some(variant)))
    }
}

impl SerializeSeq for Builder<Vec<Value>> {
    type Ok = Value;
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), Error> {
        self.built.push(item.serialize(Writer)?);
        Ok(())
    }

    fn end(self) -> Result<Value, Error> {
        Ok(wrapped(self.variant, Value::from(self.built)))
    }
}

macro_rules! build_sequence {
    ($($of:path, $method:ident;)*) => {
        $(impl $of for Builder<Vec<Value>> {
            type Ok = Value;
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), Error> {
                SerializeSeq::serialize_element(self, item)
            }

            fn end(self) -> Result<Value, Error> {
                SerializeSeq::end(self)
            }
        })*
    };
}

build_sequence! {
    ser::SerializeTuple, serialize_element;
    ser::SerializeTupleStruct, serialize_field;
    ser::SerializeTupleVariant, serialize_field;
}

impl SerializeMap for Builder<Map> {
    type Ok = Value;
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.key = Some(key.serialize(KeyWriter)?);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let key = self.key.take().ok_or_else(|| Error("a map gave a value before its key".to_owned()))?;
        self.built.insert(key, value.serialize(Writer)?);
        Ok(())
    }

    fn end(self) -> Result<Value, Error> {
        Ok(wrapped(self.variant, Value::from(self.built)))
    }
}

macro_rules! build_struct {
    ($($of:path;)*) => {
        $(impl $of for Builder<Map> {
            type Ok = Value;
            type Error = Error;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Error> {
                // No field comes twice.
                self.built.push(key.into(), value.serialize(Writer)?);
                Ok(())
            }

            fn end(self) -> Result<Value, Error> {
                SerializeMap::end(self)
            }
        })*
    };
}

build_struct! {
    ser::SerializeStruct;
    ser::SerializeStructVariant;
}

/// Writes a map's key: text, a unit variant, a whole number or a truth value.
struct KeyWriter;

macro_rules! write_key {
    ($($method:ident $from:ty;)*) => {
        $(fn $method(self, key: $from) -> Result<String, Error> {
            Ok(key.to_string())
        })*
    };
}

fn key_refused<T>() -> Result<T, Error> {
    Err(ser::Error::custom("the key of an object must be text or a whole number"))
}

impl Serializer for KeyWriter {
    type Ok = String;
    type Error = Error;
    type SerializeSeq = Impossible<String, Error>;
    type SerializeTuple = Impossible<String, Error>;
    type SerializeTupleStruct = Impossible<String, Error>;
    type SerializeTupleVariant = Impossible<String, Error>;
    type SerializeMap = Impossible<String, Error>;
    type SerializeStruct = Impossible<String, Error>;
    type SerializeStructVariant = Impossible<String, Error>;

    write_key! {
        serialize_bool bool; serialize_char char; serialize_str &str;
        serialize_i8 i8; serialize_i16 i16; serialize_i32 i32; serialize_i64 i64;
        serialize_u8 u8; serialize_u16 u16; serialize_u32 u32; serialize_u64 u64;
    }

    fn serialize_f32(self, _: f32) -> Result<String, Error> {
        key_refused()
    }

    fn serialize_f64(self, _: f64) -> Result<String, Error> {
        key_refused()
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<String, Error> {
        key_refused()
    }

    fn serialize_none(self) -> Result<String, Error> {
        key_refused()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<String, Error> {
        key_refused()
    }

    fn serialize_unit(self) -> Result<String, Error> {
        key_refused()
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<String, Error> {
        key_refused()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<String, Error> {
        Ok(variant.to_owned())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, inner: &T) -> Result<String, Error> {
        inner.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<String, Error> {
        key_refused()
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, Error> {
        key_refused()
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Error> {
        key_refused()
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, Error> {
        key_refused()
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Error> {
        key_refused()
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Error> {
        key_refused()
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, Error> {
        key_refused()
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Error> {
        key_refused()
    }
}
