//! The way in from outside of Kubernetes, through what is there already.

use gaia_kubernetes::Kind;
use gaia_names::Service;
use gaia_spec::{Entrance, Through};
use serde_json::{Value, json};

/// The kind of object that leads to a game, with what it says.
pub(crate) fn object(entrance: &Entrance, port: u16) -> (Kind, Value) {
    let service = Service::Gateway.as_str();
    match &entrance.through {
        Through::Gateway {
            name,
            namespace,
            listener,
        } => {
            let mut parent = json!({
                "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": name, "namespace": namespace,
            });
            if let Some(listener) = listener {
                parent["sectionName"] = json!(listener);
            }
            let rule = json!({
                "matches": [{ "path": { "type": "PathPrefix", "value": "/" } }],
                "backendRefs": [{ "group": "", "kind": "Service", "name": service, "port": port, "weight": 1 }],
                // No limit: replies and sockets stay open for as long as they like.
                "timeouts": { "request": "0s" },
            });
            let spec = json!({ "parentRefs": [parent], "hostnames": [entrance.hostname], "rules": [rule] });
            (Kind::HTTP_ROUTE, json!({ "spec": spec }))
        }
        Through::Ingress { class, tls_secret } => {
            let backend = json!({ "service": { "name": service, "port": { "number": port } } });
            let path = json!({ "path": "/", "pathType": "Prefix", "backend": backend });
            let mut spec = json!({
                "ingressClassName": class,
                "rules": [{ "host": entrance.hostname, "http": { "paths": [path] } }],
            });
            if let Some(secret) = tls_secret {
                spec["tls"] = json!([{ "hosts": [entrance.hostname], "secretName": secret }]);
            }
            (Kind::INGRESS, json!({ "spec": spec }))
        }
    }
}

/// Where players find the game.
pub(crate) fn url(entrance: &Entrance) -> String {
    let scheme = match &entrance.through {
        Through::Ingress { tls_secret: None, .. } => "http",
        Through::Gateway { .. } | Through::Ingress { .. } => "https",
    };
    format!("{scheme}://{}", entrance.hostname)
}
