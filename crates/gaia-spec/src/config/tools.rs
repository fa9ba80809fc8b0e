//! The tool servers of a config.

use std::collections::BTreeMap;

use gaia_protocol::bundle::ToolKind;

use crate::{
    fault::Findings,
    fields::{Fields, Item, Value},
    game::{OAuth, Reference, Setting, ToolServer, Transport},
    scalars,
    walk::unbuilt,
};

/// The known names that this version can run, and the server of ours that each means.
const SHIPPED: &[(&str, &str)] = &[
    ("weather_api", "weather"),
    ("location_service", "location"),
    ("news_scraper", NEWS),
];
const NEWS: &str = "news";

/// All servers, each under its own name.
pub(super) fn servers(chats: &[&Fields], findings: &mut Findings) -> Vec<ToolServer> {
    let mut servers: Vec<ToolServer> = Vec::new();
    for item in chats.iter().flat_map(|chat| chat.items("mcp_servers")) {
        let Some(server) = server(item, findings) else {
            continue;
        };
        if servers.iter().any(|other| other.name == server.name) {
            let message = format!("a tool server called `{}` stands here for the second time", server.name);
            findings.error(item.place, message).helping("give each its own name");
            continue;
        }
        servers.push(server);
    }
    servers
}

fn server(item: &Item, findings: &mut Findings) -> Option<ToolServer> {
    if let Some(name) = item.text() {
        return Some(known(name, item, findings));
    }
    let fields = item.fields();
    let server = ToolServer {
        name: fields.text("name")?,
        is_available: true,
        transport: transport(fields, findings)?,
        tools: fields.texts("tools"),
        timeout_ms: fields.small_number("timeout")?,
        kinds: kinds(fields),
        is_trusted: matches!(fields.get("trusted").map(|item| &item.value), Some(Value::Switch(true))),
        pins: BTreeMap::new(),
    };
    for (name, _) in server.kinds.iter().filter(|(name, _)| !server.allows(name)) {
        let place = fields.get("kinds").map_or(item.place, |kinds| kinds.place);
        let message = format!("`kinds` speaks of `{name}`, which `tools` leaves out");
        findings
            .error(place, message)
            .helping("add it to `tools`, or leave it out here");
    }
    Some(server)
}

fn known(name: &str, item: &Item, findings: &mut Findings) -> ToolServer {
    let shipped = SHIPPED.iter().find(|(known, _)| *known == name);
    match shipped {
        None => {
            findings.warning(item.place, unbuilt(name));
        }
        Some((_, NEWS)) => {
            let fault = findings.warning(item.place, format!("`{name}` has no feeds, so it knows no news"));
            fault.helping(format!(
                "write {{name: {name}, feeds: [https://...]}} with RSS or Atom feeds"
            ));
        }
        Some(_) => {}
    }
    ToolServer {
        name: name.to_owned(),
        // Ours for news has nothing to read without feeds.
        is_available: shipped.is_some_and(|(_, ours)| *ours != NEWS),
        transport: match shipped {
            Some((_, ours)) => Transport::Shipped((*ours).to_owned(), Vec::new()),
            None => Transport::Unbuilt,
        },
        tools: Vec::new(),
        timeout_ms: 5000,
        kinds: BTreeMap::new(),
        is_trusted: false,
        pins: BTreeMap::new(),
    }
}

fn transport(fields: &Fields, findings: &mut Findings) -> Option<Transport> {
    let (goes_with, transport) = match (fields.text("url"), fields.get("command")) {
        (Some(url), _) => ("url", http(url, fields, findings)),
        (None, Some(command)) => ("command", program(command, fields, findings)),
        (None, None) => ("feeds", news(fields)?),
    };
    for (key, way) in [
        ("key", "url"),
        ("oauth", "url"),
        ("env", "command"),
        ("files", "command"),
        ("network", "command"),
    ] {
        let given = fields.0.iter().find(|field| field.name == key);
        // A default has no place of its own.
        let is_given = given.filter(|field| !matches!(field.item.value, Value::Switch(false)));
        if let Some(field) = is_given.filter(|_| way != goes_with) {
            let message = format!("`{key}` only goes with `{way}`");
            findings
                .error(field.place, message)
                .helping(format!("leave it out; the server has `{goes_with}`"));
        }
    }
    if let (Some(key), Some(_)) = (fields.get("key"), fields.get("oauth")) {
        findings
            .error(key.place, "`key` and `oauth` cannot stand together")
            .helping("keep one of them");
    }
    Some(transport)
}

