//! What is left when a cluster ends: nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use gaia_testkube::{Cluster, ControlPlane, eventually};

/// What is left of the cluster that had a folder: processes, control groups, interfaces, mounts.
fn left_of(folder: &Path) -> Vec<String> {
    let entries = |path: &str| {
        fs::read_dir(path)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
    };
    let processes = entries("/proc").filter(|process| {
        let reads = |path: PathBuf| path.starts_with(folder);
        fs::read_link(process.join("cwd")).is_ok_and(reads)
    });
    let name = folder.file_name().unwrap();
    let groups = entries("/sys/fs/cgroup").map(|controller| controller.join(name));
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mounts = mounts.lines().filter(|line| line.contains(folder.to_str().unwrap()));
    processes
        .chain(groups.filter(|group| group.exists()))
        .chain(folder.exists().then(|| folder.to_owned()))
        .map(|path| path.display().to_string())
        .chain(mounts.map(ToOwned::to_owned))
        .collect()
}

#[tokio::test]
async fn a_control_plane_that_is_dropped_leaves_nothing() {
    let control_plane = ControlPlane::start().await;
    let folder = control_plane.kubeconfig().parent().unwrap().to_owned();
    // Four programs and the folder.
    assert_eq!(left_of(&folder).len(), 5);
    drop(control_plane);
    assert_eq!(left_of(&folder), Vec::<String>::new());
}

/// Names the file in which a test process that is to be killed says what its cluster is.
const TO_BE_KILLED: &str = "GAIA_TESTKUBE_TO_BE_KILLED";

#[tokio::test]
async fn a_test_process_that_is_killed_leaves_nothing_of_its_nodes() {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is a test's own switch, read nowhere else"
    )]
    if let Ok(file) = std::env::var(TO_BE_KILLED) {
        let cluster = Cluster::start(1).await.unwrap();
        let folder = cluster.control_plane.kubeconfig().parent().unwrap().to_owned();
        let interface = format!("{} {}", folder.display(), cluster.host_address());
        fs::write(file, interface).unwrap();
        std::future::pending::<()>().await;
    }
    if !Cluster::is_possible() {
        return;
    }
    let said = tempfile::NamedTempFile::new().unwrap();
    let mut doomed = Command::new(std::env::current_exe().unwrap())
        .arg("a_test_process_that_is_killed_leaves_nothing_of_its_nodes")
        .env(TO_BE_KILLED, said.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let (folder, address) = eventually("its cluster has started", async || {
        let said = fs::read_to_string(said.path()).unwrap();
        let (folder, address) = said.split_once(' ')?;
        Some((PathBuf::from(folder), address.to_owned()))
    })
    .await;
    assert_ne!(left_of(&folder), Vec::<String>::new());
    doomed.kill().unwrap();
    doomed.wait().unwrap();
    eventually("nothing is left", async || left_of(&folder).is_empty().then_some(())).await;
    eventually("its network is gone", async || {
        let addresses = Command::new("ip").args(["address", "show"]).output().unwrap();
        let addresses = String::from_utf8(addresses.stdout).unwrap();
        (!addresses.contains(&format!("inet {address}/"))).then_some(())
    })
    .await;
}
