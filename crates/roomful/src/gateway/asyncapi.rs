//! `/asyncapi.json`: what members may ask for and what they are told, as an AsyncAPI 3.0 document, made from the table of commands, the
//! REST API's column for members, and the enum of events.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema as _, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::commands::COMMANDS;
use super::table::Who;
use crate::events::MemberEvent;
use crate::rest;

/// A command or an event, as the document has it.
struct Described {
    name: String,
    about: String,
    /// Of commands: who may, and what is answered.
    command: Option<(Who, Value)>,
    body: Value,
}

/// The document.
pub(crate) fn document() -> Value {
    let mut generator = generator();
    let mut all = commands(&mut generator);
    all.extend(events(&mut generator));
    let mut messages = Map::new();
    let mut operations = Map::new();
    for Described { name, about, command, body } in all {
        let of = |name: &str| json!({"$ref": format!("#/channels/gateway/messages/{name}")});
        let channel = json!({"$ref": "#/channels/gateway"});
        let Some((who, answer)) = command else {
            let payload = object(json!({"event": {"const": name}, "body": body}), &["event", "body"]);
            let operation =
                json!({"action": "send", "channel": channel, "summary": about, "messages": [of(&name)]});
            messages.insert(name.clone(), json!({"name": name, "payload": payload}));
            operations.insert(name, operation);
            continue;
        };
        let answered = format!("{name}.answer");
        let operation = json!({
            "action": "receive", "channel": channel, "summary": about, "description": format!("For {}.", who.about()),
            "messages": [of(&name)], "reply": {"messages": [of(&answered)]},
        });
        let asked = json!({"id": {"type": "integer", "minimum": 0, "maximum": u32::MAX}, "command": {"const": name}, "body": body});
        let asked = object(asked, &["id", "command"]);
        messages.insert(name.clone(), json!({"name": name, "payload": asked}));
        let answer = json!({
            "id": {"type": "integer"}, "ErrorCode": {"type": "integer"}, "ErrorInfo": {"type": "string"}, "Response": answer,
        });
        let answer = object(answer, &["id", "ErrorCode", "ErrorInfo"]);
        messages.insert(answered.clone(), json!({"name": answered, "payload": answer}));
        operations.insert(name, operation);
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Roomful",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What members speak with a live-room server: docs/protocol.md.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {"gateway": {"address": "/v1/connect", "messages": messages}},
        "operations": operations,
        "components": {"schemas": generator.take_definitions(true)},
    })
}

fn object(properties: Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": properties, "required": required})
}

/// Of what is answered and told.
fn generator() -> SchemaGenerator {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    SchemaGenerator::new(settings.with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    }))
}

fn commands(generator: &mut SchemaGenerator) -> Vec<Described> {
    // What is asked for has shapes of its own, even where the names are the same.
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut asked = SchemaGenerator::new(settings);
    let own = COMMANDS.iter().map(|command| Described {
        name: command.name.into(),
        about: command.about.into(),
        body: (command.request)(&mut asked),
        command: Some((command.who, (command.answer)(generator))),
    });
    let mut all: Vec<Described> = own.collect();
    for command in rest::of_members() {
        let who = if command.is_in_room { Who::InRoom(command.least) } else { Who::Anyone };
        all.push(Described {
            name: command.name.into(),
            about: command.about().into(),
            body: any_of(command.requests(&mut asked)),
            command: Some((who, any_of(command.answers(generator)))),
        });
    }
    all
}

/// One of several, each of them once.
fn any_of(schemas: Vec<Value>) -> Value {
    let mut different: Vec<Value> = Vec::new();
    for schema in schemas {
        if !different.contains(&schema) {
            different.push(schema);
        }
    }
    match different.len() {
        1 => different.pop().unwrap_or_default(),
        _ => json!({"anyOf": different}),
    }
}

