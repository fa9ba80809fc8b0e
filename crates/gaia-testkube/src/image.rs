//! Images without a registry, and the one that every node has.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use serde_json::json;
use sha2::{Digest, Sha256};

/// An image that every node has: busybox, with a shell, `httpd` and `nc`. It sleeps unless it is told what to do. Pods
/// name it with `imagePullPolicy: Never`, as every image here: there is no registry.
pub const BUSYBOX: &str = "localhost/busybox:1";

/// Writes it to `busybox.tar`.
pub(crate) fn busybox(folder: &Path) {
    let root = folder.join("busybox");
    let programs = root.join("bin");
    fs::create_dir_all(&programs).expect("a folder can be made");
    fs::create_dir_all(root.join("tmp")).expect("a folder can be made");
    fs::copy("/bin/busybox", programs.join("busybox")).expect("busybox-static is installed");
    let list = Command::new("/bin/busybox")
        .arg("--list")
        .output()
        .expect("busybox runs");
    for name in String::from_utf8_lossy(&list.stdout)
        .lines()
        .filter(|name| *name != "busybox")
    {
        symlink("busybox", programs.join(name)).expect("a link can be made");
    }
    pack_image(BUSYBOX, &root, &["/bin/sleep", "infinity"], &folder.join("busybox.tar"));
}

/// Makes an image of one layer, the files of a folder, and writes it as `docker save` would.
///
/// # Panics
///
/// Where the files cannot be read or written.
pub fn pack_image(reference: &str, root: &Path, command: &[&str], file: &Path) {
    let parts = tempfile::tempdir().expect("a folder can be made");
    let part = |name: &str| parts.path().join(name);
    tar(root, &part("layer.tar"));
    let layer = fs::read(part("layer.tar")).expect("the layer is there");
    let digest: String = Sha256::digest(&layer)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let config = json!({
        "architecture": match std::env::consts::ARCH { "aarch64" => "arm64", _ => "amd64" },
        "os": "linux",
        "config": { "Env": ["PATH=/bin:/usr/bin"], "Cmd": command },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
    });
    let manifest = json!([{ "Config": "config.json", "RepoTags": [reference], "Layers": ["layer.tar"] }]);
    fs::write(part("config.json"), config.to_string()).expect("a file can be written");
    fs::write(part("manifest.json"), manifest.to_string()).expect("a file can be written");
    tar(parts.path(), file);
}

fn tar(folder: &Path, file: &Path) {
    let status = Command::new("tar")
        .args(["--create", "--owner=0", "--group=0", "--directory"])
        .arg(folder)
        .arg("--file")
        .arg(file)
        .arg(".")
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "tar writes {}",
        file.display()
    );
}