fn http(url: String, fields: &Fields, findings: &mut Findings) -> Transport {
    Transport::Url {
        url,
        key: reference(fields.get("key")),
        oauth: fields.get("oauth").map(|item| oauth(item, findings)),
    }
}

fn oauth(item: &Item, findings: &mut Findings) -> OAuth {
    let fields = item.fields();
    let oauth = OAuth {
        client_id: fields.text("client_id"),
        client_secret: reference(fields.get("client_secret")),
        client_key: reference(fields.get("client_key")),
        sign_in: reference(fields.get("sign_in")),
        scopes: fields.texts("scopes"),
    };
    let proof = oauth.client_secret.as_ref().or(oauth.client_key.as_ref());
    if oauth.client_id.is_none() && (oauth.sign_in.is_none() || proof.is_some()) {
        findings
            .error(item.place, "`oauth` does not say which client asks for a token")
            .helping("give `client_id` and its `client_secret`, or `sign_in` for somebody's yes in a browser");
    } else if oauth.sign_in.is_none() && proof.is_none() {
        findings
            .error(
                item.place,
                "`oauth` does not say how the client shows that it is itself",
            )
            .helping("give its `client_secret` or `client_key`, or `sign_in` for somebody's yes in a browser");
    }
    let other = ["client_secret", "sign_in"]
        .iter()
        .find(|key| fields.get(key).is_some());
    if let (Some(key), Some(other)) = (fields.get("client_key"), other) {
        findings
            .error(key.place, format!("`client_key` and `{other}` cannot stand together"))
            .helping("keep one of them");
    }
    oauth
}

fn program(command: &Item, fields: &Fields, findings: &mut Findings) -> Transport {
    let words = match command.text() {
        Some(line) => line.split_whitespace().map(str::to_owned).collect(),
        None => command
            .items()
            .iter()
            .filter_map(|item| item.text().map(str::to_owned))
            .collect(),
    };
    let environment = fields.map("env").0.iter();
    for field in fields.map("env").0.iter() {
        let is_plain = field.item.text().is_some_and(|text| scalars::reference(text).is_err());
        let is_telling = ["KEY", "TOKEN", "SECRET", "PASSWORD"]
            .iter()
            .any(|word| field.name.to_uppercase().contains(word));
        if is_plain && is_telling {
            let message = format!(
                "`{}` looks like a secret, and what stands here is not kept secret",
                field.name
            );
            findings
                .warning(field.place, message)
                .helping("write env:NAME or file:/path, where it is found");
        }
    }
    let environment = environment.filter_map(|field| Some((field.name.clone(), setting(field.item.text()?))));
    Transport::Command {
        words,
        environment: environment.collect(),
        files: fields.texts("files").into_iter().map(Into::into).collect(),
        has_network: matches!(fields.get("network").map(|item| &item.value), Some(Value::Switch(true))),
    }
}

fn news(fields: &Fields) -> Option<Transport> {
    let feeds = fields.get("feeds")?.items().iter().filter_map(Item::text);
    let arguments = feeds.flat_map(|feed| ["--feed".to_owned(), feed.to_owned()]);
    Some(Transport::Shipped(NEWS.to_owned(), arguments.collect()))
}

fn setting(text: &str) -> Setting {
    match scalars::reference(text) {
        Ok(reference) => Setting::Secret(reference),
        Err(_) => Setting::Plain(text.to_owned()),
    }
}

fn reference(item: Option<&Item>) -> Option<Reference> {
    match &item?.value {
        Value::Reference(reference) => Some(reference.clone()),
        _ => None,
    }
}

fn kinds(fields: &Fields) -> BTreeMap<String, ToolKind> {
    let kind = |word: &str| ToolKind::ALL.iter().find(|kind| kind.as_str() == word).copied();
    let given = fields.map("kinds").0.iter();
    given
        .filter_map(|field| Some((field.name.clone(), kind(field.item.text()?)?)))
        .collect()
}
