//! The programs of a control plane and what each is told.

use std::process::Command;

use super::Place;
use crate::{
    pki::Pki,
    programs::{free_port, program},
    ward::Ward,
};

/// Starts all of them at once: each waits for those that it needs.
pub(super) fn start(place: &Place, server: &str, pki: &Pki) {
    let Place { ward, address, .. } = place;
    let etcd = etcd(ward);
    let names = [
        &address.to_string(),
        &place.first_service.to_string(),
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ];
    pki.write("apiserver", "kube-apiserver", None, &names);
    pki.write("apiserver-client", "kube-apiserver-client", Some("system:masters"), &[]);
    pki.write("front-proxy", "front-proxy", None, &[]);
    ward.start("kube-apiserver", &mut apiserver(place, &etcd, server, pki));
    for (part, mut command) in [
        ("kube-controller-manager", controllers(pki)),
        ("kube-scheduler", program("kube-scheduler")),
    ] {
        let kubeconfig = ward.folder().join(format!("{part}.kubeconfig"));
        let user = part.replace("kube-", "system:kube-");
        pki.kubeconfig(&kubeconfig, server, &pki.issue(&user, None, &[]));
        for flag in [
            "--kubeconfig",
            "--authentication-kubeconfig",
            "--authorization-kubeconfig",
        ] {
            command.arg(flag).arg(&kubeconfig);
        }
        // They start before the API server can tell them whom to trust, and nobody talks to them.
        command.arg("--authentication-tolerate-lookup-failure=true");
        command.args(["--bind-address=127.0.0.1", "--leader-elect=false"]);
        command.arg(format!("--secure-port={}", free_port()));
        command.args(["--kube-api-qps=200", "--kube-api-burst=400"]);
        ward.start(part, &mut command);
    }
}

/// Its data needs to survive nothing, so it may be quick.
fn etcd(ward: &Ward) -> String {
    let url = format!("http://127.0.0.1:{}", free_port());
    let peers = format!("http://127.0.0.1:{}", free_port());
    let mut command = program("etcd");
    command.args(["--data-dir=etcd", "--unsafe-no-fsync", "--log-level=warn"]);
    for (flag, url) in [
        ("listen-client-urls", &url),
        ("advertise-client-urls", &url),
        ("listen-peer-urls", &peers),
        ("initial-advertise-peer-urls", &peers),
    ] {
        command.arg(format!("--{flag}={url}"));
    }
    command.arg(format!("--initial-cluster=default={peers}"));
    ward.start("etcd", &mut command);
    url
}

fn apiserver(place: &Place, etcd: &str, server: &str, pki: &Pki) -> Command {
    let file = |flag: &str, name: &str| format!("--{flag}={}", pki.path(name));
    let port = server.rsplit(':').next().unwrap_or_default();
    let mut command = program("kube-apiserver");
    command
        .arg(format!("--etcd-servers={etcd}"))
        .arg(format!("--bind-address={}", place.address))
        .arg(format!("--secure-port={port}"))
        .arg(format!("--service-cluster-ip-range={}", place.services))
        .arg("--authorization-mode=Node,RBAC")
        .arg("--enable-admission-plugins=NodeRestriction")
        .arg("--allow-privileged=true")
        .arg(file("tls-cert-file", "apiserver.crt"))
        .arg(file("tls-private-key-file", "apiserver.key"))
        .arg(file("client-ca-file", "ca.crt"))
        .arg(file("kubelet-certificate-authority", "ca.crt"))
        .arg(file("kubelet-client-certificate", "apiserver-client.crt"))
        .arg(file("kubelet-client-key", "apiserver-client.key"))
        .arg("--kubelet-preferred-address-types=InternalIP")
        .arg("--service-account-issuer=https://kubernetes.default.svc.cluster.local")
        .arg(file("service-account-key-file", "accounts.pub"))
        .arg(file("service-account-signing-key-file", "accounts.key"))
        // How it shows an aggregated API who asks.
        .arg(file("requestheader-client-ca-file", "ca.crt"))
        .arg(file("proxy-client-cert-file", "front-proxy.crt"))
        .arg(file("proxy-client-key-file", "front-proxy.key"))
        .args([
            "--requestheader-allowed-names=front-proxy",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        ])
        // Pods of a lost node are to move soon.
        .args([
            "--default-not-ready-toleration-seconds=3",
            "--default-unreachable-toleration-seconds=3",
        ]);
    if place.address.is_loopback() {
        // Loopback is refused as an endpoint of the service `kubernetes`, which no pod could reach there anyway.
        command.args(["--endpoint-reconciler-type=none", "--advertise-address=192.0.2.1"]);
    }
    command
}

fn controllers(pki: &Pki) -> Command {
    let mut command = program("kube-controller-manager");
    command
        .arg(format!(
            "--service-account-private-key-file={}",
            pki.path("accounts.key")
        ))
        .arg(format!("--root-ca-file={}", pki.path("ca.crt")))
        .args([
            "--use-service-account-credentials=true",
            "--allocate-node-cidrs=false",
            "--node-monitor-period=1s",
            "--node-monitor-grace-period=8s",
            "--horizontal-pod-autoscaler-sync-period=1s",
            "--horizontal-pod-autoscaler-downscale-stabilization=3s",
            "--horizontal-pod-autoscaler-cpu-initialization-period=1s",
            "--horizontal-pod-autoscaler-initial-readiness-delay=0s",
        ]);
    command
}
