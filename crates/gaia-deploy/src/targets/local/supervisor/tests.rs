//! The supervisor on real processes: shell scripts in the place of services.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::sleep};

use super::{
    control::{Question, ask},
    report::{ProcessReport, ProcessState, Report},
    supervise,
};
use crate::{
    ClusterFolder, DeployError, Home,
    targets::local::{
        background::in_background,
        destroying, files,
        processes::{Ending, Kind, ProcessId, ProcessSpec},
        running::write_desired,
    },
};

/// A cluster's folder with a script in it that stands for `gaia`.
struct Fixture {
    folder: ClusterFolder,
    script: PathBuf,
    home: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let folder = Home::at(home.path()).unwrap().cluster(&"kos".parse().unwrap());
        for path in [folder.logs(), folder.run()] {
            files::make_folder(&path, 0o700, None).unwrap();
        }
        let script = home.path().join("script");
        // It says when it starts and ends, dies at once if a file says so, and otherwise waits.
        let text = "#!/bin/sh\nname=$2\necho \"start $name\" >>../../order\n\
                    trap 'echo \"end $name\" >>../../order; exit 0' TERM INT\n\
                    if test -e ../../die-$name; then exit 3; fi\n\
                    if test -e ../../deaf-$name; then trap '' TERM; fi\n\
                    while :; do sleep 0.02; done\n";
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder, script, home }
    }

    fn spec(&self, name: &str, kind: Kind) -> ProcessSpec {
        let folder = self.folder.run().join(name);
        files::make_folder(&folder, 0o700, None).unwrap();
        let settings = self.folder.settings(name).display().to_string();
        ProcessSpec {
            name: name.to_owned(),
            kind,
            program: self.script.clone(),
            args: vec!["serve".to_owned(), name.to_owned(), "--settings".to_owned(), settings],
            folder,
            user: None,
            ending: Ending::Term,
            grace_ms: 300,
            revision: "1".to_owned(),
        }
    }

    fn start(&self) -> JoinHandle<Result<(), DeployError>> {
        let folder = self.folder.path().to_owned();
        in_background(async move { supervise(&folder, || ()).await })
    }

    async fn report(&self) -> Option<Report> {
        ask(&self.folder, "tell", &Question::Status).await.ok()?.report
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Report) -> bool) -> Report {
        let limit = Instant::now() + Duration::from_secs(20);
        loop {
            let report = self.report().await;
            match report {
                Some(report) if is_so(&report) => return report,
                report => assert!(Instant::now() < limit, "never: {what}: {report:?}"),
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    fn order(&self) -> String {
        fs::read_to_string(self.folder.path().join("order")).unwrap_or_default()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let running = crate::targets::local::processes::running_in(self.home.path());
        for process in running {
            process.id.signal(Signal::KILL).unwrap();
        }
    }
}

fn runs(report: &Report, name: &str) -> bool {
    report
        .processes
        .get(name)
        .is_some_and(|process| process.state == ProcessState::Running)
}

fn of<'a>(report: &'a Report, name: &str) -> &'a ProcessReport {
    &report.processes[name]
}

#[tokio::test]
async fn what_dies_is_started_again_with_growing_pauses() {
    let fixture = Fixture::new();
    write_desired(&fixture.folder, &[fixture.spec("chat-1", Kind::Service)]).unwrap();
    fixture.start();
    let report = fixture.until("chat-1 runs", |report| runs(report, "chat-1")).await;
    let first = of(&report, "chat-1").id.unwrap();
    first.signal(Signal::KILL).unwrap();
    let report = fixture
        .until("it runs again", |report| {
            of(report, "chat-1").restarts == 1 && runs(report, "chat-1")
        })
        .await;
    assert_ne!(of(&report, "chat-1").id, Some(first));
    assert_eq!(of(&report, "chat-1").last_exit.as_deref(), Some("signal 9"));

    fs::write(fixture.folder.path().join("die-chat-1"), "").unwrap();
    let begun = Instant::now();
    of(&report, "chat-1").id.unwrap().signal(Signal::KILL).unwrap();
    fixture
        .until("it has died four times more", |report| {
            of(report, "chat-1").restarts >= 6
        })
        .await;
    // 200, 400, 800 and 1,600 ms lie between the deaths, the first of which was ours.
    assert!(
        begun.elapsed() > Duration::from_millis(2_900),
        "the pauses were {:?} in all",
        begun.elapsed()
    );
    assert_eq!(
        of(&fixture.report().await.unwrap(), "chat-1").last_exit.as_deref(),
        Some("exit 3")
    );
}

#[tokio::test]
async fn a_supervisor_that_was_killed_is_followed_by_one_that_adopts_what_runs() {
    let fixture = Fixture::new();
    write_desired(
        &fixture.folder,
        &[
            fixture.spec("chat-1", Kind::Service),
            fixture.spec("auth-1", Kind::Service),
        ],
    )
    .unwrap();
    let supervisor = fixture.start();
    let before = fixture
        .until("both run", |report| runs(report, "chat-1") && runs(report, "auth-1"))
        .await;
    // Dropping it in the middle of what it does is what a kill amounts to: nothing is closed, said or stopped.
    supervisor.abort();
    assert!(supervisor.await.unwrap_err().is_cancelled());
    // What it had said is lost for one of them, as if it had been killed between the start and the note.
    let mut report: Report = files::read_json(&fixture.folder.observed(), "x").unwrap().unwrap();
    report.processes.remove("auth-1");
    files::write_json(&fixture.folder.observed(), &report, 0o600).unwrap();

    fixture.start();
    let after = fixture
        .until("both are known", |report| report.processes.len() == 2)
        .await;
    for name in ["chat-1", "auth-1"] {
        assert_eq!(of(&after, name).id, of(&before, name).id, "{name} was not adopted");
    }
    assert_eq!(fixture.order().matches("start").count(), 2, "{}", fixture.order());
    of(&after, "chat-1").id.unwrap().signal(Signal::KILL).unwrap();
    fixture
        .until("the adopted one is started again", |report| {
            of(report, "chat-1").restarts == 1
        })
        .await;
}

