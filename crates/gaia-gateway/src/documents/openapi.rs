//! The OpenAPI document: what `utoipa` reads from the handlers, and every refusal that can come, declared once, here.

use gaia_protocol::{ErrorCode, auth::Role};
use serde_json::{Map, Value, json};
use utoipa::{
    PartialSchema,
    openapi::{InfoBuilder, OpenApi, OpenApiBuilder},
};

use crate::problem::{PROBLEM_JSON, Problem};

const INTRODUCTION: &str = "\
What a player's client asks of a game. Come in with `POST /v1/players/guest`, send the access token as \
`Authorization: Bearer ...`, start a conversation and say something. Access tokens last 15 minutes; exchange the refresh \
token for the next pair. Every refusal is `application/problem+json` with a stable `code`. The same conversation over a \
socket is in `/asyncapi.json`. OpenAI's own clients find the characters as models under `/openai/v1`, which is described \
by OpenAI's reference.";

/// The document without its paths.
pub(crate) fn head() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Gaia: the player's API")
        .description(Some(INTRODUCTION))
        .version(env!("CARGO_PKG_VERSION"));
    OpenApiBuilder::new().info(info).build()
}

/// The whole document.
pub(super) fn document(described: OpenApi) -> Value {
    let mut document = serde_json::to_value(described).expect("a document is JSON");
    let operations = document["paths"].as_object_mut().into_iter().flatten();
    for (path, item) in operations {
        for (_, operation) in item.as_object_mut().into_iter().flatten() {
            complete(path, operation);
        }
    }
    link(&mut document);
    document["tags"] = tags();
    let components = &mut document["components"];
    components["schemas"]["Problem"] = schema::<Problem<'static>>();
    components["schemas"]["ErrorCode"] = schema::<ErrorCode>();
    components["schemas"]["Role"] = schema::<Role>();
    components["securitySchemes"] = json!({ "token": {
        "type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "An access token of this game.",
    }});
    document
}

fn schema<T: PartialSchema>() -> Value {
    serde_json::to_value(T::schema()).unwrap_or_default()
}

fn tags() -> Value {
    let tag = |name: &str, description: &str| json!({ "name": name, "description": description });
    json!([
        tag("players", "Coming in, signing up, and looking after oneself."),
        tag("sessions", "Signing in, going on, and signing out."),
        tag("personas", "The game's characters."),
        tag("conversations", "Rows of turns with one character."),
        tag("turns", "Saying something and hearing the reply."),
        tag("documents", "What the API says of itself."),
    ])
}

/// Adds to an operation what can happen to every operation like it.
fn complete(path: &str, operation: &mut Value) {
    let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten() {
        not_null(&mut parameter["schema"]);
    }
    // Handlers of different things have the same names, and an id must be one operation's only.
    let (tag, name) = (operation["tags"][0].as_str(), operation["operationId"].as_str());
    operation["operationId"] = format!("{}_{}", tag.unwrap_or_default(), name.unwrap_or_default()).into();
    let statuses = refusals(path, operation);
    let Some(responses) = operation["responses"].as_object_mut() else {
        return;
    };
    for status in statuses {
        responses.entry(status.to_string()).or_insert(json!({}));
    }
    for (status, response) in responses {
        let status = status.parse().unwrap_or_default();
        if status >= 400 {
            as_problem(status, response);
        }
        response["headers"] = headers(status);
    }
}

/// Says where the ids in an answer can be used.
fn link(document: &mut Value) {
    let conversation = json!({ "conversation": "$response.body#/id" });
    let turn = json!({ "conversation": "$response.body#/conversation", "turn": "$response.body#/id" });
    let to = |operations: &[&str], parameters: &Value| {
        let links = operations.iter().map(|id| {
            let link = json!({ "operationId": id, "parameters": parameters });
            ((*id).to_owned(), link)
        });
        Value::Object(links.collect())
    };
    document["paths"]["/v1/conversations"]["post"]["responses"]["201"]["links"] = to(
        &["conversations_read", "turns_list", "turns_take", "conversations_delete"],
        &conversation,
    );
    document["paths"]["/v1/conversations/{conversation}/turns"]["post"]["responses"]["201"]["links"] =
        to(&["turns_read", "turns_cancel", "turns_answer"], &turn);
}

/// A parameter that may be absent is not one that may be null.
fn not_null(schema: &mut Value) {
    if let Some(types) = schema["type"].as_array_mut() {
        types.retain(|kind| kind != "null");
        if let [only] = &types[..] {
            schema["type"] = only.clone();
        }
    }
}

/// With which statuses an operation can be refused, beyond those that its handler names.
fn refusals(path: &str, operation: &Value) -> Vec<u16> {
    let has = |key: &str| {
        operation
            .get(key)
            .and_then(Value::as_array)
            .is_some_and(|list| !list.is_empty())
    };
    let mut statuses = vec![400, 406, 500, 503, 504];
    if has("security") {
        statuses.extend([401, 429]);
    }
    if operation.get("requestBody").is_some() {
        statuses.extend([408, 413, 415, 422]);
    }
    if has("parameters") {
        statuses.push(422);
    }
    if path.contains('{') {
        statuses.push(404);
    }
    statuses
}

