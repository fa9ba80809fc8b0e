//! A fuzzer that knows nothing of Gaia but its OpenAPI document finds no broken answer.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use gaia_testkit::Visitor;

use crate::journey::Journey;

const VERSION: &str = "4.32.5";

/// What ends the session that the fuzzer was given, or its player; these are tried last, with a session of their own.
const ENDS_THE_SESSION: &str = "^/v1/(players/me|sessions)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_generic_fuzzer_finds_no_broken_and_no_undocumented_answer() {
    let journey = Journey::begin();
    let limits = "name: Night Train\nlimits: {requests_per_minute: 1000000, sign_ins_per_minute: 1000000}\n";
    journey.gaia.write("games/night-train/config.yaml", limits);
    journey.gaia.run(&["up", "games/night-train"]).exits(0);
    let gateway = journey.status("night-train")["gateway_url"]
        .as_str()
        .unwrap()
        .trim_end_matches('/')
        .to_owned();
    let program = schemathesis();
    for (choice, phases) in [
        ("--exclude-path-regex", "examples,coverage,fuzzing,stateful"),
        ("--include-path-regex", "coverage,fuzzing"),
    ] {
        let visitor = Visitor::enter(&gateway).await;
        visitor.start_conversation("guide").await;
        let token = visitor.access_token.unwrap();
        let output = Command::new("python3")
            .arg(program.join("bin/schemathesis"))
            .args(["run", &format!("{gateway}/openapi.json")])
            .args([
                "--checks",
                "not_a_server_error,status_code_conformance,content_type_conformance",
            ])
            .args([
                "--checks",
                "response_schema_conformance,response_headers_conformance,unsupported_method",
            ])
            .args(["--header", &format!("Authorization: Bearer {token}")])
            .args([choice, ENDS_THE_SESSION])
            .args([
                "--phases",
                phases,
                "--max-examples",
                "20",
                "--request-timeout",
                "30",
                "--workers",
                "1",
                "--no-color",
            ])
            .env("PYTHONPATH", &program)
            .current_dir(journey.gaia.work())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{told}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(told.contains("passed"), "the fuzzer tried nothing: {told}");
    }
    tokio::task::spawn_blocking(move || journey.gaia.run(&["destroy", "night-train", "--yes"]).exits(0))
        .await
        .unwrap();
}

/// The fuzzer, installed once into the folder of what is built.
fn schemathesis() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("schemathesis-{VERSION}"));
    if folder.exists() {
        return folder;
    }
    let unfinished = folder.with_extension("unfinished");
    let output = Command::new("python3")
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--upgrade",
        ])
        .args([
            "--target",
            unfinished.to_str().unwrap(),
            &format!("schemathesis=={VERSION}"),
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::rename(&unfinished, &folder).unwrap();
    folder
}