#[tokio::test]
async fn services_end_before_stores_and_what_is_deaf_is_killed() {
    let fixture = Fixture::new();
    let specs = [
        fixture.spec("redis", Kind::Store),
        fixture.spec("chat-1", Kind::Service),
        fixture.spec("deaf", Kind::Service),
    ];
    write_desired(&fixture.folder, &specs).unwrap();
    fs::write(fixture.folder.path().join("deaf-deaf"), "").unwrap();
    let supervisor = fixture.start();
    let report = fixture
        .until("all run", |report| specs.iter().all(|spec| runs(report, &spec.name)))
        .await;
    let limit = Instant::now() + Duration::from_secs(10);
    while fixture.order().matches("start").count() < 3 {
        assert!(Instant::now() < limit, "{}", fixture.order());
        sleep(Duration::from_millis(10)).await;
    }
    ask(&fixture.folder, "stop", &Question::Stop).await.unwrap();
    supervisor.await.unwrap().unwrap();
    let order = fixture.order();
    let ends: Vec<&str> = order.lines().filter(|line| line.starts_with("end")).collect();
    assert_eq!(ends, ["end chat-1", "end redis"], "{order}");
    for spec in &specs {
        assert!(
            !of(&report, &spec.name).id.unwrap().is_alive(),
            "{} still runs",
            spec.name
        );
    }
    assert!(!fixture.folder.control().exists());
}

#[tokio::test]
async fn another_revision_restarts_and_a_missing_spec_stops() {
    let fixture = Fixture::new();
    let (chat, auth) = (
        fixture.spec("chat-1", Kind::Service),
        fixture.spec("auth-1", Kind::Service),
    );
    write_desired(&fixture.folder, &[chat.clone(), auth]).unwrap();
    fixture.start();
    let before = fixture
        .until("both run", |report| runs(report, "chat-1") && runs(report, "auth-1"))
        .await;
    write_desired(
        &fixture.folder,
        &[ProcessSpec {
            revision: "2".to_owned(),
            ..chat
        }],
    )
    .unwrap();
    ask(&fixture.folder, "reload", &Question::Reload).await.unwrap();
    let is_done =
        |report: &Report| report.processes.len() == 1 && of(report, "chat-1").revision == "2" && runs(report, "chat-1");
    let after = fixture.until("only the new one runs", is_done).await;
    assert_ne!(of(&after, "chat-1").id, of(&before, "chat-1").id);
    assert_eq!(of(&after, "chat-1").restarts, 0, "what was asked for is no death");
    assert!(!of(&before, "auth-1").id.unwrap().is_alive());
    ask(&fixture.folder, "reload", &Question::Reload).await.unwrap();
    assert_eq!(
        of(&fixture.report().await.unwrap(), "chat-1").id,
        of(&after, "chat-1").id
    );
    let refused = ask(
        &fixture.folder,
        "restart",
        &Question::Restart {
            process: "nobody".to_owned(),
        },
    )
    .await;
    assert!(refused.unwrap_err().to_string().contains("nobody"));
}

#[tokio::test]
async fn there_is_one_supervisor_and_garbage_on_its_socket_does_it_no_harm() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let fixture = Fixture::new();
    write_desired(&fixture.folder, &[]).unwrap();
    fixture.start();
    fixture.until("it answers", |_| true).await;
    let second = supervise(fixture.folder.path(), || ()).await;
    assert!(second.unwrap_err().to_string().contains("another supervisor"));
    for garbage in [
        b"{\n".to_vec(),
        vec![b'x'; 400 << 10],
        b"{\"do\":\"everything\"}\n".to_vec(),
    ] {
        let mut stream = tokio::net::UnixStream::connect(fixture.folder.control()).await.unwrap();
        // It may close before it has read all.
        let _ = stream.write_all(&garbage).await;
        let _ = stream.shutdown().await;
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        assert!(answer.is_empty() || answer.contains("not a question"), "{answer}");
    }
    assert!(fixture.report().await.is_some());
}

#[tokio::test]
async fn destroying_ends_what_nobody_watches_and_spares_a_shell_that_is_not_ours() {
    let fixture = Fixture::new();
    let spec = fixture.spec("chat-1", Kind::Service);
    let mut child = spec.spawn(&fixture.folder.log("chat-1")).unwrap();
    let id = ProcessId::of(child.id()).unwrap();
    let mut shell = std::process::Command::new("sleep")
        .arg("60")
        .current_dir(fixture.folder.run())
        .spawn()
        .unwrap();
    let waited = std::thread::spawn(move || child.wait());
    destroying::stop_all(&fixture.folder).await.unwrap();
    assert!(!id.is_alive());
    waited.join().unwrap().unwrap();
    destroying::remove(&fixture.folder).unwrap();
    destroying::prove(&fixture.folder).unwrap();
    assert!(shell.try_wait().unwrap().is_none(), "the shell was ended");
    shell.kill().unwrap();
    shell.wait().unwrap();
}
