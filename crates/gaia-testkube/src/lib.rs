//! A real Kubernetes for tests: its control plane on loopback, and nodes that are real or only on paper.
//!
//! [`ControlPlane`] is etcd, the API server, the controllers and the scheduler. Nothing runs in it, yet everything is
//! decided as in production: what is valid, who may do what, which objects follow from which. [`ControlPlane::paper_nodes`]
//! adds nodes on which pods are said to run, and [`ControlPlane::pod_metrics`] says what they use.
//!
//! [`Cluster`] adds nodes that run pods: containerd, kubelet and kube-proxy, each node in namespaces of its own.
//!
//! Each test owns its namespaces. Nothing is left when the test process ends, however it ends. With
//! `GAIA_TESTKUBE_LOGS=<folder>` in the environment, what the programs wrote is kept there.

mod api;
mod cluster;
mod control_plane;
mod dns;
mod image;
mod machine;
mod network;
mod paper_nodes;
mod pki;
mod pod_metrics;
mod policies;
mod programs;
mod storage;
mod wait;
mod ward;

pub use api::{Api, Refusal};
pub use cluster::Cluster;
pub use control_plane::ControlPlane;
pub use image::{BUSYBOX, pack_image};
pub use pod_metrics::PodMetrics;
pub use programs::extra_definitions;
pub use wait::{eventually, eventually_within};
