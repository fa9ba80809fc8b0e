//! Why the game did not do what was asked, as a client sees it, and whether asking again helps.

use std::time::Duration;

use gaia_protocol::ErrorCode;
use serde::Deserialize;

/// A refusal as the gateway tells it (RFC 9457).
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Problem {
    /// The stable code.
    pub(crate) code: String,
    /// What to do.
    #[serde(default)]
    pub(crate) detail: String,
    /// How long to wait before trying again, in milliseconds.
    #[serde(default)]
    pub(crate) retry_after_ms: Option<u64>,
}

impl Problem {
    /// For an answer that says no more than its status.
    pub(super) fn of_status(status: u16) -> Self {
        let code = match status {
            401 => ErrorCode::SignInFirst,
            404 => ErrorCode::NotFound,
            429 => ErrorCode::RateLimited,
            502..=504 => ErrorCode::Unavailable,
            500.. => ErrorCode::Internal,
            _ => ErrorCode::BadRequest,
        };
        let detail = format!("the answer was HTTP {status} without a reason; is this the gateway of a game?");
        Self {
            code: code.as_str().to_owned(),
            detail,
            retry_after_ms: None,
        }
    }

    pub(super) fn is(&self, code: ErrorCode) -> bool {
        self.code == code.as_str()
    }
}

/// Why the game did not do what was asked.
#[derive(Debug)]
pub(crate) enum ApiFault {
    /// It refused.
    Refused(Problem),
    /// It could not be reached, or the connection broke.
    Unreachable(reqwest::Error),
    /// It answered something else than it should.
    Garbled(String),
    /// It answered more than it should.
    TooLarge,
    /// The connection ended before the reply was whole.
    BrokeOff,
}

impl ApiFault {
    /// How long to wait before asking again; none where asking again does not help.
    pub(crate) fn worth_waiting(&self) -> Option<Duration> {
        const SHORTLY: Duration = Duration::from_millis(250);
        match self {
            Self::Unreachable(fault) if fault.is_builder() => None,
            Self::Unreachable(_) | Self::BrokeOff => Some(SHORTLY),
            Self::Refused(problem) => {
                let passes = [
                    ErrorCode::RateLimited,
                    ErrorCode::Overloaded,
                    ErrorCode::Unavailable,
                    ErrorCode::TurnInterrupted,
                    ErrorCode::TurnInProgress,
                    ErrorCode::DeadlineExceeded,
                ];
                let wait = problem.retry_after_ms.map_or(SHORTLY, Duration::from_millis);
                passes
                    .iter()
                    .any(|code| problem.is(*code))
                    .then(|| wait.min(Duration::from_secs(30)))
            }
            Self::Garbled(_) | Self::TooLarge => None,
        }
    }

    /// What to do about it.
    pub(crate) fn help(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "`gaia status` shows whether the game is up; with --url, check the address",
            Self::Refused(problem) if problem.is(ErrorCode::Internal) => "`gaia logs <game>` shows what broke",
            Self::Refused(_) | Self::BrokeOff => "try again; `gaia status` shows how the game is",
            Self::Garbled(_) | Self::TooLarge => "check the address; `gaia status` shows the gateway of each game",
        }
    }

    /// Whether a fresh access token helps.
    pub(crate) fn wants_fresh_token(&self) -> bool {
        let codes = [ErrorCode::SignInFirst, ErrorCode::TokenExpired, ErrorCode::TokenInvalid];
        matches!(self, Self::Refused(problem) if codes.iter().any(|code| problem.is(*code)))
    }

    /// Whether only signing in again helps.
    pub(crate) fn wants_sign_in(&self) -> bool {
        let codes = [ErrorCode::SessionEnded, ErrorCode::RefreshReused];
        matches!(self, Self::Refused(problem) if codes.iter().any(|code| problem.is(*code)))
    }

    /// Whether what was asked for is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused(problem) if problem.is(ErrorCode::NotFound))
    }

    /// The turn is not running any more.
    pub(crate) fn is_of_ended_turn(&self) -> bool {
        matches!(self, Self::Refused(problem) if problem.is(ErrorCode::TurnFinished))
    }
}

impl From<reqwest::Error> for ApiFault {
    fn from(fault: reqwest::Error) -> Self {
        Self::Unreachable(fault)
    }
}

impl std::fmt::Display for ApiFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(problem) => write!(f, "the game refused ({}): {}", problem.code, problem.detail),
            Self::Unreachable(_) => f.write_str("the game's gateway cannot be reached"),
            Self::Garbled(why) => write!(
                f,
                "the gateway's answer cannot be read ({why}); is this the gateway of a game?"
            ),
            Self::TooLarge => f.write_str("the gateway's answer is larger than any should be"),
            Self::BrokeOff => f.write_str("the connection ended before the reply was whole"),
        }
    }
}

impl std::error::Error for ApiFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreachable(fault) => Some(fault),
            _ => None,
        }
    }
}
