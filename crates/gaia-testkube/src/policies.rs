//! What enforces network policies: Felix, Calico's part of a node, with no other part of Calico.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use serde_json::json;

use crate::{ControlPlane, eventually, pki::Pki, programs::kubernetes};

/// What Felix looks for in the API. Tests have none of these, but it wants to see that.
const KINDS: &[(&str, &str, &str)] = &[
    ("BGPConfiguration", "bgpconfigurations", "Cluster"),
    ("ClusterInformation", "clusterinformations", "Cluster"),
    ("FelixConfiguration", "felixconfigurations", "Cluster"),
    ("GlobalNetworkPolicy", "globalnetworkpolicies", "Cluster"),
    ("GlobalNetworkSet", "globalnetworksets", "Cluster"),
    ("HostEndpoint", "hostendpoints", "Cluster"),
    ("IPPool", "ippools", "Cluster"),
    ("NetworkPolicy", "networkpolicies", "Namespaced"),
    ("NetworkSet", "networksets", "Namespaced"),
];
const GROUP: &str = "crd.projectcalico.org";
/// The plugin that plugs pods in. Its name is the type in the network's configuration.
const CABLE: &str = include_str!("cable.sh");

/// Makes a folder of the plugins that plug pods in, and of what they need.
pub(crate) fn plugins(folder: &Path, server: &str, pki: &Pki) {
    fs::create_dir_all(folder).expect("a folder can be made");
    let link = |name: &str, to: &Path| symlink(to, folder.join(name)).expect("a link can be made");
    for plugin in ["host-local", "loopback", "ptp"] {
        link(plugin, &Path::new("/usr/lib/cni").join(plugin));
    }
    link("kubernetes", kubernetes());
    let felix = pki.issue("felix", Some("system:masters"), &[]);
    pki.kubeconfig(&folder.join("kubeconfig"), server, &felix);
    let cable = folder.join("cable");
    fs::write(&cable, CABLE).expect("a file can be written");
    fs::set_permissions(cable, fs::Permissions::from_mode(0o755)).expect("a file can be made a program");
}

/// Lets Felix into the cluster.
pub(crate) async fn prepare(control_plane: &ControlPlane) {
    let api = control_plane.api();
    for (kind, plural, scope) in KINDS {
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": { "name": format!("{plural}.{GROUP}") },
            "spec": {
                "group": GROUP,
                "names": { "kind": kind, "plural": plural, "singular": kind.to_lowercase() },
                "scope": scope,
                "versions": [{
                    "name": "v1",
                    "served": true,
                    "storage": true,
                    "schema": { "openAPIV3Schema": {
                        "type": "object",
                        "x-kubernetes-preserve-unknown-fields": true,
                    } },
                }],
            },
        });
        let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        api.create(definitions, &definition).await.expect("a definition");
    }
    let ready = json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": "ClusterInformation",
        "metadata": { "name": "default" },
        "spec": { "datastoreReady": true },
    });
    let path = format!("/apis/{GROUP}/v1/clusterinformations");
    eventually("Felix's kinds are served", async || {
        api.create(&path, &ready).await.ok()
    })
    .await;
}
