//! A default `StorageClass`, and what makes its volumes.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{Api, control_plane::items};

const CLASS: &str = "standard";
const PROVISIONER: &str = "gaia.test/folder";
const VOLUMES: &str = "/api/v1/persistentvolumes";

/// Like most clouds', it makes a volume once a pod that wants it has a node.
pub(crate) async fn class(api: &Api) {
    let class = json!({
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": CLASS,
            "annotations": { "storageclass.kubernetes.io/is-default-class": "true" },
        },
        "provisioner": PROVISIONER,
        "volumeBindingMode": "WaitForFirstConsumer",
    });
    let path = "/apis/storage.k8s.io/v1/storageclasses";
    api.create(path, &class).await.expect("a storage class");
}

/// Makes volumes for claims and removes those that are released, as long as it is let.
pub(crate) async fn serve(api: Api, folder: PathBuf) {
    loop {
        if let Ok(claims) = api.get("/api/v1/persistentvolumeclaims?resourceVersion=0").await {
            for claim in items(&claims).filter(|claim| is_waiting(claim)) {
                // Another try follows where the API says no.
                api.create(VOLUMES, &volume(claim, &folder)).await.ok();
            }
        }
        if let Ok(volumes) = api.get(&format!("{VOLUMES}?resourceVersion=0")).await {
            for volume in items(&volumes).filter(|volume| volume["status"]["phase"] == "Released") {
                remove(&api, volume).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// The scheduler names the node, once there is a pod for it.
fn is_waiting(claim: &Value) -> bool {
    claim["status"]["phase"] == "Pending"
        && claim["spec"]["storageClassName"] == CLASS
        && claim["metadata"]["annotations"]["volume.kubernetes.io/selected-node"].is_string()
}

fn volume(claim: &Value, folder: &Path) -> Value {
    let metadata = &claim["metadata"];
    let name = format!("pvc-{}", metadata["uid"].as_str().unwrap_or_default());
    let path = folder.join(&name);
    // Pods run as whom they like.
    fs::create_dir_all(&path).expect("a folder can be made");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("a folder can be opened");
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": name,
            "annotations": { "pv.kubernetes.io/provisioned-by": PROVISIONER },
        },
        "spec": {
            "capacity": { "storage": claim["spec"]["resources"]["requests"]["storage"] },
            "accessModes": claim["spec"]["accessModes"],
            "storageClassName": CLASS,
            "persistentVolumeReclaimPolicy": "Delete",
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
            // Unlike `hostPath`, `local` gives the files to the pod's `fsGroup`. It must say which nodes have the folder,
            // and all of them do.
            "local": { "path": path },
            "nodeAffinity": { "required": { "nodeSelectorTerms": [{ "matchExpressions": [
                { "key": "kubernetes.io/os", "operator": "In", "values": ["linux"] },
            ] }] } },
        },
    })
}

async fn remove(api: &Api, volume: &Value) {
    if volume["spec"]["persistentVolumeReclaimPolicy"] != "Delete" || volume["spec"]["storageClassName"] != CLASS {
        return;
    }
    if let Some(path) = volume["spec"]["local"]["path"].as_str() {
        fs::remove_dir_all(path).ok();
    }
    if let Some(name) = volume["metadata"]["name"].as_str() {
        api.delete(&format!("{VOLUMES}/{name}")).await.ok();
    }
}
