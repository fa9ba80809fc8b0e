//! From the checked keys of `config.yaml` to what they mean together.

mod tools;

use std::collections::BTreeMap;

use gaia_names::{PersonaId, Service, Store};
use gaia_protocol::bundle::{Budget, Provider, Rates};

use crate::{
    fault::{Findings, Place, shown},
    fields::{Fields, Item, Value},
    game::{Autoscaler, Entrance, Images, OffHours, Route, Size, Sizing, Through, ToolServer},
    prices,
    walk::unbuilt,
};

/// What the config says, without what the personas' files say.
pub(crate) struct Config {
    pub(crate) name: Option<String>,
    pub(crate) studio: Option<String>,
    pub(crate) theme: String,
    pub(crate) personality: Option<String>,
    pub(crate) response_time_target_ms: u32,
    pub(crate) context_window: u16,
    /// The personas that it names and where; `None` where it names none.
    pub(crate) personas: Option<Vec<(PersonaId, Place)>>,
    pub(crate) routes: Vec<Route>,
    /// The places of routes that cost something, and nobody knows what.
    pub(crate) unpriced: Vec<(String, Place)>,
    pub(crate) budget: Budget,
    pub(crate) tool_servers: Vec<ToolServer>,
    pub(crate) features: BTreeMap<String, bool>,
    pub(crate) rates: Rates,
    pub(crate) size: Size,
    pub(crate) regions: Vec<String>,
    pub(crate) images: Images,
    pub(crate) services: BTreeMap<Service, Sizing>,
    pub(crate) stores: BTreeMap<Store, Sizing>,
    pub(crate) autoscaler: Option<Autoscaler>,
    pub(crate) off_hours: Option<OffHours>,
    pub(crate) entrance: Option<Entrance>,
}

/// Puts the keys together. What they say is good one by one; what does not go together is reported here.
pub(crate) fn read(fields: &Fields, findings: &mut Findings) -> Config {
    let ai = fields.map("ai_configuration");
    let infrastructure = fields.map("infrastructure");
    let size = match infrastructure.text("cluster_size").as_deref() {
        Some("medium") => Size::Medium,
        Some("large") => Size::Large,
        _ => Size::Small,
    };
    let chats = chats(fields, findings);
    let autoscaler = autoscaler(fields, findings);
    let (routes, unpriced) = routes(ai.items("routes"), findings);
    Config {
        name: fields.text("name"),
        studio: fields.text("studio"),
        theme: fields.text("theme").unwrap_or_default(),
        personality: ai.text("personality"),
        response_time_target_ms: ai.small_number("response_time_target").unwrap_or_default(),
        context_window: ai
            .number("context_window")
            .and_then(|count| u16::try_from(count).ok())
            .unwrap_or_default(),
        personas: personas(&chats),
        routes,
        unpriced,
        budget: budget(ai.map("budget")),
        tool_servers: tools::servers(&chats, findings),
        features: features(fields),
        rates: rates(fields.map("limits")),
        size,
        regions: infrastructure.texts("regions"),
        images: images(infrastructure.map("images")),
        services: sized(size.services(), fields),
        stores: sized(size.stores(), fields),
        autoscaler,
        off_hours: off_hours(infrastructure, findings),
        entrance: entrance(infrastructure.map("entrance")),
    }
}

fn off_hours(infrastructure: &Fields, findings: &mut Findings) -> Option<OffHours> {
    let item = infrastructure.get("off_hours")?;
    let keys = item.fields();
    let off_hours = OffHours {
        from: keys.text("from")?,
        until: keys.text("until")?,
        timezone: keys.text("timezone")?,
    };
    if off_hours.from == off_hours.until {
        let message = format!(
            "a game that closes and opens at {} is never there, or always",
            off_hours.from
        );
        findings
            .error(item.place, message)
            .helping("give two times, or leave `off_hours` out");
    }
    Some(off_hours)
}

fn entrance(keys: &Fields) -> Option<Entrance> {
    let through = match keys.get("gateway").map(Item::fields) {
        Some(gateway) => Through::Gateway {
            name: gateway.text("name")?,
            namespace: gateway.text("namespace")?,
            listener: gateway.text("listener"),
        },
        None => {
            let ingress = keys.map("ingress");
            Through::Ingress {
                class: ingress.text("class")?,
                tls_secret: ingress.text("tls_secret"),
            }
        }
    };
    Some(Entrance {
        hostname: keys.text("hostname")?,
        through,
    })
}

fn images(fields: &Fields) -> Images {
    Images {
        gaia: fields.text("gaia"),
        stores: Store::ALL
            .iter()
            .filter_map(|store| Some((*store, fields.text(store.as_str())?)))
            .collect(),
    }
}

/// The `chat` parts of `services`: one where that is a map, any number where it is a list.
fn chats<'a>(fields: &'a Fields, findings: &mut Findings) -> Vec<&'a Fields> {
    let Some(services) = fields.get("services") else {
        return Vec::new();
    };
    let Value::List(items) = &services.value else {
        return vec![services.fields().map("chat")];
    };
    let mut named = Vec::new();
    for item in items {
        match &item.value {
            Value::Text(name) => {
                if name == "world" {
                    findings.warning(item.place, unbuilt(name));
                }
                named.push(name.as_str());
            }
            _ => {
                for field in &item.fields().0 {
                    if named.contains(&field.name.as_str()) {
                        let message = format!("`{}` stands in `services` for the second time", field.name);
                        findings.error(field.place, message).helping("keep one of them");
                    }
                    named.push(field.name.as_str());
                }
            }
        }
    }
    let all = Service::ALL
        .iter()
        .map(|service| service.as_str())
        .chain(Store::ALL.iter().map(|store| store.as_str()));
    let missing: Vec<_> = all.filter(|part| !named.contains(part)).collect();
    if !missing.is_empty() {
        let message = format!(
            "`services` leaves out {}, but every cluster has them",
            missing.join(", ")
        );
        findings
            .warning(services.place, message)
            .helping("add them, or leave out the whole list");
    }
    items.iter().map(|item| item.fields().map("chat")).collect()
}

