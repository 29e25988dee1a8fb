//! The parameters of a call: read from JSON or from flat text into one form, and held against what the action takes, before its handler
//! sees them. What an action takes is the schema of its handler's request type, so it is said once, and `/openapi-rtc.json` says it too.
//!
//! Callers write loosely: `1` comes as `"1"` and `1.0`, and from a query everything is text. Integers are read alike from all of them;
//! numbers and booleans are read from text only where nothing but text can come.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Number, Value};

use super::refusal::{Code, Refusal};
use crate::rest::extent;

/// How deep parameters may be nested.
const MAX_DEPTH: usize = 16;

/// The most values that one call may have, so that the longest body does not become many times as long in memory.
const MAX_VALUES: usize = 65_536;

/// The most bytes of a caller's text that a message repeats.
const MAX_REPEATED: usize = 64;

/// What the codes of an action call a parameter: they say `MissingParameter.RoomId` where this is `RoomId`. Without it the code says no
/// more than its kind.
const NAME_IN_CODES: &str = "x-code";

/// The code for a number out of its range, where it is not the usual one.
const CODE_OF_RANGE: &str = "x-range";

/// A parameter that an action takes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Parameter {
    name: String,
    code: Option<String>,
    is_required: bool,
    kind: Kind,
}

/// What a parameter may be.
#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Integer {
        least: i128,
        most: i128,
        code: Option<Code>,
    },
    Number,
    Boolean,
    Text,
    List {
        of: Box<Kind>,
        least: usize,
        most: usize,
    },
    Object(Vec<Parameter>),
    /// What its own type reads.
    Any,
}

/// How parameters were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// Numbers are numbers.
    Json,
    /// Everything is text.
    Flat,
}

/// What makes schemas without names for their parts.
pub(super) fn generator() -> SchemaGenerator {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    SchemaGenerator::new(settings)
}

/// What is taken by an action whose request is a `Q`.
pub(super) fn of<Q: JsonSchema>() -> Vec<Parameter> {
    parameters(&generator().into_root_schema_for::<Q>().to_value())
}

fn parameters(schema: &Value) -> Vec<Parameter> {
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    let mut all: Vec<Parameter> = properties
        .map(|(name, schema)| Parameter {
            name: name.clone(),
            code: schema.get(NAME_IN_CODES).and_then(Value::as_str).map(String::from),
            is_required: required.contains(&name.as_str()),
            kind: kind(schema),
        })
        .collect();
    // In the order of the type's fields, as far as that is known: of several that are missing the first is named.
    let place = |parameter: &Parameter| required.iter().position(|name| *name == parameter.name);
    all.sort_by_key(|parameter| place(parameter).unwrap_or(required.len()));
    all
}

fn kind(schema: &Value) -> Kind {
    // Where it may be absent, its schema has `null` beside it, in one of two ways.
    let is_null = |schema: &&Value| schema.get("type").and_then(Value::as_str) == Some("null");
    if let Some(ways) = schema.get("anyOf").and_then(Value::as_array) {
        return ways.iter().find(|way| !is_null(way)).map_or(Kind::Any, kind);
    }
    let name = match schema.get("type") {
        Some(Value::String(name)) => Some(name.as_str()),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        _ => None,
    };
    let bound =
        |key: &str| schema.get(key).and_then(|value| serde_json::from_value::<i128>(value.clone()).ok());
    let length = |key: &str| bound(key).and_then(|length| usize::try_from(length).ok());
    match name {
        Some("integer") => {
            let code = schema.get(CODE_OF_RANGE).and_then(Value::as_str);
            let is_signed = schema.get("format").and_then(Value::as_str) == Some("int64");
            let most = if is_signed { i128::from(i64::MAX) } else { i128::from(u64::MAX) };
            Kind::Integer {
                least: bound("minimum").unwrap_or(i128::from(i64::MIN)),
                most: bound("maximum").unwrap_or(most),
                code: code.and_then(|text| Code::ALL.iter().copied().find(|code| code.text() == text)),
            }
        }
        Some("number") => Kind::Number,
        Some("boolean") => Kind::Boolean,
        Some("string") => Kind::Text,
        Some("array") => Kind::List {
            of: Box::new(schema.get("items").map_or(Kind::Any, kind)),
            least: length("minItems").unwrap_or(0),
            most: length("maxItems").unwrap_or(MAX_VALUES),
        },
        Some("object") => Kind::Object(parameters(schema)),
        _ => Kind::Any,
    }
}

