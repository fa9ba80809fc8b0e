//! The metrics API with values that tests set.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json, Router,
    extract::{Path, RawQuery, State},
    routing::get,
    serve::Listener,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
    server::TlsStream,
};

use crate::{
    Api,
    control_plane::items,
    eventually,
    paper_nodes::now,
    pki::{Identity, Pki},
    programs::background,
};

const GROUP: &str = "/apis/metrics.k8s.io/v1beta1";

/// Millicores by namespace and the beginning of pods' names.
type Usage = Arc<Mutex<HashMap<(String, String), u32>>>;

/// What pods use, as a test says. It stands behind the API server in the place of metrics-server.
pub struct PodMetrics {
    usage: Usage,
    server: JoinHandle<()>,
}

impl PodMetrics {
    /// From now on each pod whose name begins with the workload's uses so much of a core. A pod that no test has said
    /// anything about has no metrics yet.
    pub fn set_cpu(&self, namespace: &str, workload: &str, millicores: u32) {
        let mut usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        usage.insert((namespace.to_owned(), format!("{workload}-")), millicores);
    }

    pub(crate) async fn start(api: &Api, pki: &Pki) -> Self {
        let service = "pod-metrics.kube-system.svc";
        let identity = pki.issue(service, None, &[service]);
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port is free");
        let port = tcp.local_addr().expect("it has an address").port();
        let usage = Usage::default();
        let router = Router::new()
            .route(GROUP, get(discovery))
            .route(&format!("{GROUP}/namespaces/{{namespace}}/pods"), get(pods))
            .with_state((api.clone(), Arc::clone(&usage)));
        // The listener belongs to the runtime that it is made on.
        let tcp = tcp.into_std().expect("a listener");
        let server = background().spawn(async move {
            let tcp = TcpListener::from_std(tcp).expect("a listener");
            let tls = acceptor(&identity);
            axum::serve(TlsListener { tcp, tls }, router).await.ok();
        });
        register(api, pki, port).await;
        Self { usage, server }
    }
}

impl Drop for PodMetrics {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Tells the API server where these metrics are, by a service that stands for a name outside of the cluster.
async fn register(api: &Api, pki: &Pki, port: u16) {
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": "pod-metrics", "namespace": "kube-system" },
        "spec": { "type": "ExternalName", "externalName": "localhost", "ports": [{ "port": port }] },
    });
    let services = "/api/v1/namespaces/kube-system/services";
    api.create(services, &service).await.expect("a service");
    let registration = json!({
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": { "name": "v1beta1.metrics.k8s.io" },
        "spec": {
            "group": "metrics.k8s.io",
            "version": "v1beta1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "caBundle": STANDARD.encode(pki.authority()),
            "service": { "name": "pod-metrics", "namespace": "kube-system", "port": port },
        },
    });
    let path = "/apis/apiregistration.k8s.io/v1/apiservices";
    api.create(path, &registration).await.expect("an API can be registered");
    eventually("the metrics are served", async || api.get(GROUP).await.ok()).await;
}

async fn discovery() -> Json<Value> {
    Json(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": "metrics.k8s.io/v1beta1",
        "resources": [
            { "name": "pods", "singularName": "", "namespaced": true, "kind": "PodMetrics", "verbs": ["get", "list"] },
        ],
    }))
}

/// The pods that the same query would list, and what they use.
async fn pods(
    State((api, usage)): State<(Api, Usage)>,
    Path(namespace): Path<String>,
    RawQuery(query): RawQuery,
) -> Json<Value> {
    let path = format!("/api/v1/namespaces/{namespace}/pods?{}", query.unwrap_or_default());
    let list = api.get(&path).await.unwrap_or_default();
    let usage = usage.lock().unwrap_or_else(PoisonError::into_inner);
    let metrics: Vec<Value> = items(&list)
        .filter_map(|pod| {
            let name = pod["metadata"]["name"].as_str()?;
            // `chat-worker-` says more than `chat-`.
            let named = usage
                .iter()
                .filter(|((of, begins), _)| *of == namespace && name.starts_with(begins));
            let (_, millicores) = named.max_by_key(|((_, begins), _)| begins.len())?;
            Some(metrics_of(pod, *millicores))
        })
        .collect();
    Json(json!({
        "kind": "PodMetricsList",
        "apiVersion": "metrics.k8s.io/v1beta1",
        "metadata": {},
        "items": metrics,
    }))
}

/// The first container uses everything.
fn metrics_of(pod: &Value, millicores: u32) -> Value {
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let containers: Vec<Value> = containers
        .enumerate()
        .map(|(number, container)| {
            let cpu = if number == 0 { millicores } else { 0 };
            json!({ "name": container["name"], "usage": { "cpu": format!("{cpu}m"), "memory": "64Mi" } })
        })
        .collect();
    json!({
        "metadata": { "name": pod["metadata"]["name"], "namespace": pod["metadata"]["namespace"] },
        "timestamp": now(),
        "window": "1s",
        "containers": containers,
    })
}

/// The API server asks over TLS only.
struct TlsListener {
    tcp: TcpListener,
    tls: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            if let Ok((stream, address)) = self.tcp.accept().await
                && let Ok(stream) = self.tls.accept(stream).await
            {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}

fn acceptor(identity: &Identity) -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).expect("a certificate in PEM");
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("a key in PEM");
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a key and its certificate");
    TlsAcceptor::from(Arc::new(config))
}
