//! Integers as callers write them. Programs in loosely typed languages send 30 as `30`, `30.0`, `3e1` or `"30"`, as the cloud's
//! own libraries for them do; all of these are the integer 30, wherever a command has one.
//!
//! One reader around the JSON parser's does that for every field of every command, so that none has to be told of it. What is no
//! integer stays what it was: `1.5` and `"many"` are refused with the parser's own words.

use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde_json::Value;

/// Reads an integer out of a field that may also hold something else.
pub(crate) fn integer<'a, T: Deserialize<'a>>(value: &'a Value) -> Option<T> {
    T::deserialize(Loose(value)).ok()
}

/// A deserializer, or what it hands around, that reads integers so.
pub(super) struct Loose<D>(pub(super) D);

/// The largest number up to which every integer has a `f64` of its own.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

/// The visitor of an integer.
struct Integer<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for Integer<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.expecting(f)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<V::Value, E> {
        self.0.visit_u64(number)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<V::Value, E> {
        self.0.visit_i64(number)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<V::Value, E> {
        match number {
            _ if number.fract() != 0.0 || number.abs() > MAX_EXACT => self.0.visit_f64(number),
            0.0.. => self.0.visit_u64(number as u64),
            _ => self.0.visit_i64(number as i64),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<V::Value, E> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        match (text.parse(), text.parse()) {
            (Ok(number), _) if is_number => self.0.visit_u64(number),
            (_, Ok(number)) if is_number => self.0.visit_i64(number),
            _ => self.0.visit_str(text),
        }
    }
}

/// Hands the visitor on to the method of the same name.
macro_rules! forward {
    ($($method:ident($($name:ident: $kind:ty),*))*) => {$(
        fn $method<V: Visitor<'de>>(self, $($name: $kind,)* visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method($($name,)* Loose(visitor))
        }
    )*};
}

/// Takes whatever comes, and makes an integer of it.
macro_rules! integers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.0.deserialize_any(Integer(visitor))
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Loose<D> {
    type Error = D::Error;

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    forward! {
        deserialize_any() deserialize_bool() deserialize_i128() deserialize_u128() deserialize_f32()
        deserialize_f64() deserialize_char() deserialize_str() deserialize_string() deserialize_bytes()
        deserialize_byte_buf() deserialize_option() deserialize_unit() deserialize_seq() deserialize_map()
        deserialize_identifier() deserialize_ignored_any()
        deserialize_unit_struct(name: &'static str)
        deserialize_newtype_struct(name: &'static str)
        deserialize_tuple(len: usize)
        deserialize_tuple_struct(name: &'static str, len: usize)
        deserialize_struct(name: &'static str, fields: &'static [&'static str])
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

/// Hands on what is no container.
macro_rules! visit {
    ($($method:ident($kind:ty))*) => {$(
        fn $method<E: Error>(self, value: $kind) -> Result<V::Value, E> {
            self.0.$method(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Loose<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.expecting(f)
    }

    visit! {
        visit_bool(bool) visit_i64(i64) visit_i128(i128) visit_u64(u64) visit_u128(u128) visit_f64(f64)
        visit_char(char) visit_str(&str) visit_borrowed_str(&'de str) visit_string(String) visit_bytes(&[u8])
        visit_borrowed_bytes(&'de [u8]) visit_byte_buf(Vec<u8>)
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Loose(inner))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(Loose(inner))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Loose(inner))
    }

    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Loose(inner))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(Loose(inner))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Loose<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, inner: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Loose(inner))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Loose<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Loose(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Loose<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Loose(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Loose<A> {
    type Error = A::Error;
    type Variant = Loose<A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        let (value, variant) = self.0.variant_seed(seed)?;
        Ok((value, Loose(variant)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Loose<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.0.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.0.newtype_variant_seed(Loose(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.0.tuple_variant(len, Loose(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.0.struct_variant(fields, Loose(visitor))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::rest::parse_json;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Request {
        plain: u32,
        signed: Option<i64>,
        list: Vec<u8>,
        inner: BTreeMap<String, u64>,
        name: String,
    }

    #[test]
    fn an_integer_is_one_however_it_is_written() {
        for (plain, signed, list, inner) in [
            ("30", "-4", "[1,2]", r#"{"r":7}"#),
            ("30.0", "-4.0", "[1.0,2e0]", r#"{"r":0.7e1}"#),
            (r#""30""#, r#""-4""#, r#"["1","2"]"#, r#"{"r":"7"}"#),
            ("3e1", r#""-04""#, r#"["01",2]"#, r#"{"r":7.00}"#),
        ] {
            let json =
                format!(r#"{{"plain":{plain},"signed":{signed},"list":{list},"inner":{inner},"name":"30"}}"#);

            let request: Request = parse_json(&json).unwrap();

            let inner = BTreeMap::from([("r".to_string(), 7)]);
            let expected =
                Request { plain: 30, signed: Some(-4), list: vec![1, 2], inner, name: "30".into() };
            assert_eq!(request, expected, "{json}");
        }
    }

    #[test]
    fn what_is_no_integer_is_refused_by_the_field_that_has_it() {
        let refusal = |plain: &str| {
            let json = format!(r#"{{"plain":{plain},"list":[],"inner":{{}},"name":""}}"#);
            parse_json::<Request>(&json).unwrap_err().message
        };
        for wrong in [
            "1.5",
            r#""""#,
            r#""-""#,
            r#"" 1""#,
            r#""+1""#,
            r#""1.0""#,
            r#""0x1""#,
            "-1",
            "4294967296",
            "true",
            "null",
            "[1]",
            "1e300",
        ] {
            let message = refusal(wrong);

            assert!(message.starts_with("plain is wrong: "), "{wrong}: {message}");
        }
        assert_eq!(refusal(r#""many""#), "plain is wrong: invalid type: string \"many\", expected u32");
        assert_eq!(refusal("1.5"), "plain is wrong: invalid type: floating point `1.5`, expected u32");
    }

    #[test]
    fn a_name_stays_a_name() {
        let message =
            parse_json::<Request>(r#"{"plain":1,"list":[],"inner":{},"name":30}"#).unwrap_err().message;

        assert_eq!(message, "name is wrong: invalid type: integer `30`, expected a string");
    }

    #[test]
    fn integers_beside_other_things_are_read_alike() {
        for (value, number) in [
            (serde_json::json!(2), Some(2)),
            (serde_json::json!(2.0), Some(2)),
            (serde_json::json!("2"), Some(2)),
            (serde_json::json!("two"), None),
            (serde_json::json!([2]), None),
        ] {
            assert_eq!(integer::<u64>(&value), number, "{value}");
        }
    }
}