/// Reads the JSON of a body.
pub(super) fn from_json(body: &[u8]) -> Result<Map<String, Value>, Refusal> {
    let broken = |trouble: &str| Refusal::new(Code::InvalidParameter, format!("the body {trouble}"));
    if body.is_empty() {
        return Err(broken("is empty; send {} when there is nothing to say"));
    }
    let text = std::str::from_utf8(body).map_err(|_| broken("is not UTF-8"))?;
    let (depth, values) = extent(body);
    if depth > MAX_DEPTH || values > MAX_VALUES {
        return Err(broken("is nested deeper than 16 levels, or has more than 65,536 values"));
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(broken("is no JSON object")),
        Err(error) => Err(broken(&format!("is no JSON: {error}"))),
    }
}

/// Puts flat parameters together: `UserIds.0=a&UserIds.1=b` is a list, `RecordParams.RecordMode=1` an object in an object.
pub(super) fn from_flat<'a>(
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<Map<String, Value>, Refusal> {
    let mut root = Map::new();
    for (path, value) in pairs {
        put(&mut root, path, value)?;
    }
    root.values_mut().try_for_each(make_lists)?;
    Ok(root)
}

fn put(root: &mut Map<String, Value>, path: &str, value: &str) -> Result<(), Refusal> {
    let wrong = |trouble: &str| {
        Refusal::new(Code::InvalidParameter, format!("the parameter {} {trouble}", repeated(path)))
    };
    let mut parts = path.split('.').peekable();
    if path.split('.').count() > MAX_DEPTH {
        return Err(wrong("is nested deeper than 16 levels"));
    }
    let mut object = root;
    while let Some(part) = parts.next() {
        if part.is_empty() {
            return Err(wrong("has an empty part in its name"));
        }
        if parts.peek().is_none() {
            let former = object.insert(part.to_owned(), Value::String(value.to_owned()));
            return if former.is_none() {
                Ok(())
            } else {
                Err(wrong("is both a value and a list or an object"))
            };
        }
        let inner = object.entry(part).or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(inner) = inner else {
            return Err(wrong("is both a value and a list or an object"));
        };
        object = inner;
    }
    Ok(())
}

/// What has numbers for names is a list. They come in any order, and with no gap.
fn make_lists(value: &mut Value) -> Result<(), Refusal> {
    let Value::Object(object) = value else { return Ok(()) };
    object.values_mut().try_for_each(make_lists)?;
    let is_index = |name: &String| name.bytes().all(|byte| byte.is_ascii_digit());
    if !object.keys().all(is_index) {
        return Ok(());
    }
    let mut entries: Vec<(usize, Value)> = Vec::with_capacity(object.len());
    for (name, value) in std::mem::take(object) {
        let is_plain = name == "0" || !name.starts_with('0');
        let index = name.parse().ok().filter(|_| is_plain).unwrap_or(usize::MAX);
        entries.push((index, value));
    }
    entries.sort_by_key(|(index, _)| *index);
    if entries.iter().enumerate().any(|(at, (index, _))| at != *index) {
        let trouble = "the entries of a list are not numbered 0, 1, 2 and so on";
        return Err(Refusal::new(Code::InvalidParameter, trouble));
    }
    *value = Value::Array(entries.into_iter().map(|(_, value)| value).collect());
    Ok(())
}