fn as_problem(status: u16, response: &mut Value) {
    let described = response["description"].as_str().is_some_and(|text| !text.is_empty());
    if !described {
        response["description"] = titles(status).into();
    }
    response["content"] = json!({ PROBLEM_JSON: { "schema": { "$ref": "#/components/schemas/Problem" } } });
}

/// What the codes of a status say.
fn titles(status: u16) -> String {
    let of_status = ErrorCode::ALL.iter().filter(|code| code.status() == status);
    of_status.map(|code| code.title()).collect::<Vec<_>>().join(" Or: ")
}

fn headers(status: u16) -> Value {
    let mut headers = Map::new();
    let mut add = |name: &str, schema: Value, description: &str| {
        headers.insert(name.to_owned(), json!({ "schema": schema, "description": description }));
    };
    let text = || json!({ "type": "string" });
    add(
        "X-Request-Id",
        text(),
        "The request's id: yours, if you sent one, else ours.",
    );
    match status {
        201 => add("Location", text(), "Where the new thing is."),
        401 => add("WWW-Authenticate", text(), "What to authenticate with."),
        429 | 503 => add(
            "Retry-After",
            json!({ "type": "integer", "minimum": 1 }),
            "How many seconds to wait, where waiting helps.",
        ),
        _ => {}
    }
    headers.into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn operations() -> Vec<(String, Value)> {
        let document = crate::openapi();
        let paths = document["paths"].as_object().unwrap().clone();
        let named = |path: String, item: Value| {
            let item = item.as_object().unwrap().clone();
            item.into_iter()
                .map(move |(method, operation)| (format!("{method} {path}"), operation))
        };
        paths.into_iter().flat_map(|(path, item)| named(path, item)).collect()
    }

    #[test]
    fn every_reference_in_the_document_has_its_target() {
        fn references(value: &Value, found: &mut BTreeSet<String>) {
            match value {
                Value::Object(map) => {
                    found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                    map.values().for_each(|value| references(value, found));
                }
                Value::Array(list) => list.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        for document in [crate::openapi(), crate::asyncapi()] {
            let mut found = BTreeSet::new();
            references(&document, &mut found);
            assert!(!found.is_empty());
            for reference in found {
                let pointer = reference.strip_prefix('#').unwrap();
                assert!(document.pointer(pointer).is_some(), "{reference} is nowhere");
            }
        }
    }

    #[test]
    fn every_refusal_is_a_problem_and_every_body_is_closed() {
        let document = crate::openapi();
        for (name, operation) in operations() {
            for (status, response) in operation["responses"].as_object().unwrap() {
                assert!(
                    response["description"].as_str().is_some_and(|text| !text.is_empty()),
                    "{name} {status}"
                );
                if status.parse::<u16>().unwrap() >= 400 {
                    assert!(response["content"][PROBLEM_JSON].is_object(), "{name} {status}");
                }
            }
            let Some(body) = operation.get("requestBody") else {
                continue;
            };
            let reference = body["content"]["application/json"]["schema"]["$ref"].as_str().unwrap();
            let schema = document.pointer(reference.strip_prefix('#').unwrap()).unwrap();
            assert_eq!(schema["additionalProperties"], false, "{name}");
        }
    }

    #[test]
    fn every_operation_has_an_id_of_its_own_and_links_lead_to_one() {
        let id = |operation: &Value| operation["operationId"].as_str().unwrap().to_owned();
        let all = operations();
        let ids: BTreeSet<_> = all.iter().map(|(_, operation)| id(operation)).collect();
        assert_eq!(ids.len(), all.len());
        let responses = all
            .iter()
            .flat_map(|(_, operation)| operation["responses"].as_object().unwrap().values());
        let links = responses.filter_map(|response| response.get("links")?.as_object());
        let linked: Vec<_> = links.flat_map(|links| links.values().map(id)).collect();
        assert_eq!(linked.len(), 7);
        assert!(linked.iter().all(|id| ids.contains(id)), "{linked:?}");
    }

    #[test]
    fn nothing_in_the_document_is_null() {
        fn holds_null(value: &Value) -> bool {
            match value {
                Value::Null => true,
                Value::Array(list) => list.iter().any(holds_null),
                Value::Object(map) => map.iter().any(|(key, value)| key != "example" && holds_null(value)),
                _ => false,
            }
        }
        assert!(!holds_null(&crate::openapi()));
        assert!(!holds_null(&crate::asyncapi()));
    }

    #[test]
    fn the_codes_in_the_document_are_the_codes_on_the_wire() {
        let listed = &crate::openapi()["components"]["schemas"]["ErrorCode"]["enum"];
        let sent: Vec<_> = ErrorCode::ALL
            .iter()
            .map(|code| serde_json::to_value(code).unwrap())
            .collect();
        assert_eq!(listed, &Value::from(sent));
    }

    #[test]
    fn what_needs_a_token_says_so_and_can_be_refused_without() {
        let open = [
            "/players/guest",
            "/v1/sessions/refresh",
            "post /v1/sessions",
            "json",
            "docs",
            "live",
        ];
        for (name, operation) in operations() {
            let is_open = open.iter().any(|end| name.ends_with(end));
            assert_eq!(operation.get("security").is_none(), is_open, "{name}");
            assert_eq!(
                operation["responses"].get("401").is_none(),
                is_open && !name.contains("/v1/sessions"),
                "{name}"
            );
        }
    }
}