fn personas(chats: &[&Fields]) -> Option<Vec<(PersonaId, Place)>> {
    let items: Vec<_> = chats.iter().flat_map(|chat| chat.items("personas")).collect();
    if items.is_empty() {
        return None;
    }
    let named = |item: &&Item| Some((item.text()?.parse().ok()?, item.place));
    Some(items.iter().filter_map(named).collect())
}

/// The routes, and those that cost something unknown.
fn routes(items: &[Item], findings: &mut Findings) -> (Vec<Route>, Vec<(String, Place)>) {
    let (mut routes, mut unpriced): (Vec<Route>, Vec<_>) = (Vec::new(), Vec::new());
    for item in items {
        let Some(route) = route(item.fields()) else { continue };
        if routes.iter().any(|other| other.name == route.name) {
            let message = format!("a route called `{}` stands here for the second time", route.name);
            findings.error(item.place, message).helping("give each its own name");
        }
        let is_given = |key| item.fields().get(key).is_some();
        if !is_given("api_key") && !is_given("base_url") {
            let fault = findings.error(item.place, format!("the route `{}` needs `api_key`", route.name));
            fault.helping("write `api_key: env:NAME`, or the `base_url` of an endpoint without a key");
        }
        // A price that was given and is not good has been reported.
        if route.prices.is_empty() && !is_given("price") && (prices::is_paid(&route) || prices::is_vendors(&route)) {
            let what = format!(
                "nobody knows what the model `{}` of the route `{}` costs",
                shown(&route.model),
                route.name
            );
            unpriced.push((what, item.place));
        }
        routes.push(route);
    }
    (routes, unpriced)
}

fn budget(fields: &Fields) -> Budget {
    Budget {
        per_day: fields.number("per_day"),
        per_month: fields.number("per_month"),
        per_player_per_day: fields.number("per_player_per_day"),
        per_persona_per_day: fields.number("per_persona_per_day"),
    }
}

fn route(fields: &Fields) -> Option<Route> {
    let (provider, address) = match fields.text("provider")?.as_str() {
        "anthropic" => (Provider::Anthropic, "https://api.anthropic.com"),
        _ => (Provider::Openai, "https://api.openai.com/v1"),
    };
    let key = match fields.get("api_key").map(|item| &item.value) {
        Some(Value::Reference(reference)) => Some(reference.clone()),
        _ => None,
    };
    let mut route = Route {
        name: fields.text("name")?,
        provider,
        base_url: fields.text("base_url").unwrap_or_else(|| address.to_owned()),
        model: fields.text("model")?,
        key,
        first_token_ms: fields.small_number("first_token_timeout")?,
        silence_ms: fields.small_number("silence_timeout")?,
        prices: Vec::new(),
    };
    let known = || prices::known(provider, &route.model).filter(|_| prices::is_vendors(&route));
    route.prices = match prices::given(fields) {
        Some(given) => given,
        None => known().map(<[_]>::to_vec).unwrap_or_default(),
    };
    Some(route)
}

fn rates(fields: &Fields) -> Rates {
    let usual = Rates::default();
    Rates {
        requests_per_minute: fields
            .small_number("requests_per_minute")
            .unwrap_or(usual.requests_per_minute),
        sign_ins_per_minute: fields
            .small_number("sign_ins_per_minute")
            .unwrap_or(usual.sign_ins_per_minute),
    }
}

fn features(fields: &Fields) -> BTreeMap<String, bool> {
    let switch = |item: &Item| {
        if let Value::Switch(is_on) = item.value {
            Some(is_on)
        } else {
            None
        }
    };
    let features = fields.map("features").0.iter();
    features
        .filter_map(|field| Some((field.name.clone(), switch(&field.item)?)))
        .collect()
}

/// What the size stands for, with what the config says instead.
fn sized<P: Ord + ToString>(mut parts: BTreeMap<P, Sizing>, fields: &Fields) -> BTreeMap<P, Sizing> {
    let (replicas, resources) = (fields.map("replicas"), fields.map("resources"));
    for (part, sizing) in &mut parts {
        let part = part.to_string();
        if let Some(Value::Replicas(replicas)) = replicas.get(&part).map(|item| &item.value) {
            sizing.replicas = *replicas;
        }
        let amounts = resources.map(&part);
        sizing.resources.memory_bytes = amounts.number("memory").unwrap_or(sizing.resources.memory_bytes);
        sizing.resources.cpu_millicores = amounts.small_number("cpu").unwrap_or(sizing.resources.cpu_millicores);
    }
    parts
}

fn autoscaler(fields: &Fields, findings: &mut Findings) -> Option<Autoscaler> {
    let item = fields.get("horizontalPodAutoscaler")?;
    let keys = item.fields();
    let autoscaler = Autoscaler {
        min_replicas: keys.small_number("minReplicas")?,
        max_replicas: keys.small_number("maxReplicas")?,
        target_cpu_percent: keys.small_number("targetCPUUtilization")?,
    };
    if autoscaler.min_replicas > autoscaler.max_replicas {
        let message = format!(
            "`minReplicas` ({}) is more than `maxReplicas` ({})",
            autoscaler.min_replicas, autoscaler.max_replicas
        );
        findings
            .error(item.place, message)
            .helping("make `maxReplicas` the larger one");
    }
    Some(autoscaler)
}
