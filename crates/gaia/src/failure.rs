//! What a failed command tells: what failed, why, what to type next, and with which code it exits.

use std::{error::Error, fmt, process::ExitCode};

use gaia_deploy::DeployError;
use serde::Serialize;

use crate::play::ApiFault;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing to do, or done.
    Done,
    /// It failed.
    Failed,
    /// `gaia plan`: there is something to do.
    ChangesPending,
    /// What was given cannot be used.
    BadInput,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(match outcome {
            Outcome::Done => 0,
            Outcome::Failed => 1,
            Outcome::ChangesPending => 2,
            Outcome::BadInput => 64,
        })
    }
}

/// A failure with what to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    what: String,
    help: Option<String>,
    outcome: Outcome,
    cause: Option<anyhow::Error>,
}

impl Failure {
    /// Something failed.
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            help: None,
            outcome: Outcome::Failed,
            cause: None,
        }
    }

    /// What to type next.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// It failed because of what was given: trying again will not help.
    pub(crate) fn bad_input(mut self) -> Self {
        self.outcome = Outcome::BadInput;
        self
    }

    /// Why it failed.
    pub(crate) fn because(mut self, cause: impl Into<anyhow::Error>) -> Self {
        self.cause = Some(cause.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_ref().map(AsRef::as_ref)
    }
}

/// A failure as it is told.
#[derive(Debug, Serialize)]
pub(crate) struct Told {
    /// What failed.
    pub(crate) error: String,
    /// Why, the nearest cause first.
    pub(crate) causes: Vec<String>,
    /// What to do.
    pub(crate) help: Option<String>,
    /// With which code the program exits.
    #[serde(skip)]
    pub(crate) outcome: Outcome,
}

impl Told {
    /// What is to be told of an error.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        let mut texts = error.chain().map(ToString::to_string);
        let what = texts.next().unwrap_or_default();
        let (help, outcome) = error.chain().find_map(advice).unwrap_or((None, Outcome::Failed));
        let (what, help) = match (
            error.downcast_ref::<DeployError>().filter(|fault| ends_in_help(fault)),
            what.rsplit_once("; "),
        ) {
            (Some(_), Some((what, help))) => (what.to_owned(), Some(help.to_owned())),
            _ => (what, help),
        };
        Self {
            error: what,
            causes: texts.collect(),
            help,
            outcome,
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)?;
        for cause in &self.causes {
            write!(f, "\n  because: {cause}")?;
        }
        if let Some(help) = &self.help {
            write!(f, "\nhelp: {help}")?;
        }
        Ok(())
    }
}

/// An error with its causes in one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// An error with its causes and what to do, in one line.
pub(crate) fn with_help(error: &anyhow::Error) -> String {
    let told = Told::of(error);
    [vec![told.error], told.causes, told.help.into_iter().collect()]
        .concat()
        .join("; ")
}

/// Whether the last clause of its text says what to do.
fn ends_in_help(fault: &DeployError) -> bool {
    matches!(
        fault,
        DeployError::Stale { .. }
            | DeployError::OtherBlueprint
            | DeployError::Locked { .. }
            | DeployError::NoSuchCluster { .. }
            | DeployError::SocketPath { .. }
            | DeployError::Untraversable { .. }
            | DeployError::Missing { .. }
            | DeployError::NoPort { .. }
            | DeployError::Left { .. }
    )
}

fn advice(error: &(dyn Error + 'static)) -> Option<(Option<String>, Outcome)> {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return Some((failure.help.clone(), failure.outcome));
    }
    if let Some(fault) = error.downcast_ref::<ApiFault>() {
        return Some((Some(fault.help().to_owned()), Outcome::Failed));
    }
    let deploy = error.downcast_ref::<DeployError>()?;
    let help = match deploy {
        DeployError::Input(_) => "see `gaia help up`",
        DeployError::NoSuchProcess { .. } => "see what runs: `gaia status`",
        DeployError::Admin { .. } => "see how the game is: `gaia status <game>`",
        DeployError::NotReady { .. } | DeployError::Program { .. } | DeployError::Postgres { .. } => {
            "read what it says in `gaia logs <game>`, see `gaia doctor`, and run the same command again: it goes on \
             from where it stopped"
        }
        _ => "run the same command again: it goes on from where it stopped; `gaia doctor` looks at the machine",
    };
    let is_bad_input = matches!(
        deploy,
        DeployError::Input(_) | DeployError::NoSuchCluster { .. } | DeployError::NoSuchProcess { .. }
    );
    Some((
        Some(help.to_owned()),
        if is_bad_input {
            Outcome::BadInput
        } else {
            Outcome::Failed
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_what_why_and_what_to_type_next() {
        let cause = std::io::Error::other("the disk is full");
        let error = anyhow::Error::from(Failure::new("failed to write").because(cause).help("make room"));
        insta::assert_snapshot!(Told::of(&error), @r"
        failed to write
          because: the disk is full
        help: make room
        ");
    }

    #[test]
    fn advice_is_found_below_a_context() {
        let error = anyhow::Error::from(DeployError::Input("no game".into())).context("failed to draw up");
        let told = Told::of(&error);
        assert_eq!(told.outcome, Outcome::BadInput);
        assert_eq!(told.help.as_deref(), Some("see `gaia help up`"));
    }
}
