//! etcd, the API server, the controllers and the scheduler.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{sync::OnceCell, task::JoinHandle, time::timeout};

use crate::{
    Api, PodMetrics, eventually,
    paper_nodes::PaperNodes,
    pki::{Identity, Pki},
    programs::{background, free_port, program},
    storage,
    ward::Ward,
};

/// Nothing that a test asks kubectl takes long.
const KUBECTL: Duration = Duration::from_secs(60);

/// Everything of a Kubernetes cluster but its nodes, with the rules of production: RBAC, admission, quotas, service
/// accounts. There is a default `StorageClass`, whose volumes are folders that follow their pods as network disks do.
///
/// Some times are shortened: a node that is silent for 8 s is lost, and its pods move after 3 more; autoscalers look
/// every second and scale down after 3.
pub struct ControlPlane {
    api: Api,
    server: String,
    kubeconfig: PathBuf,
    namespaces: AtomicUsize,
    pub(crate) paper: OnceCell<PaperNodes>,
    metrics: OnceCell<PodMetrics>,
    volumes: JoinHandle<()>,
    pub(crate) pki: Pki,
    pub(crate) ward: Ward,
}

/// Where a control plane is to be found.
pub(crate) struct Place {
    pub(crate) ward: Ward,
    /// Where the API server listens, and the control plane's other parts, which only it talks to, do not.
    pub(crate) address: Ipv4Addr,
    /// The range of the services' addresses. Its first address is the API server's.
    pub(crate) services: String,
    pub(crate) first_service: Ipv4Addr,
}

impl ControlPlane {
    /// One that the tests of this process share. Each makes namespaces of its own there.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    /// One for a test alone.
    ///
    /// # Panics
    ///
    /// Where a part does not start.
    pub async fn start() -> Self {
        Self::start_at(Place {
            ward: Ward::new(),
            address: Ipv4Addr::LOCALHOST,
            services: "10.96.0.0/16".into(),
            first_service: Ipv4Addr::new(10, 96, 0, 1),
        })
        .await
    }

    pub(crate) async fn start_at(place: Place) -> Self {
        let Place { ward, address, .. } = &place;
        let server = format!("https://{address}:{}", free_port());
        let pki = Pki::new(ward.folder().join("pki"));
        let kubeconfig = ward.folder().join("admin.kubeconfig");
        let admin = pki.issue("test-admin", Some("system:masters"), &[]);
        pki.kubeconfig(&kubeconfig, &server, &admin);
        start_parts(&place, &server, &pki);
        let api = Api::new(&server, &pki.authority(), &admin);
        eventually("the API server is ready", async || {
            ward.must_run();
            api.get("/readyz").await.ok()
        })
        .await;
        storage::class(&api).await;
        let volumes = background().spawn(storage::serve(api.clone(), ward.folder().join("volumes")));
        let control_plane = Self {
            server,
            kubeconfig,
            namespaces: AtomicUsize::default(),
            paper: OnceCell::new(),
            metrics: OnceCell::new(),
            volumes,
            pki,
            ward: place.ward,
            api,
        };
        control_plane.has_accounts("default").await;
        control_plane
    }

    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// Its API as an administrator, who may do everything.
    #[must_use]
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// A kubeconfig file of an administrator.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A kubeconfig file of a user who may do what RBAC lets that user and group do: at first next to nothing.
    #[must_use]
    pub fn kubeconfig_of(&self, user: &str, group: Option<&str>) -> PathBuf {
        let path = self
            .ward
            .folder()
            .join(format!("{}.kubeconfig", user.replace(':', "-")));
        self.pki
            .kubeconfig(&path, &self.server, &self.pki.issue(user, group, &[]));
        path
    }

    /// The API as such a user.
    #[must_use]
    pub fn api_of(&self, user: &str, group: Option<&str>) -> Api {
        Api::new(&self.server, &self.pki.authority(), &self.pki.issue(user, group, &[]))
    }

    /// A new namespace whose name begins as wished, ready for pods.
    ///
    /// # Panics
    ///
    /// Where it cannot be made.
    pub async fn namespace(&self, wish: &str) -> String {
        let name = format!("{wish}-{}", self.namespaces.fetch_add(1, Ordering::Relaxed));
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        self.api
            .create("/api/v1/namespaces", &namespace)
            .await
            .expect("a namespace");
        self.has_accounts(&name).await;
        name
    }

    /// Runs kubectl as an administrator: what it wrote, or else what it complained of.
    ///
    /// # Errors
    ///
    /// Where kubectl ends with an error, or not within a minute.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = self.kubectl_command();
        let output = command.args(arguments).kill_on_drop(true).output();
        let output = timeout(KUBECTL, output).await;
        let output = output.map_err(|_| format!("kubectl took over {KUBECTL:?}"))?;
        let output = output.map_err(|error| error.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(text(&output.stderr))
        }
    }

    /// kubectl as an administrator, for what goes on beside a test.
    #[must_use]
    pub fn kubectl_command(&self) -> tokio::process::Command {
        let mut command = tokio::process::Command::from(program("kubectl"));
        command.arg("--kubeconfig").arg(&self.kubeconfig);
        command.arg("--cache-dir").arg(self.ward.folder().join("kubectl"));
        command
    }

    /// Adds nodes that exist on paper only, until there are so many: pods are bound to them, and said to run and to be
    /// ready at once, but nothing runs. A pod that is not to be restarted is said to have succeeded.
    ///
    /// # Panics
    ///
    /// Where the API refuses them.
    pub async fn paper_nodes(&self, count: usize) {
        let start = async || PaperNodes::start(self.api.clone());
        self.paper.get_or_init(start).await.grow_to(&self.api, count).await;
    }

    /// What pods are said to use, for autoscalers.
    ///
    /// # Panics
    ///
    /// Where the API server does not take it as the source of metrics.
    pub async fn pod_metrics(&self) -> &PodMetrics {
        self.metrics
            .get_or_init(async || PodMetrics::start(&self.api, &self.pki).await)
            .await
    }

    /// Pods need the service account that the controllers make.
    async fn has_accounts(&self, namespace: &str) {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/default");
        eventually("there is a service account", async || {
            self.ward.must_run();
            self.api.get(&path).await.ok()
        })
        .await;
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.volumes.abort();
    }
}

fn start_parts(place: &Place, server: &str, pki: &Pki) {
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

impl std::fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Identity(***)")
    }
}

/// The items of a list.
pub(crate) fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list["items"].as_array().into_iter().flatten()
}
