//! `sdk/js/src/protocol.ts`: what is said over the gateway as types of the browser client, made from `/asyncapi.json`.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::asyncapi::document;
use crate::generated::require_current;

/// The schemas that have names, and how often each is named.
struct Types<'a> {
    schemas: &'a Map<String, Value>,
    uses: HashMap<&'a str, usize>,
}

fn name_of(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.rsplit('/').next()
}

impl<'a> Types<'a> {
    fn new(document: &'a Value) -> Self {
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let mut types = Self { schemas, uses: HashMap::new() };
        types.count(&document["channels"]);
        types
    }

    /// Counts each name once for each place in which it stands.
    fn count(&mut self, value: &'a Value) {
        if let Some(name) = name_of(value).filter(|name| self.schemas.contains_key(*name)) {
            let uses = self.uses.entry(name).or_insert(0);
            *uses += 1;
            if *uses == 1 {
                let schemas: &'a Map<String, Value> = self.schemas;
                self.count(&schemas[name]);
            }
        }
        match value {
            Value::Object(fields) => fields.values().for_each(|value| self.count(value)),
            Value::Array(entries) => entries.iter().for_each(|value| self.count(value)),
            _ => {}
        }
    }

    /// Those that stand in several places, which have a type each.
    fn named(&self) -> Vec<&'a str> {
        let mut names: Vec<&str> =
            self.uses.iter().filter(|(_, uses)| **uses > 1).map(|(name, _)| *name).collect();
        names.sort_unstable();
        names
    }

    /// A schema as a type. `indent` is that of the line on which it begins.
    fn write(&self, schema: &Value, indent: usize) -> String {
        if let Some(name) = name_of(schema) {
            return match self.uses.get(name) {
                Some(2..) => name.into(),
                _ => self.write(&self.schemas[name], indent),
            };
        }
        if let Some(value) = schema.get("const") {
            return literal(value);
        }
        if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            return values
                .iter()
                .filter(|value| !value.is_null())
                .map(literal)
                .collect::<Vec<_>>()
                .join(" | ");
        }
        for (key, joint) in [("oneOf", " | "), ("anyOf", " | "), ("allOf", " & ")] {
            if let Some(inner) = schema.get(key).and_then(Value::as_array) {
                let inner = inner.iter().filter(|inner| inner["type"] != "null");
                return inner.map(|inner| self.write(inner, indent)).collect::<Vec<_>>().join(joint);
            }
        }
        let kinds: Vec<&str> = match &schema["type"] {
            Value::String(kind) => vec![kind],
            Value::Array(kinds) => {
                kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect()
            }
            _ => return "unknown".into(),
        };
        let of = |kind: &&str| match *kind {
            "string" => "string".to_string(),
            "integer" | "number" => "number".into(),
            "boolean" => "boolean".into(),
            "array" => match self.write(&schema["items"], indent) {
                items if items.contains(" | ") && !items.starts_with('{') => format!("({items})[]"),
                items => format!("{items}[]"),
            },
            "object" => self.object(schema, indent),
            other => panic!("{other} has no type"),
        };
        kinds.iter().map(of).collect::<Vec<_>>().join(" | ")
    }

    fn object(&self, schema: &Value, indent: usize) -> String {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            return match schema.get("additionalProperties") {
                None | Some(Value::Bool(false)) => "Record<string, never>".into(),
                Some(Value::Bool(true)) => "Record<string, unknown>".into(),
                Some(inner) => format!("Record<string, {}>", self.write(inner, indent)),
            };
        };
        let required = schema.get("required").and_then(Value::as_array);
        let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|known| known == name));
        let pad = " ".repeat(indent + 2);
        let mut text = String::from("{\n");
        for (name, property) in properties {
            text += &comment(property.get("description").and_then(Value::as_str), &pad);
            let is_needed = is_required(name);
            let mut of = self.write(property, indent + 2);
            if is_needed && can_be_null(property) {
                of += " | null";
            }
            text += &format!("{pad}{name}{}: {of};\n", if is_needed { "" } else { "?" });
        }
        text + &" ".repeat(indent) + "}"
    }
}

fn can_be_null(schema: &Value) -> bool {
    let is_null = |value: &Value| value == "null" || value["type"] == "null";
    let of = |key: &str| schema.get(key).and_then(Value::as_array).is_some_and(|all| all.iter().any(is_null));
    of("type") || of("anyOf")
}

/// A text between single quotes, as the client's own files have them.
fn literal(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), |text| format!("'{text}'"))
}

fn comment(text: Option<&str>, pad: &str) -> String {
    let text = text.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
    text.map(|text| format!("{pad}/** {text} */\n")).unwrap_or_default()
}

/// The file.
fn protocol() -> String {
    let document = document();
    let types = Types::new(&document);
    let mut file = String::from(
        "// What is said over the gateway (docs/protocol.md). Made from the server's tables by `make generated`: change those instead.\n",
    );
    for name in types.named() {
        let schema = &types.schemas[name];
        file.push('\n');
        file += &comment(schema.get("description").and_then(Value::as_str), "");
        file += &match schema.get("properties") {
            Some(_) => format!("export interface {name} {}\n", types.write(schema, 0)),
            None => format!("export type {name} = {};\n", types.write(schema, 0)),
        };
    }
    let messages = &document["channels"]["gateway"]["messages"];
    let (mut commands, mut events) = (String::new(), String::new());
    for (name, operation) in document["operations"].as_object().unwrap() {
        let of = |message: &str, field: &str| &messages[message]["payload"]["properties"][field];
        let about = operation["summary"].as_str().unwrap();
        let body = types.write(of(name, "body"), if operation["action"] == "send" { 2 } else { 4 });
        if operation["action"] == "send" {
            events += &comment(Some(about), "  ");
            events += &format!("  {name}: {body};\n");
        } else {
            let answer = types.write(of(&format!("{name}.answer"), "Response"), 4);
            let who = operation["description"].as_str().unwrap();
            commands += &comment(Some(&format!("{about} {who}")), "  ");
            commands += &format!("  {name}: {{\n    body: {body};\n    answer: {answer};\n  }};\n");
        }
    }
    file += &format!(
        "\n/** What may be asked for: the body of each command, and what is answered. */\nexport interface Commands {{\n{commands}}}\n"
    );
    file += &format!(
        "\n/** What members are told: the body of each event. */\nexport interface Events {{\n{events}}}\n"
    );
    file
}

#[test]
fn generated_types_of_the_browser_client_are_those_of_the_server() {
    require_current("sdk/js/src/protocol.ts", &protocol());
}
