//! A cluster to look around in, with images from archives of `docker save` on its nodes, until Ctrl-C:
//! `cargo run --release -p gaia-testkube --example cluster -- gaia.tar postgres.tar`.

use std::path::Path;

use gaia_testkube::Cluster;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "it is for a person")]
async fn main() {
    let Some(cluster) = Cluster::start(2).await else { return };
    for image in std::env::args().skip(1) {
        cluster.load_image(Path::new(&image)).await;
    }
    let kubeconfig = cluster.control_plane.kubeconfig().display();
    println!("export KUBECONFIG={kubeconfig}");
    tokio::signal::ctrl_c().await.expect("signals can be awaited");
}
