//! `/openapi-rtc.json`: the RTC API as an OpenAPI 3.1 document, made from the tables of actions and of codes. All actions have one
//! path; a fragment tells them apart, and the header `X-TC-Action` says which is meant.

use serde_json::{Map, Value, json};

use super::actions::{ACTIONS, Action, State};
use super::refusal::Code;
use super::{VERSION, parameters};

/// The document.
pub(crate) fn document() -> Value {
    let paths: Map<String, Value> = ACTIONS
        .iter()
        .map(|action| (format!("/#{}", action.name), json!({"post": operation(action)})))
        .collect();
    let codes: Vec<Value> = Code::ALL
        .iter()
        .map(|code| json!({"pattern": format!("^{}(\\.|$)", code.text().replace('.', "\\.")), "description": code.meaning()}))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Roomful: the RTC API",
            "version": VERSION,
            "summary": "What trtc 2019-07-22 has, signed with TC3-HMAC-SHA256.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": {
            "Code": {"type": "string", "anyOf": codes},
            "Failure": failure(),
        }},
    })
}

fn operation(action: &Action) -> Value {
    let mut generator = parameters::generator();
    let any = || json!({"type": "object"});
    let (about, request, response) = match &action.state {
        State::Works(handler) => {
            (handler.about.to_owned(), (handler.request)(&mut generator), (handler.response)(&mut generator))
        }
        State::Missing(what) => {
            (format!("{}: this server has no {what}.", Code::UnsupportedOperation.text()), any(), any())
        }
        State::Retired(instead) => {
            (format!("{}: {instead} took its place.", Code::ActionOffline.text()), any(), any())
        }
    };
    let success = json!({"type": "object", "required": ["Response"], "properties": {"Response": {
        "allOf": [response], "required": ["RequestId"], "properties": {"RequestId": request_id()},
    }}});
    json!({
        "operationId": action.name,
        "summary": about,
        "description": format!("At most {} calls in {} s and key.", action.rate.calls, action.rate.every.as_secs()),
        "parameters": headers(action),
        "requestBody": {"required": true, "content": {"application/json": {"schema": request}}},
        "responses": {"200": {
            "description": "The answer; it failed if it has an Error.",
            "content": {"application/json": {"schema": {
                "anyOf": [success, {"$ref": "#/components/schemas/Failure"}],
            }}},
        }},
    })
}

/// What every call has besides its parameters.
fn headers(action: &Action) -> Value {
    let header = |name: &str, schema: Value, is_required: bool| json!({"name": name, "in": "header", "required": is_required, "schema": schema});
    let text = || json!({"type": "string"});
    json!([
        header("X-TC-Action", json!({"const": action.name}), true),
        header("X-TC-Version", json!({"const": VERSION}), true),
        header("X-TC-Timestamp", json!({"type": "integer", "minimum": 0}), true),
        header("X-TC-Region", text(), false),
        header("X-TC-Language", json!({"enum": ["zh-CN", "en-US"]}), false),
        header("X-TC-TraceId", text(), false),
        header("X-TC-Content-SHA256", json!({"const": "UNSIGNED-PAYLOAD"}), false),
    ])
}

fn failure() -> Value {
    json!({"type": "object", "required": ["Response"], "properties": {"Response": {
        "type": "object",
        "required": ["Error", "RequestId"],
        "properties": {
            "Error": {
                "type": "object",
                "required": ["Code", "Message"],
                "properties": {"Code": {"$ref": "#/components/schemas/Code"}, "Message": {"type": "string"}},
            },
            "RequestId": request_id(),
        },
    }}})
}

fn request_id() -> Value {
    json!({"type": "string", "format": "uuid"})
}
