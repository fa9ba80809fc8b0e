//! The AsyncAPI document of the socket, from the same types that are sent over it.

use gaia_protocol::realtime::{ClientMessage, ServerMessage};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::realtime::LARGEST_MESSAGE;

const INTRODUCTION: &str = "\
Talk to the game's characters over one socket, as JSON text messages. The first message is `sign_in`, within 10 seconds, \
unless the request carried an `Authorization` header. `say` is answered with `turn` messages: `accepted`, then perhaps an \
`interim` line that bridges the wait and is no part of the reply, then `delta`s \
numbered from 1 without gaps, then `final` with the whole turn. `tool` tells that the persona uses a tool, and `ask` asks the \
player something before a tool goes on: send an `answer`. After a drop, connect again and `resume` with the number \
of the last delta. Send `sign_in` with a fresh token before the old one expires; else the socket is closed with code 4401. \
It is closed with 1012 when the gateway restarts, 1009 for a message that is too large and 1008 for too many messages.";

pub(super) fn document() -> Value {
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Gaia: the player's socket",
            "version": env!("CARGO_PKG_VERSION"),
            "description": INTRODUCTION,
        },
        "defaultContentType": "application/json",
        "channels": { "realtime": {
            "address": "/v1/realtime",
            "description": format!("Messages of a client have at most {} KiB.", LARGEST_MESSAGE / 1024),
            "bindings": { "ws": { "method": "GET", "bindingVersion": "0.1.0" } },
            "messages": {
                "fromClient": { "$ref": "#/components/messages/fromClient" },
                "fromServer": { "$ref": "#/components/messages/fromServer" },
            },
        }},
        "operations": {
            "hear": operation("receive", "fromClient", "What the gateway takes from a client."),
            "tell": operation("send", "fromServer", "What the gateway tells a client."),
        },
        "components": {
            "messages": {
                "fromClient": message("ClientMessage", "From the client"),
                "fromServer": message("ServerMessage", "From the gateway"),
            },
            "schemas": schemas(),
        },
    })
}

fn operation(action: &str, name: &str, summary: &str) -> Value {
    json!({
        "action": action,
        "summary": summary,
        "channel": { "$ref": "#/channels/realtime" },
        "messages": [{ "$ref": format!("#/channels/realtime/messages/{name}") }],
    })
}

fn message(schema: &str, title: &str) -> Value {
    json!({
        "name": schema,
        "title": title,
        "contentType": "application/json",
        "payload": { "$ref": format!("#/components/schemas/{schema}") },
    })
}

fn schemas() -> Map<String, Value> {
    let mut found = Vec::new();
    add::<ClientMessage>(&mut found);
    add::<ServerMessage>(&mut found);
    let as_json = |schema| serde_json::to_value(schema).unwrap_or_default();
    found
        .into_iter()
        .map(|(name, schema)| (name, as_json(schema)))
        .collect()
}

type Found = Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::Schema>)>;

fn add<T: ToSchema>(found: &mut Found) {
    found.push((T::name().into_owned(), T::schema()));
    T::schemas(found);
}
