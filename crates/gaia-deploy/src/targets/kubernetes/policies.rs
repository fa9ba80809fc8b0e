//! Who may speak to whom: nobody to nobody, and then just what is needed.

use std::{collections::BTreeSet, net::IpAddr};

use gaia_kubernetes::Kind;
use gaia_names::{Service, Store};
use serde_json::{Value, json};

use super::pods::selector;
use crate::{
    Blueprint,
    containers::parts::{INFERENCE_PORT, OPS_PORT, Part, Role},
    record::Ports,
    stores::{nats, postgres, redis},
};

/// A namespace with this label may read metrics.
const MONITORING: &str = "gaia.dev/monitoring";
/// What is nobody's on the open internet: other networks of the company, and the cloud's metadata.
const INNER: [&str; 5] = [
    "10.0.0.0/8",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
];
const INNER_V6: [&str; 2] = ["fc00::/7", "fe80::/10"];

/// All policies of a cluster.
pub(crate) fn all(blueprint: &Blueprint, ports: &Ports, parts: &[Part]) -> Vec<(Kind, String, Value)> {
    let mut made = vec![(
        "default-deny".to_owned(),
        policy(json!({}), Some(json!([])), Some(json!([]))),
    )];
    made.push(("dns".to_owned(), policy(json!({}), None, Some(dns()))));
    for part in parts {
        let own = json!({ "matchLabels": selector(&blueprint.cluster, part.role) });
        let peers = |roles: &[Role]| -> Vec<Value> {
            let peer = |role: &Role| json!({ "podSelector": { "matchLabels": selector(&blueprint.cluster, *role) } });
            roles.iter().map(peer).collect()
        };
        let mut inward: Vec<Value> = Vec::new();
        let callers = callers(part.role);
        if !callers.is_empty() {
            inward.push(json!({ "from": peers(&callers), "ports": tcp(part.ports.values()) }));
        }
        let own_ports = || tcp(part.ports.values().chain(&part.own_ports));
        if part.replicas > 1 && !part.own_ports.is_empty() {
            inward.push(json!({ "from": peers(&[part.role]), "ports": own_ports() }));
        }
        if matches!(part.role, Role::Service(_)) {
            let from = json!([{ "namespaceSelector": { "matchLabels": { MONITORING: "true" } } }]);
            inward.push(json!({ "from": from, "ports": tcp([&OPS_PORT]) }));
        }
        if part.role == Role::Service(Service::Gateway) {
            // Players come from anywhere.
            inward.push(json!({ "ports": tcp(ports.gateway.values()) }));
        }
        let mut outward: Vec<Value> = Vec::new();
        for (callee, port) in callees(part.role) {
            outward.push(json!({ "to": peers(&[callee]), "ports": tcp([&port]) }));
        }
        if part.replicas > 1 && !part.own_ports.is_empty() {
            outward.push(json!({ "to": peers(&[part.role]), "ports": own_ports() }));
        }
        if part.role == Role::Service(Service::Chat) {
            outward.push(json!({ "to": world(blueprint) }));
        }
        let name = part.role.name().to_owned();
        made.push((name, policy(own, Some(json!(inward)), Some(json!(outward)))));
    }
    made.into_iter()
        .map(|(name, spec)| (Kind::NETWORK_POLICY, name, spec))
        .collect()
}

fn policy(pods: Value, inward: Option<Value>, outward: Option<Value>) -> Value {
    let mut types = Vec::new();
    let mut spec = json!({ "podSelector": pods });
    if let Some(inward) = inward {
        types.push("Ingress");
        spec["ingress"] = inward;
    }
    if let Some(outward) = outward {
        types.push("Egress");
        spec["egress"] = outward;
    }
    spec["policyTypes"] = json!(types);
    json!({ "spec": spec })
}

/// Whom a part calls, and where.
fn callees(role: Role) -> Vec<(Role, u16)> {
    let store = |store, port| (Role::Store(store), port);
    let fast = [store(Store::Redis, redis::PORT), store(Store::Nats, nats::PORT)];
    let truth = store(Store::Postgres, postgres::PORT);
    match role {
        Role::Store(_) | Role::Inference => Vec::new(),
        Role::Service(Service::Gateway) => fast.into(),
        Role::Service(Service::Auth) | Role::Setup => [fast.as_slice(), &[truth]].concat(),
        Role::Service(Service::Chat) => [fast.as_slice(), &[truth, (Role::Inference, INFERENCE_PORT)]].concat(),
    }
}

/// Who calls a part: the other side of [`callees`].
fn callers(role: Role) -> Vec<Role> {
    let services = Service::ALL.iter().map(|service| Role::Service(*service));
    let all = services.chain([Role::Setup, Role::Inference]);
    all.filter(|caller| callees(*caller).iter().any(|(callee, _)| *callee == role))
        .collect()
}

fn dns() -> Value {
    let namespace = json!({ "matchLabels": { "kubernetes.io/metadata.name": "kube-system" } });
    let pods = json!({ "matchLabels": { "k8s-app": "kube-dns" } });
    // Both in one item: the name servers, and only there.
    json!([{
        "to": [{ "namespaceSelector": namespace, "podSelector": pods }],
        "ports": [{ "protocol": "UDP", "port": 53 }, { "protocol": "TCP", "port": 53 }],
    }])
}

/// The open internet, and those inner addresses that a route of a game names itself.
fn world(blueprint: &Blueprint) -> Vec<Value> {
    let mut to = vec![
        json!({ "ipBlock": { "cidr": "0.0.0.0/0", "except": INNER } }),
        json!({ "ipBlock": { "cidr": "::/0", "except": INNER_V6 } }),
    ];
    let routes = blueprint.games.values().flat_map(|own| &own.bundle.routes);
    let hosts = routes.filter_map(|route| {
        let url: reqwest::Url = route.base_url.parse().ok()?;
        url.host_str()?.trim_matches(['[', ']']).parse::<IpAddr>().ok()
    });
    let named: BTreeSet<String> = hosts
        .map(|address| match address {
            IpAddr::V4(address) => format!("{address}/32"),
            IpAddr::V6(address) => format!("{address}/128"),
        })
        .collect();
    to.extend(named.iter().map(|cidr| json!({ "ipBlock": { "cidr": cidr } })));
    to
}

fn tcp<'a>(ports: impl IntoIterator<Item = &'a u16>) -> Vec<Value> {
    ports
        .into_iter()
        .map(|port| json!({ "protocol": "TCP", "port": port }))
        .collect()
}
