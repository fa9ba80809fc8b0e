//! What keeps a tool server's program from what it was not given, as far as this machine can.
//!
//! Bubblewrap comes first: the program sees only its own files, has its own processes and, unless it may use it, no
//! network. Without Bubblewrap, Landlock keeps it to its files, and namespaces of its own (by `unshare`) keep it from
//! the network; where those are forbidden, as in most containers, Landlock refuses TCP and nothing refuses UDP. On a
//! machine with neither, only the clean environment and the process group are left, and the status says so.

use std::{
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use landlock::{
    ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, Scope, path_beneath_rules,
};
use tokio::{process::Command, sync::OnceCell, time::timeout};

use crate::launch::{self, Launch};

/// Where programs are found by their name, here and by the servers themselves.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What programs need of the system to run at all. Nothing here is of a game or of a person.
const SYSTEM: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/gai.conf",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl",
    "/etc/timezone",
];
const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// The newest rules that are known here; an older kernel keeps those that it knows.
const RULES: ABI = ABI::V6;
/// How long the machine is asked what it can do.
const PATIENCE: Duration = Duration::from_secs(5);

/// What this machine can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sandbox {
    /// Bubblewrap.
    Bubblewrap,
    /// Landlock, and namespaces if they may be had.
    Landlock { has_namespaces: bool },
    /// Nothing.
    None,
}

/// What holds for one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confinement {
    pub(crate) sandbox: Sandbox,
    pub(crate) may_use_network: bool,
}

impl fmt::Display for Confinement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let network = match (self.may_use_network, self.sandbox) {
            (true, _) => "the network as the config allows",
            (false, Sandbox::Bubblewrap | Sandbox::Landlock { has_namespaces: true }) => "no network",
            (false, Sandbox::Landlock { has_namespaces: false }) => "no TCP, but UDP is not kept from it",
            (false, Sandbox::None) => "nothing keeps it from the network",
        };
        match self.sandbox {
            Sandbox::Bubblewrap => write!(f, "only its own files (bubblewrap), {network}"),
            Sandbox::Landlock { .. } => write!(f, "only its own files (Landlock), {network}"),
            Sandbox::None => write!(f, "nothing keeps it from this machine's files, {network}"),
        }
    }
}

/// What this machine can do, found out once by trying.
pub(crate) async fn of_this_machine(scratch: &Path) -> Sandbox {
    static FOUND: OnceCell<Sandbox> = OnceCell::const_new();
    *FOUND.get_or_init(|| find(scratch)).await
}

async fn find(scratch: &Path) -> Sandbox {
    let candidates = [
        Sandbox::Bubblewrap,
        Sandbox::Landlock { has_namespaces: true },
        Sandbox::Landlock { has_namespaces: false },
    ];
    for candidate in candidates {
        if works(candidate, scratch).await {
            return candidate;
        }
    }
    tracing::warn!("this machine has neither bubblewrap nor Landlock: tool servers run without a sandbox");
    Sandbox::None
}

async fn works(sandbox: Sandbox, scratch: &Path) -> bool {
    if sandbox != Sandbox::Bubblewrap && !knows_landlock() {
        return false;
    }
    let launch = Launch {
        name: "sandbox".to_owned(),
        program: PathBuf::from("/bin/true"),
        arguments: Vec::new(),
        environment: Vec::new(),
        files: Vec::new(),
        has_network: false,
        home: scratch.to_owned(),
    };
    let Ok(mut running) = launch::start(launch, sandbox).await else {
        return false;
    };
    let ended = timeout(PATIENCE, running.child.wait()).await;
    ended.is_ok_and(|status| status.is_ok_and(|status| status.success()))
}

fn knows_landlock() -> bool {
    use landlock::{CompatLevel, Compatible};
    let rules = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    rules
        .handle_access(AccessFs::from_all(ABI::V1))
        .and_then(Ruleset::create)
        .is_ok()
}

impl Sandbox {
    /// The command that starts the program inside.
    pub(crate) fn command(self, launch: &Launch) -> Command {
        let mut words: Vec<OsString> = match self {
            Self::Bubblewrap => bubblewrap(launch),
            Self::Landlock { has_namespaces } => unshare(has_namespaces && !launch.has_network),
            Self::None => Vec::new(),
        };
        words.push(launch.program.clone().into());
        words.extend(launch.arguments.iter().map(OsString::from));
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", &launch.home)
            .env("TMPDIR", &launch.home)
            .env("LANG", "C.UTF-8")
            .envs(launch.environment.iter().map(|(name, value)| (name, value.expose())))
            .current_dir(&launch.home)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Binds the calling thread, and what it starts, to the launch's files. Only Landlock works like this.
    pub(crate) fn bind_thread(self, launch: &Launch) -> Result<(), RulesetError> {
        let Self::Landlock { has_namespaces } = self else {
            return Ok(());
        };
        let mut rules = Ruleset::default().handle_access(AccessFs::from_all(RULES))?;
        if !launch.has_network {
            rules = rules.handle_access(AccessNet::from_all(RULES))?;
        }
        let given = launch.files.iter().chain([&launch.program]);
        let read = AccessFs::from_read(RULES);
        let mut rules = rules
            .scope(Scope::from_all(RULES))?
            .create()?
            .add_rules(path_beneath_rules(SYSTEM, read))?
            .add_rules(path_beneath_rules(["/proc"], read))?
            .add_rules(path_beneath_rules(given, read))?
            .add_rules(path_beneath_rules(DEVICES, read | AccessFs::WriteFile))?
            .add_rules(path_beneath_rules([&launch.home], AccessFs::from_all(RULES)))?;
        if has_namespaces && !is_root() {
            // Whoever makes a user namespace writes its maps there. Nothing else of /proc is an ordinary user's.
            rules = rules.add_rules(path_beneath_rules(["/proc"], read | AccessFs::WriteFile))?;
        }
        rules.restrict_self().map(drop)
    }
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn bubblewrap(launch: &Launch) -> Vec<OsString> {
    let mut words: Vec<OsString> = [
        "bwrap",
        "--unshare-ipc",
        "--unshare-pid",
        "--unshare-uts",
        "--die-with-parent",
    ]
    .map(OsString::from)
    .to_vec();
    if !launch.has_network {
        words.push("--unshare-net".into());
    }
    let three = |option: &str, path: &Path| [option.into(), path.into(), path.into()];
    words.extend(
        [
            "--cap-drop",
            "ALL",
            "--proc",
            "/proc",
            "--dev",
            "/dev",
            "--tmpfs",
            "/tmp",
        ]
        .map(OsString::from),
    );
    for path in SYSTEM {
        words.extend::<[OsString; 3]>(three("--ro-bind-try", Path::new(path)));
    }
    for path in launch.files.iter().chain([&launch.program]) {
        words.extend::<[OsString; 3]>(three("--ro-bind", path));
    }
    words.extend::<[OsString; 3]>(three("--bind", &launch.home));
    words.extend(["--chdir".into(), launch.home.clone().into(), "--".into()]);
    words
}

/// Namespaces without network and other processes, and without root's powers. The first word ends it all when the
/// thread that started it is gone.
fn unshare(is_apart: bool) -> Vec<OsString> {
    let mut words = vec!["setpriv", "--pdeathsig", "KILL", "--no-new-privs", "--"];
    if is_apart {
        words.extend(["unshare", "--net", "--pid", "--fork", "--kill-child=KILL"]);
        if !is_root() {
            words.extend(["--user", "--map-current-user"]);
        }
        words.push("--");
    }
    if is_root() {
        words.extend(["setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--"]);
    }
    words.into_iter().map(OsString::from).collect()
}
