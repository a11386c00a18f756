//! `GET /discovery`: Google's REST description of the API, as fleet had it.
//!
//! It describes fleet's resources; ours stand in [`fleet_api::path`].

use serde_json::{Value, json};

use hyper::StatusCode;

use super::answer::{Answer, json as answer};
use super::role::Caller;

/// The document, with the address by which the client reached it.
pub(super) fn document(host: Option<&str>, caller: &Caller) -> Answer {
    let root = match (caller, host) {
        (Caller::Certificate { .. }, Some(host)) => format!("https://{host}/"),
        // A socket has no address to be written down: clients put in their own.
        _ => "$ENDPOINT/".to_owned(),
    };
    let body = json!({
        "kind": "discovery#restDescription",
        "discoveryVersion": "v1",
        "id": "fleet:v1",
        "name": "fleet",
        "version": "v1",
        "title": "fleet API",
        "description": "",
        "documentationLink": "http://github.com/coreos/fleet",
        "protocol": "rest",
        "icons": {"x16": "", "x32": ""},
        "labels": [],
        "baseUrl": format!("{root}fleet/v1/"),
        "basePath": "/fleet/v1/",
        "rootUrl": root,
        "servicePath": "fleet/v1/",
        "batchPath": "batch",
        "parameters": {},
        "auth": {},
        "schemas": schemas(),
        "resources": resources(),
    });
    answer(StatusCode::OK, &body)
}

fn text(format: &str) -> Value {
    json!({"type": "string", "description": format})
}

fn list(of: &str) -> Value {
    json!({"type": "array", "items": {"$ref": of}})
}

fn schema(id: &str, properties: Value) -> Value {
    let mut found = json!({"id": id, "type": "object"});
    found["properties"] = properties;
    found
}

fn schemas() -> Value {
    let states = json!({"type": "string", "enum": ["inactive", "loaded", "launched"]});
    let page = |id: &str, key: &str, of: &str| {
        schema(
            id,
            json!({key: list(of), "nextPageToken": {"type": "string"}}),
        )
    };
    json!({
        "Machine": schema("Machine", json!({
            "id": {"type": "string", "required": true},
            "primaryIP": {"type": "string", "required": true},
            "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
            "capacity": {"type": "object", "properties": {
                "memoryBytes": {"type": "integer"}, "cpuThousandths": {"type": "integer"},
                "tasks": {"type": "integer"},
            }},
        })),
        "MachinePage": page("MachinePage", "machines", "Machine"),
        "UnitOption": schema("UnitOption", json!({
            "section": text("without brackets"), "name": text("the key"), "value": text("the value"),
        })),
        "Unit": schema("Unit", json!({
            "name": {"type": "string", "required": true},
            "options": list("UnitOption"),
            "currentState": states,
            "desiredState": states,
            "machineID": {"type": "string"},
            "rollout": {"type": "object", "properties": {"machines": {"type": "array", "items": {"type": "string"}}}},
        })),
        "UnitPage": page("UnitPage", "units", "Unit"),
        "UnitState": schema("UnitState", json!({
            "name": {"type": "string"}, "hash": {"type": "string"},
            "machineID": {"type": "string"}, "systemdLoadState": {"type": "string"},
            "systemdActiveState": {"type": "string"}, "systemdSubState": {"type": "string"},
            "systemdInvocationID": text("which run of the unit this is"),
            "problem": text("what hinders the machine, for people"),
        })),
        "UnitStatePage": page("UnitStatePage", "states", "UnitState"),
    })
}

fn parameter(location: &str) -> Value {
    json!({"type": "string", "location": location, "required": location == "path"})
}

fn method(id: &str, verb: &str, path: &str) -> Value {
    json!({"id": format!("fleet.{id}"), "description": "", "httpMethod": verb, "path": path})
}

fn paged(id: &str, path: &str, response: &str) -> Value {
    let mut found = method(id, "GET", path);
    found["parameters"] = json!({"nextPageToken": parameter("query")});
    found["response"] = json!({"$ref": response});
    found
}

fn of_unit(id: &str, verb: &str, path: &str) -> Value {
    let mut found = method(id, verb, path);
    found["parameters"] = json!({"unitName": parameter("path")});
    found["parameterOrder"] = json!(["unitName"]);
    found
}

fn resources() -> Value {
    let mut get = of_unit("Unit.Get", "GET", "units/{unitName}");
    get["response"] = json!({"$ref": "Unit"});
    let mut set = of_unit("Unit.Set", "PUT", "units/{unitName}");
    set["request"] = json!({"$ref": "Unit"});
    let mut states = paged("UnitState.List", "state", "UnitStatePage");
    states["parameters"]["unitName"] = parameter("query");
    states["parameters"]["machineID"] = parameter("query");
    let mut state = of_unit("UnitState.Get", "GET", "state/{unitName}");
    state["response"] = json!({"$ref": "UnitState"});
    json!({
        "Machines": {"methods": {"List": paged("Machine.List", "machines", "MachinePage")}},
        "Units": {"methods": {
            "List": paged("Unit.List", "units", "UnitPage"),
            "Get": get,
            "Delete": of_unit("Unit.Delete", "DELETE", "units/{unitName}"),
            "Set": set,
        }},
        "UnitState": {"methods": {"List": states, "Get": state}},
    })
}
