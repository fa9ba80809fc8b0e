//! `gaia logs`: what a game's processes wrote.

mod tail;

use std::{collections::BTreeMap, io, path::Path, time::Duration};

use clap::Args;
use gaia_deploy::{ClusterFolder, DeployError, Home};
use gaia_names::{ClusterName, Target};
use serde_json::json;

use self::tail::{Tail, last_lines};
use crate::{
    commands::{HomeArgument, JsonArgument},
    environment,
    failure::{Failure, Outcome},
    output::{self, Ink, Output, Paint, plain},
};

/// How often a followed log is looked at.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The game, or a cluster that several share
    game: String,
    /// A service (chat), one of its instances (chat-1), a store (postgres) or the supervisor [default: all]
    process: Option<String>,
    /// Show what is written from now on, too, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// How many lines of each process to show
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    lines: usize,
    #[command(flatten)]
    home: HomeArgument,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    if arguments.follow && arguments.json.json {
        let help = "leave one of them out; each line of a service's log is JSON already";
        return Err(Failure::new("--follow never ends and --json is one document")
            .bad_input()
            .help(help)
            .into());
    }
    let home = environment::home(&arguments.home)?;
    let cluster = super::cluster_named(&home, &arguments.game).await?;
    let folder = home.cluster(&cluster);
    match home.target_of(&cluster)? {
        Target::Local => {}
        Target::Compose | Target::Kubernetes => return of_containers(&home, &cluster, arguments).await,
    }
    let processes = processes(&folder, arguments.process.as_deref())?;
    if arguments.json.json {
        return document(&folder, &processes, arguments.lines);
    }
    match show(&folder, &processes, arguments).await {
        // Nobody reads any more, which is how `gaia logs | head` ends.
        Err(fault) if fault.kind() == io::ErrorKind::BrokenPipe => Ok(Outcome::Done),
        shown => Ok(shown.map(|()| Outcome::Done)?),
    }
}

/// What containers wrote, as their engine keeps it.
async fn of_containers(home: &Home, cluster: &ClusterName, arguments: &Arguments) -> anyhow::Result<Outcome> {
    let process = arguments.process.as_deref();
    let logs = gaia_deploy::container_logs(home, cluster, process, arguments.lines, arguments.follow);
    let mut logs = logs.await?;
    if arguments.json.json {
        let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
        while let Some((process, line)) = logs.next().await? {
            all.entry(process).or_default().push(line);
        }
        let all: Vec<_> = all
            .iter()
            .map(|(process, lines)| json!({ "process": process, "lines": lines }))
            .collect();
        Output::new(true).document(&json!({ "cluster": cluster, "logs": all }));
        return Ok(Outcome::Done);
    }
    let paint = Paint::stdout();
    while let Some((process, line)) = logs.next().await? {
        let line = format!(
            "{} {}\n",
            paint.ink(Ink::Dim, &format!("{process:<10} |")),
            plain(&line)
        );
        match output::put(&line) {
            Err(fault) if fault.kind() == io::ErrorKind::BrokenPipe => break,
            put => put?,
        }
    }
    Ok(Outcome::Done)
}

/// The processes of a cluster that have a log and are meant, by name.
fn processes(folder: &ClusterFolder, asked: Option<&str>) -> anyhow::Result<Vec<String>> {
    let name_of = |path: &Path| Some(path.file_name()?.to_str()?.strip_suffix(".log")?.to_owned());
    let entries = match std::fs::read_dir(folder.logs()) {
        Ok(entries) => entries.filter_map(|entry| name_of(&entry.ok()?.path())).collect(),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(source) => {
            return Err(DeployError::File {
                doing: "read",
                path: folder.logs(),
                source,
            }
            .into());
        }
    };
    let mut known: Vec<String> = entries;
    known.sort();
    let Some(asked) = asked else { return Ok(known) };
    let is_instance = |name: &str| {
        let number = name.strip_prefix(asked).and_then(|rest| rest.strip_prefix('-'));
        number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let meant: Vec<_> = known
        .iter()
        .filter(|name| *name == asked || is_instance(name))
        .cloned()
        .collect();
    if meant.is_empty() {
        let what = format!("cluster `{}` has no log of `{}`", folder.name(), plain(asked));
        return Err(Failure::new(what)
            .bad_input()
            .help(format!("there is one of: {}", known.join(", ")))
            .into());
    }
    Ok(meant)
}

fn document(folder: &ClusterFolder, processes: &[String], lines: usize) -> anyhow::Result<Outcome> {
    let mut logs = Vec::new();
    for process in processes {
        let file = folder.log(process);
        let (lines, _) = last_lines(&file, lines)?;
        logs.push(json!({ "process": process, "file": file, "lines": lines }));
    }
    Output::new(true).document(&json!({ "cluster": folder.name(), "logs": logs }));
    Ok(Outcome::Done)
}

async fn show(folder: &ClusterFolder, processes: &[String], arguments: &Arguments) -> io::Result<()> {
    let paint = Paint::stdout();
    let width = if processes.len() > 1 {
        processes.iter().map(String::len).max().unwrap_or(0)
    } else {
        0
    };
    let put = |process: &str, line: &str| {
        if width == 0 {
            return output::put(&format!("{}\n", plain(line)));
        }
        output::put(&format!(
            "{} {}\n",
            paint.ink(Ink::Dim, &format!("{process:<width$} |")),
            plain(line)
        ))
    };
    let mut tails = Vec::new();
    for process in processes {
        let file = folder.log(process);
        let (lines, end) = last_lines(&file, arguments.lines)?;
        for line in lines {
            put(process, &line)?;
        }
        tails.push((process, Tail::from(file, end)));
    }
    if !arguments.follow {
        return Ok(());
    }
    loop {
        tokio::time::sleep(LOOK).await;
        for (process, tail) in &mut tails {
            for line in tail.new_lines()? {
                put(process, &line)?;
            }
        }
    }
}
