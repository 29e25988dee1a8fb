//! `/openapi.json`: the REST API as an OpenAPI 3.1 document, made from the table of commands.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::commands::COMMANDS;
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
        "components": {"schemas": generator.take_definitions(true)},
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

/// The envelope with a command's own fields; on failure these are missing.
fn answer(own: &Value) -> Value {
    let envelope = json!({
        "type": "object",
        "properties": {
            "ErrorCode": {"type": "integer", "minimum": 0, "description": "0 is success."},
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