/// Holds what was sent against what is taken, and brings it into the form that the action's type reads.
///
/// # Errors
/// What is unknown is told first, then what is missing, then what is wrong.
pub(super) fn check(
    given: &mut Map<String, Value>,
    taken: &[Parameter],
    written: Written,
) -> Result<(), Refusal> {
    // Who sends null has nothing to say.
    given.retain(|_, value| !value.is_null());
    if let Some(unknown) = given.keys().find(|name| taken.iter().all(|parameter| parameter.name != **name)) {
        let message = format!("the parameter {} is none of this action", repeated(unknown));
        return Err(Refusal::new(Code::UnknownParameter, message));
    }
    for parameter in taken.iter().filter(|parameter| parameter.is_required) {
        if !given.contains_key(&parameter.name) {
            return Err(parameter.refuse(Code::MissingParameter, "is missing"));
        }
    }
    for parameter in taken {
        if let Some(value) = given.get_mut(&parameter.name) {
            parameter.check(value, written)?;
        }
    }
    Ok(())
}

impl Parameter {
    #[cfg(test)]
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn refuse(&self, code: Code, trouble: impl std::fmt::Display) -> Refusal {
        let refusal = Refusal::new(code, format!("{} {trouble}", self.name));
        match &self.code {
            Some(name) => refusal.of(name.clone()),
            None => refusal,
        }
    }

    fn check(&self, value: &mut Value, written: Written) -> Result<(), Refusal> {
        self.check_as(&self.kind, value, written)
    }

    fn check_as(&self, kind: &Kind, value: &mut Value, written: Written) -> Result<(), Refusal> {
        let wrong = |wanted: &str| Err(self.refuse(Code::InvalidParameter, format_args!("is no {wanted}")));
        match kind {
            Kind::Integer { least, most, code } => {
                let Some(number) = integer(value) else { return wrong("integer") };
                if number < *least || number > *most {
                    // Where codes name the parameter, the usual one covers this too.
                    let usual = if self.code.is_some() {
                        Code::InvalidParameter
                    } else {
                        Code::InvalidParameterValue
                    };
                    let trouble = format!("is {number}; it may be {least} to {most}");
                    return Err(self.refuse(code.unwrap_or(usual), trouble));
                }
                let Some(number) = Number::from_i128(number) else { return wrong("integer") };
                *value = Value::Number(number);
            }
            Kind::Number => match (&*value, written) {
                (Value::Number(_), _) => {}
                (Value::String(text), Written::Flat) => {
                    let number = text.parse().ok().and_then(Number::from_f64);
                    let Some(number) = number else { return wrong("number") };
                    *value = Value::Number(number);
                }
                _ => return wrong("number"),
            },
            Kind::Boolean => match (&*value, written) {
                (Value::Bool(_), _) => {}
                (Value::String(text), Written::Flat) => match text.to_ascii_lowercase().as_str() {
                    "true" | "1" => *value = Value::Bool(true),
                    "false" | "0" => *value = Value::Bool(false),
                    _ => return wrong("boolean"),
                },
                _ => return wrong("boolean"),
            },
            Kind::Text => {
                if !value.is_string() {
                    return wrong("string");
                }
            }
            Kind::List { of, least, most } => {
                let Value::Array(entries) = value else { return wrong("list") };
                if entries.len() < *least {
                    return Err(self.refuse(Code::MissingParameter, "is empty"));
                }
                if entries.len() > *most {
                    let trouble = format!("has {} entries; at most {most} are allowed", entries.len());
                    return Err(self.refuse(Code::InvalidParameter, trouble));
                }
                for entry in entries {
                    self.check_as(of, entry, written)?;
                }
            }
            Kind::Object(taken) => {
                let Value::Object(given) = value else { return wrong("object") };
                check(given, taken, written)?;
            }
            Kind::Any => {}
        }
        Ok(())
    }
}

/// The largest number up to which every integer has a `f64` of its own.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

fn integer(value: &Value) -> Option<i128> {
    match value {
        Value::Number(number) => match (number.as_i128(), number.as_f64()) {
            (Some(number), _) => Some(number),
            (_, Some(number)) if number.fract() == 0.0 && number.abs() <= MAX_EXACT => Some(number as i128),
            _ => None,
        },
        Value::String(text) => {
            let digits = text.strip_prefix('-').unwrap_or(text);
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_| is_number)
        }
        _ => None,
    }
}

