//! A game brought up with the real program, as an operator would.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use gaia_testkit::{Script, ScriptedLlm};
use serde_json::Value;

const GAME: &str = "bench-game";

/// A folder with everything that Gaia keeps, for one measurement. What was brought up in it is destroyed when it is
/// dropped.
pub(crate) struct Home {
    folder: PathBuf,
    games: Mutex<Vec<String>>,
    kubeconfig: Option<PathBuf>,
}

impl Home {
    /// A new one.
    pub(crate) fn new() -> Self {
        Self {
            folder: gaia_testkit::scratch_folder(),
            games: Mutex::default(),
            kubeconfig: None,
        }
    }

    /// What is brought up from now on runs there.
    pub(crate) fn use_kubernetes(&mut self, kubeconfig: PathBuf) {
        self.kubeconfig = Some(kubeconfig);
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Brings a game up and says where players connect.
    pub(crate) async fn up(&self, folder: &Path, game: &str) -> Result<SocketAddr> {
        self.games
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(game.to_owned());
        self.gaia(&["up", folder.to_str().context("the path is no text")?])
            .await?;
        let status: Value = serde_json::from_str(&self.gaia(&["status", game, "--json"]).await?)?;
        let url = status["gateway_url"].as_str().context("no gateway_url in the status")?;
        Ok(url.trim_start_matches("http://").trim_end_matches('/').parse()?)
    }

    /// Runs the program and gives what it prints.
    pub(crate) async fn gaia(&self, arguments: &[&str]) -> Result<String> {
        let output = tokio::process::Command::from(self.command(arguments)).output().await?;
        if !output.status.success() {
            bail!(
                "gaia {}: {}",
                arguments.join(" "),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .args(arguments)
            .env("GAIA_HOME", &self.folder)
            .env("GAIA_MODELS", models());
        if let Some(kubeconfig) = &self.kubeconfig {
            command.env("KUBECONFIG", kubeconfig);
        }
        command
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let games = std::mem::take(&mut *self.games.lock().unwrap_or_else(PoisonError::into_inner));
        for game in games {
            let destroyed = self.command(&["destroy", &game, "--yes"]).output();
            if !destroyed.is_ok_and(|output| output.status.success()) {
                crate::table::say(&format!("`{game}` could not be destroyed cleanly"));
            }
        }
    }
}

/// `gaia`, which lies beside this program.
pub(crate) fn program() -> PathBuf {
    std::env::current_exe()
        .expect("this program has a path")
        .with_file_name("gaia")
}

/// The folder that the tests keep the embedding model in.
pub(crate) fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/models")
}

/// A dedicated cluster whose routes are scripted models.
pub(crate) struct Cluster {
    /// Where players connect.
    pub(crate) gateway: SocketAddr,
    /// What answers its routes, in their order.
    pub(crate) llms: Vec<ScriptedLlm>,
    /// How long `gaia up` took.
    pub(crate) up: Duration,
    home: Home,
}

impl Cluster {
    /// Brings one up whose one model answers so.
    pub(crate) async fn up(script: Script) -> Result<Self> {
        Self::up_with(vec![script], "").await
    }

    /// The same with a model for each script, and with a line more in `ai_configuration`.
    pub(crate) async fn up_with(scripts: Vec<Script>, setting: &str) -> Result<Self> {
        let mut llms = Vec::new();
        for script in scripts {
            llms.push(ScriptedLlm::start_keeping(script, 0).await);
        }
        let home = Home::new();
        let folder = home.folder.join("games").join(GAME);
        fs::create_dir_all(&folder)?;
        let route = |(number, llm): (usize, &ScriptedLlm)| {
            let url = llm.openai_url();
            let price = "price: {input: 1.00, output: 5.00}";
            format!("{{name: scripted_{number}, provider: openai, model: scripted, base_url: \"{url}\", {price}}}")
        };
        let routes: Vec<_> = llms.iter().enumerate().map(route).collect();
        let routes = routes.join(", ");
        // Limits are for players; a benchmark is a crowd behind a few connections.
        let limits = "limits: {requests_per_minute: 10000000, sign_ins_per_minute: 10000000}";
        fs::write(
            folder.join("config.yaml"),
            format!("name: Bench\n{limits}\nai_configuration:\n  routes: [{routes}]\n  {setting}\n"),
        )?;
        let began = Instant::now();
        let gateway = home.up(&folder, GAME).await?;
        Ok(Self {
            gateway,
            llms,
            up: began.elapsed(),
            home,
        })
    }

    /// `gaia status --json`.
    pub(crate) async fn status(&self) -> Result<Value> {
        Ok(serde_json::from_str(
            &self.home.gaia(&["status", GAME, "--json"]).await?,
        )?)
    }

    /// The proportional set sizes of our processes, by name, in KiB.
    pub(crate) async fn memory(&self, is_ours: impl Fn(&str) -> bool) -> Result<Vec<(String, u64)>> {
        let status = self.status().await?;
        let processes = status["processes"].as_array().context("no processes in the status")?;
        let mut memory = Vec::new();
        for process in processes {
            let name = process["name"].as_str().unwrap_or_default();
            if let (true, Some(pid)) = (is_ours(name), process["pid"].as_u64()) {
                memory.push((name.to_owned(), pss(pid)?));
            }
        }
        if let (true, Some(pid)) = (is_ours("supervisor"), status["supervisor"]["pid"].as_u64()) {
            memory.push(("supervisor".to_owned(), pss(pid)?));
        }
        Ok(memory)
    }
}

/// The proportional set size of a process, in KiB.
pub(crate) fn pss(pid: u64) -> Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Pss:"))
        .context("no Pss in smaps_rollup")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