fn events(generator: &mut SchemaGenerator) -> Vec<Described> {
    let schema = MemberEvent::json_schema(generator).to_value();
    let variants = schema.get("oneOf").and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_string();
    let describe = |variant: &Value| Described {
        name: text(variant.pointer("/properties/event/const")),
        about: text(variant.get("description")),
        command: None,
        body: variant.pointer("/properties/body").cloned().unwrap_or_default(),
    };
    variants.iter().map(describe).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rooms::Role;

    use super::*;

    const PROTOCOL: &str = include_str!("../../../../docs/protocol.md");

    /// What lies between two headings of the protocol's document.
    fn section(from: &str, to: &str) -> &'static str {
        let start = PROTOCOL.find(from).unwrap();
        let text = &PROTOCOL[start..];
        &text[..text.find(to).unwrap()]
    }

    fn words(text: &str) -> BTreeSet<&str> {
        text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').collect()
    }

    /// The names in the first cells of tables: `a`, `b`.
    fn in_tables(text: &str) -> Vec<&str> {
        let cells = text.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
        cells.flat_map(|cell| cell.split("`, `")).map(|name| name.trim_end_matches('`')).collect()
    }

    fn name_of(schema: &Value) -> Option<&str> {
        schema.get("$ref")?.as_str()?.rsplit('/').next()
    }

    /// The fields of an object and of what is in it, but for what is described elsewhere.
    fn fields(schema: &Value, document: &Value, elsewhere: &[&str], found: &mut BTreeSet<String>) {
        if let Some(name) = name_of(schema).filter(|name| !elsewhere.contains(name)) {
            fields(&document["components"]["schemas"][name], document, elsewhere, found);
        }
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            found.insert(name.clone());
            fields(property, document, elsewhere, found);
        }
        for key in ["allOf", "anyOf", "oneOf"] {
            for inner in schema.get(key).and_then(Value::as_array).into_iter().flatten() {
                fields(inner, document, elsewhere, found);
            }
        }
        if let Some(items) = schema.get("items") {
            fields(items, document, elsewhere, found);
        }
    }

    /// The text that tells of a command or event: its section, or the lines of tables that begin with it.
    fn told_of(name: &str, text: &str) -> String {
        if let Some(start) = text.find(&format!("### {name}\n")) {
            let rest = &text[start + 4..];
            return rest[..rest.find("\n### ").unwrap_or(rest.len())].into();
        }
        let rows = text.lines().filter(|line| line.starts_with("| `") && in_tables(line).contains(&name));
        rows.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_protocol_document_tells_of_every_command_and_event_with_its_fields() {
        let document = document();
        let rest = rest::openapi();
        let messages = document["channels"]["gateway"]["messages"].as_object().unwrap();
        // What REST answers too is in its document, and messages are in the table of events.
        let of_rest: Vec<&str> =
            rest["components"]["schemas"].as_object().unwrap().keys().map(String::as_str).collect();
        let told = messages.values().filter_map(|message| name_of(&message["payload"]["properties"]["body"]));
        let elsewhere: Vec<&str> = of_rest.iter().copied().chain(told).collect();
        let (commands, events) = (section("## Commands", "\n## Events"), section("## Events", "\n## "));
        let shared: Vec<&str> = rest::of_members().iter().map(|command| command.name).collect();
        let mut missing = Vec::new();
        for (name, operation) in document["operations"].as_object().unwrap() {
            let is_event = operation["action"] == "send";
            let text = if is_event { events } else { commands };
            if shared.contains(&name.as_str()) {
                if !text.contains(&format!("`{name}`")) {
                    missing.push(name.clone());
                }
                continue;
            }
            let told = told_of(name, text);
            let mut found = BTreeSet::new();
            let body = &messages[name]["payload"]["properties"]["body"];
            let body = name_of(body).map_or(body, |of| &document["components"]["schemas"][of]);
            fields(body, &document, &elsewhere, &mut found);
            if let Some(answer) = messages.get(&format!("{name}.answer")) {
                let answer = &answer["payload"]["properties"]["Response"];
                let is_elsewhere = name_of(answer).is_some_and(|name| of_rest.contains(&name));
                let answer = name_of(answer)
                    .filter(|_| !is_elsewhere)
                    .map_or(answer, |of| &document["components"]["schemas"][of]);
                fields(answer, &document, &elsewhere, &mut found);
            }
            let known = words(&told);
            missing.extend(
                found
                    .iter()
                    .filter(|field| !known.contains(field.as_str()))
                    .map(|field| format!("{name}: {field}")),
            );
            if told.is_empty() {
                missing.push(name.clone());
            }
        }
        assert!(missing.is_empty(), "docs/protocol.md does not tell of\n{}", missing.join("\n"));
    }

    #[test]
    fn the_protocol_document_tells_of_nothing_else() {
        let document = document();
        let known = |name: &str, action: &str| document["operations"][name]["action"] == action;
        for name in in_tables(section("## Commands", "\n## Events")) {
            assert!(known(name, "receive"), "there is no command {name}");
        }
        for name in in_tables(section("## Events", "\n## ")) {
            assert!(known(name, "send"), "there is no event {name}");
        }
    }

    #[test]
    fn every_schema_that_is_named_is_there() {
        let document = document();
        let text = document.to_string();
        for name in text.split("#/components/schemas/").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
        }
        assert!(text.matches("components/schemas").count() > 20);
    }

    #[test]
    fn rights_are_said_in_words() {
        let document = document();
        let description =
            |name: &str| document["operations"][name]["description"].as_str().unwrap().to_string();

        assert_eq!(description("ban_member"), format!("For {}.", Who::InRoom(Role::Admin).about()));
        assert_eq!(description("create_room"), "For everyone.");
    }
}
