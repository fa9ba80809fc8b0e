//! Whether this machine can have nodes.

use std::{
    fs,
    io::{self, Write},
    path::Path,
    process::Command,
    thread::sleep,
    time::Duration,
};

pub(crate) struct Machine {
    pub(crate) may_lower_oom_score: bool,
}

/// What nodes run on: `scripts/setup kubernetes` installs it.
const PROGRAMS: &[&str] = &[
    "/bin/busybox",
    "/usr/bin/containerd",
    "/usr/bin/ctr",
    "/usr/sbin/runc",
    "/usr/sbin/ipset",
    "/usr/sbin/iptables",
    "/usr/sbin/nft",
    "/usr/lib/cni/ptp",
];
const CAP_SYS_RESOURCE: u32 = 24;

/// Nothing, after having said why, where this machine cannot have nodes at all.
///
/// # Panics
///
/// Where it could, but a package is missing.
pub(crate) fn look() -> Option<Machine> {
    if let Err(reason) = can_have_nodes() {
        // Unlike `eprintln`, this is seen also where tests are quiet.
        writeln!(
            io::stderr(),
            "\nSKIPPED, nothing was tested: Kubernetes nodes need {reason}\n"
        )
        .ok();
        return None;
    }
    let missing: Vec<_> = PROGRAMS.iter().filter(|program| !Path::new(program).exists()).collect();
    assert!(
        missing.is_empty(),
        "missing: {missing:?}. Run: scripts/setup kubernetes"
    );
    let capabilities = status_line("CapEff:").and_then(|mask| u64::from_str_radix(&mask, 16).ok());
    Some(Machine {
        may_lower_oom_score: capabilities.is_some_and(|mask| mask >> CAP_SYS_RESOURCE & 1 == 1),
    })
}

fn can_have_nodes() -> Result<(), &'static str> {
    if status_line("Uid:").is_none_or(|user| user != "0") {
        return Err("root");
    }
    if !Path::new("/sys/fs/cgroup/memory").exists() {
        return Err("control groups of version 1 (they were not tried with version 2)");
    }
    let unshare = Command::new("unshare")
        .args(["--mount", "--net", "--pid", "--ipc", "--fork", "--mount-proc", "true"])
        .output();
    if !unshare.is_ok_and(|output| output.status.success()) {
        return Err("leave to make namespaces");
    }
    Ok(())
}

/// The first word of a line of what the kernel says about this process.
fn status_line(key: &str) -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.split_whitespace().next()?.to_owned())
}

/// Waits until a process has left this process's network.
pub(crate) fn wait_for_namespace(process: u32) {
    let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/net")).ok();
    while namespace(&process.to_string()) == namespace("self") {
        sleep(Duration::from_millis(5));
    }
}
