//! `gaia doctor`: what this machine lacks, and the command that brings it.

use clap::Args;
use gaia_deploy::{Finding, FindingState, Home};
use gaia_inference::models::EMBEDDING_MODEL;
use gaia_names::Target;
use serde_json::json;

use crate::{
    characters::missing_model,
    commands::{HomeArgument, JsonArgument},
    environment,
    failure::Outcome,
    output::{Ink, Output, Paint},
};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    home: HomeArgument,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let output = Output::new(arguments.json.json);
    let home = environment::home(&arguments.home)?;
    let findings = match home.asked_target() {
        Some(target @ (Target::Compose | Target::Kubernetes)) => gaia_deploy::doctor_of_target(&home, target).await,
        Some(Target::Local) | None => this_machine(&home),
    };
    let is_fit = findings.iter().all(|finding| finding.state != FindingState::Missing);
    output.document(&json!({ "is_fit": is_fit, "findings": findings }));
    tell(output, &findings, is_fit);
    Ok(if is_fit { Outcome::Done } else { Outcome::Failed })
}

/// What games need that run as processes here.
fn this_machine(home: &Home) -> Vec<Finding> {
    let mut findings = gaia_deploy::doctor(home);
    let models = environment::models(home);
    findings.push(match missing_model(&models) {
        None => finding(
            FindingState::Good,
            format!("{EMBEDDING_MODEL} in {}", models.display()),
            None,
        ),
        Some(missing) => finding(
            FindingState::Poor,
            format!("characters answer from their barks only: {missing}"),
            Some(format!("gaia model pull {EMBEDDING_MODEL}")),
        ),
    });
    findings
}

fn finding(state: FindingState, found: String, fix: Option<String>) -> Finding {
    Finding {
        what: "model".to_owned(),
        state,
        found,
        fix,
    }
}

fn tell(output: Output, findings: &[Finding], is_fit: bool) {
    let paint = Paint::stdout();
    let width = findings.iter().map(|finding| finding.what.len()).max().unwrap_or(0);
    for finding in findings {
        let state = match finding.state {
            FindingState::Good => paint.ink(Ink::Green, "good   "),
            FindingState::Poor => paint.ink(Ink::Yellow, "poor   "),
            FindingState::Missing => paint.ink(Ink::Red, "missing"),
        };
        output.say(format_args!("{state}  {:width$}  {}", finding.what, finding.found));
        if let Some(fix) = &finding.fix {
            output.say(format_args!(
                "         {:width$}  {} {fix}",
                "",
                paint.ink(Ink::Bold, "type:")
            ));
        }
    }
    let end = if is_fit {
        "Games can run here. Next: `gaia up games/<game>`"
    } else {
        "Games cannot run here yet."
    };
    output.say(format_args!("\n{end}"));
}