/// A caller's text, as much of it as a message repeats.
pub(super) fn repeated(text: &str) -> String {
    let mut end = text.len().min(MAX_REPEATED);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{:?}", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[allow(dead_code, reason = "its schema is what is looked at")]
    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(rename_all = "PascalCase")]
    struct Request {
        #[schemars(extend("x-code" = "SdkAppId"))]
        sdk_app_id: u64,
        #[schemars(extend("x-code" = "RoomId", "x-range" = "InvalidParameterValue"), range(min = 1, max = 9))]
        room_id: Option<u64>,
        #[schemars(extend("x-code" = "UserIds"), length(min = 1, max = 2))]
        user_ids: Option<Vec<String>>,
        #[schemars(range(min = 0, max = 3))]
        is_mute: Option<u64>,
        is_float: Option<bool>,
        volume: Option<f64>,
        inner: Option<Inner>,
    }

    #[allow(dead_code, reason = "its schema is what is looked at")]
    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(rename_all = "PascalCase")]
    struct Inner {
        mode: u64,
        names: Option<Vec<String>>,
    }

    fn from_json_checked(body: Value) -> Result<Value, Refusal> {
        let mut given = from_json(body.to_string().as_bytes())?;
        check(&mut given, &of::<Request>(), Written::Json)?;
        Ok(Value::Object(given))
    }

    fn from_query(query: &str) -> Result<Value, Refusal> {
        let flat = tc3::Flat::parse(query)?;
        let mut given = from_flat(flat.iter())?;
        check(&mut given, &of::<Request>(), Written::Flat)?;
        Ok(Value::Object(given))
    }

    #[test]
    fn both_ways_of_writing_say_the_same() {
        let body = json!({
            "SdkAppId": "7", "RoomId": 3.0, "UserIds": ["a", "b"], "IsFloat": true, "Volume": 0.5, "IsMute": null,
            "Inner": {"Mode": 1, "Names": ["x"]},
        });
        let query = "SdkAppId=7&RoomId=3&UserIds.1=b&UserIds.0=a&IsFloat=True&Volume=0.5&Inner.Mode=1&Inner.Names.0=x";

        let expected = json!({
            "SdkAppId": 7, "RoomId": 3, "UserIds": ["a", "b"], "IsFloat": true, "Volume": 0.5,
            "Inner": {"Mode": 1, "Names": ["x"]},
        });
        assert_eq!(from_json_checked(body), Ok(expected.clone()));
        assert_eq!(from_query(query), Ok(expected));
    }

    #[test]
    fn each_trouble_has_its_code() {
        for (body, code) in [
            (json!({}), "MissingParameter.SdkAppId"),
            (json!({"SdkAppId": null}), "MissingParameter.SdkAppId"),
            (json!({"SdkAppId": 1, "sdkAppId": 1}), "UnknownParameter"),
            (json!({"Other": 1}), "UnknownParameter"),
            (json!({"SdkAppId": "x"}), "InvalidParameter.SdkAppId"),
            (json!({"SdkAppId": 1.5}), "InvalidParameter.SdkAppId"),
            (json!({"SdkAppId": true}), "InvalidParameter.SdkAppId"),
            (json!({"SdkAppId": [1]}), "InvalidParameter.SdkAppId"),
            (json!({"SdkAppId": -1}), "InvalidParameter.SdkAppId"),
            (json!({"SdkAppId": "99999999999999999999"}), "InvalidParameter.SdkAppId"),
            (json!({"SdkAppId": 1, "RoomId": 10}), "InvalidParameterValue.RoomId"),
            (json!({"SdkAppId": 1, "RoomId": 0}), "InvalidParameterValue.RoomId"),
            (json!({"SdkAppId": 1, "RoomId": "a"}), "InvalidParameter.RoomId"),
            (json!({"SdkAppId": 1, "UserIds": []}), "MissingParameter.UserIds"),
            (json!({"SdkAppId": 1, "UserIds": ["a", "b", "c"]}), "InvalidParameter.UserIds"),
            (json!({"SdkAppId": 1, "UserIds": ["a", 1]}), "InvalidParameter.UserIds"),
            (json!({"SdkAppId": 1, "UserIds": "a"}), "InvalidParameter.UserIds"),
            (json!({"SdkAppId": 1, "UserIds": {"0": "a"}}), "InvalidParameter.UserIds"),
            (json!({"SdkAppId": 1, "IsMute": 4}), "InvalidParameterValue"),
            (json!({"SdkAppId": 1, "IsMute": "many"}), "InvalidParameter"),
            (json!({"SdkAppId": 1, "IsFloat": "true"}), "InvalidParameter"),
            (json!({"SdkAppId": 1, "Volume": "0.5"}), "InvalidParameter"),
            (json!({"SdkAppId": 1, "Inner": []}), "InvalidParameter"),
            (json!({"SdkAppId": 1, "Inner": {}}), "MissingParameter"),
            (json!({"SdkAppId": 1, "Inner": {"Mode": 1, "X": 1}}), "UnknownParameter"),
        ] {
            let refusal = from_json_checked(body.clone()).expect_err(&body.to_string());
            assert_eq!(refusal.code(), code, "{body}: {}", refusal.message);
        }
        for (query, code) in [
            ("", "MissingParameter.SdkAppId"),
            ("SdkAppId=", "InvalidParameter.SdkAppId"),
            ("SdkAppId=+1", "InvalidParameter.SdkAppId"),
            ("SdkAppId=1&UserIds=a", "InvalidParameter.UserIds"),
            ("SdkAppId=1&UserIds.1=a", "InvalidParameter"),
            ("SdkAppId=1&UserIds.00=a", "InvalidParameter"),
            ("SdkAppId=1&UserIds.0=a&UserIds.2=b", "InvalidParameter"),
            ("SdkAppId=1&UserIds.0=a&UserIds=b", "InvalidParameter"),
            ("SdkAppId=1&UserIds=a&UserIds.0=b", "InvalidParameter"),
            ("SdkAppId=1&UserIds.0=a&UserIds.0=b", "InvalidParameter"),
            ("SdkAppId=1&UserIds.x=a", "InvalidParameter.UserIds"),
            ("SdkAppId=1&UserIds.0.0=a", "InvalidParameter.UserIds"),
            ("SdkAppId=1&UserIds.=a", "InvalidParameter"),
            ("SdkAppId=1&UserIds.99999999999999999999=a", "InvalidParameter"),
            ("SdkAppId.0=1", "InvalidParameter.SdkAppId"),
            ("SdkAppId=1&IsFloat=yes", "InvalidParameter"),
            ("SdkAppId=1&Volume=loud", "InvalidParameter"),
            ("SdkAppId=1&a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q=1", "InvalidParameter"),
            ("SdkAppId=1&=1", "InvalidParameter"),
        ] {
            let refusal = from_query(query).expect_err(query);
            assert_eq!(refusal.code(), code, "{query}: {}", refusal.message);
        }
    }

    #[test]
    fn a_body_that_is_no_object_or_too_much_is_refused() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(20), "]".repeat(20));
        let wide = format!("{{\"a\":[{}0]}}", "0,".repeat(70_000));
        for body in
            ["", " ", "null", "[]", "1", "\"x\"", "{", "{\"a\":}", "{} {}", "{\"a\":1,}", &deep, &wide]
        {
            let refusal = from_json(body.as_bytes()).expect_err(body);
            assert_eq!(refusal.code(), "InvalidParameter");
        }
        assert!(from_json(b"{\"a\":\"\xff\"}").is_err());
        assert!(from_json(br#"{"a":"[[[[[[[[[[[[[[[[[[[[,"}"#).is_ok(), "brackets in strings do not count");
    }

    #[test]
    fn what_a_message_repeats_of_a_caller_is_short() {
        assert_eq!(repeated("a\"b"), r#""a\"b""#);
        assert!(repeated(&"张".repeat(1000)).len() < 80);
    }
}
