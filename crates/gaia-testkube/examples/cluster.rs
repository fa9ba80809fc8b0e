//! A cluster to look around in: `cargo run --release -p gaia-testkube --example cluster`, until Ctrl-C.

use gaia_testkube::Cluster;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "it is for a person")]
async fn main() {
    let Some(cluster) = Cluster::start(2).await else { return };
    let kubeconfig = cluster.control_plane.kubeconfig().display();
    println!("export KUBECONFIG={kubeconfig}");
    tokio::signal::ctrl_c().await.expect("signals can be awaited");
}
