//! `/openapi.json`: the REST API as an OpenAPI 3.1 document, made from the tables of commands and of codes.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::commands::COMMANDS;
use crate::code::Code;
use crate::webhooks::EVENTS;

/// The document.
pub(crate) fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = SchemaGenerator::new(settings);
    let paths: Map<String, Value> = COMMANDS
        .iter()
        .map(|command| {
            let (request, response) = ((command.request)(&mut generator), (command.response)(&mut generator));
            let operation = json!({
                "operationId": format!("{}.{}", command.service, command.name),
                "summary": command.about,
                "description": format!("At most {} calls a second and app.", command.calls_per_second),
                "tags": [command.service],
                "parameters": parameters(),
                "requestBody": {"required": true, "content": {"application/json": {"schema": request}}},
                "responses": {"200": {
                    "description": "The answer; whether it succeeded is in ErrorCode.",
                    "content": {"application/json": {"schema": answer(&response)}},
                }},
            });
            (format!("/v4/{}/{}", command.service, command.name), json!({"post": operation}))
        })
        .collect();
    let webhooks: Map<String, Value> = EVENTS
        .iter()
        .map(|(name, when)| {
            let operation = json!({
                "summary": when,
                "requestBody": {"content": {"application/json": {"schema": {
                    "type": "object",
                    "properties": {"CallbackCommand": {"const": name}, "EventTime": {"type": "integer"}},
                    "required": ["CallbackCommand", "EventTime"],
                }}}},
                "responses": {"200": {"description": "ErrorCode 0 agrees; any other refuses a before-event."}},
            });
            ((*name).to_string(), json!({"post": operation}))
        })
        .collect();
    let mut schemas = generator.take_definitions(true);
    schemas.insert(CODES.into(), codes());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Roomful",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "The REST API of a live-room server.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "webhooks": webhooks,
        "components": {"schemas": schemas},
    })
}

/// What the URL says of the caller.
fn parameters() -> Value {
    let parameter = |name: &str, required: bool, about: &str, schema: Value| json!({"name": name, "in": "query", "required": required, "description": about, "schema": schema});
    let u32_range = json!({"type": "integer", "minimum": 0, "maximum": u32::MAX});
    json!([
        parameter("sdkappid", true, "The app.", u32_range.clone()),
        parameter("identifier", true, "An administrator of the app.", json!({"type": "string"})),
        parameter("usersig", true, "The administrator's UserSig.", json!({"type": "string"})),
        parameter("random", false, "A random number; not looked at.", u32_range),
        parameter("contenttype", false, "Only json.", json!({"const": "json"})),
    ])
}

/// The name of the schema that lists the codes.
const CODES: &str = "ErrorCode";

/// Every code with its name and its meaning.
fn codes() -> Value {
    let success = json!({"const": 0, "title": "Ok", "description": "it is done"});
    let code =
        |code: &Code| json!({"const": code.number(), "title": code.name(), "description": code.meaning()});
    let own = Code::OWN.map(|(range, about)| {
        json!({"minimum": range.start(), "maximum": range.end(), "title": "Own", "description": about})
    });
    let all: Vec<Value> = [success].into_iter().chain(Code::ALL.iter().map(code)).chain(own).collect();
    json!({"type": "integer", "description": "0 is success.", "oneOf": all})
}

/// The envelope with a command's own fields; on failure these are missing.
fn answer(own: &Value) -> Value {
    let envelope = json!({
        "type": "object",
        "properties": {
            "ErrorCode": {"$ref": format!("#/components/schemas/{CODES}")},
            "ErrorInfo": {"type": "string", "description": "What was wrong, and what to do."},
            "ActionStatus": {"enum": ["OK", "FAIL"]},
            "RequestId": {"type": "string"},
        },
        "required": ["ErrorCode", "ErrorInfo", "ActionStatus", "RequestId"],
    });
    let failed = json!({"properties": {"ActionStatus": {"const": "FAIL"}, "ErrorCode": {"minimum": 1}}});
    let succeeded = json!({
        "allOf": [own.clone()],
        "properties": {"ActionStatus": {"const": "OK"}, "ErrorCode": {"const": 0}},
    });
    json!({"allOf": [envelope], "anyOf": [failed, succeeded]})
}
