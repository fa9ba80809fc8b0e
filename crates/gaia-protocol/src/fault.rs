//! What goes wrong, in a form that a client can act on.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $status:literal, $title:literal;)+) => {
        /// A stable code for each kind of refusal. Clients match on it, so a code never changes its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum ErrorCode {
            $($(#[$doc])* #[serde(rename = $code)] $variant),+
        }

        impl ErrorCode {
            /// All of them, for the reference page and its test.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The code as it stands in an answer.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }

            /// The HTTP status that carries it.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status),+ }
            }

            /// One sentence for a person.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),+ }
            }
        }
    };
}

codes! {
    /// The request cannot be read.
    BadRequest = "bad_request", 400, "The request cannot be read.";
    /// No token was sent.
    SignInFirst = "sign_in_first", 401, "Sign in first.";
    /// The access token is over 15 minutes old.
    TokenExpired = "token_expired", 401, "The access token has expired; refresh it.";
    /// The token is not one of this game's.
    TokenInvalid = "token_invalid", 401, "The token is not valid for this game.";
    /// The player signed out, or the session was ended.
    SessionEnded = "session_ended", 401, "The session has ended; sign in again.";
    /// A refresh token came twice, so the session was ended.
    RefreshReused = "refresh_reused", 401, "The refresh token was used before, so its session has been ended.";
    /// Email and password do not fit.
    WrongCredentials = "wrong_credentials", 401, "The email or the password is wrong.";
    /// Signed in, but not allowed.
    Forbidden = "forbidden", 403, "This is not allowed for you.";
    /// Not there, or somebody else's.
    NotFound = "not_found", 404, "There is no such thing here.";
    /// The path is there, the method is not.
    MethodNotAllowed = "method_not_allowed", 405, "The path does not answer to this method.";
    /// Neither JSON nor an event stream was asked for.
    NotAcceptable = "not_acceptable", 406, "The answer cannot be given in a form that was asked for.";
    /// The request came in too slowly.
    RequestTimeout = "request_timeout", 408, "The request took too long to arrive.";
    /// Another player of this game signed up with this address.
    EmailTaken = "email_taken", 409, "There is a player with this email already.";
    /// The conversation's last turn still runs.
    TurnInProgress = "turn_in_progress", 409, "The conversation's last turn is still running.";
    /// The turn's id was used for other words.
    TurnMismatch = "turn_mismatch", 409, "This turn id was used for another message.";
    /// The turn is not running, so it cannot be cancelled.
    TurnFinished = "turn_finished", 409, "The turn is not running any more.";
    /// The body is over the limit.
    BodyTooLarge = "body_too_large", 413, "The body is larger than this path takes.";
    /// The body is not JSON.
    UnsupportedMediaType = "unsupported_media_type", 415, "The body must be application/json.";
    /// The request can be read, but a value in it cannot be taken.
    InvalidInput = "invalid_input", 422, "A value in the request cannot be taken.";
    /// Too many requests.
    RateLimited = "rate_limited", 429, "Too many requests; slow down.";
    /// A bug of ours, or a state nobody foresaw.
    Internal = "internal", 500, "Something broke on our side; it has been logged.";
    /// Every place is taken.
    Overloaded = "overloaded", 503, "The game is busy; try again shortly.";
    /// A store or service that the answer needs is away.
    Unavailable = "unavailable", 503, "A part of the game is away; try again shortly.";
    /// The process that worked on the turn was lost. Sending the turn again with the same id is safe.
    TurnInterrupted = "turn_interrupted", 503, "The reply was interrupted; send the turn again with the same id.";
    /// No answer within the request's deadline.
    DeadlineExceeded = "deadline_exceeded", 504, "No answer came in time; try again.";
}

// By hand, because `utoipa` does not see a serde name that comes out of a macro.
impl utoipa::PartialSchema for ErrorCode {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .description(Some("A stable code for each kind of refusal."))
            .enum_values(Some(Self::ALL.iter().map(|code| code.as_str())))
            .into()
    }
}

impl utoipa::ToSchema for ErrorCode {}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refusal on its way to the caller. It holds only what the caller may see: causes belong in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Fault {
    /// Which refusal.
    pub code: ErrorCode,
    /// This occurrence, in a sentence that says what to do next.
    pub detail: String,
    /// How long to wait before trying again, in milliseconds, where waiting helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl Fault {
    /// A refusal with its own sentence.
    #[must_use]
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            retry_after_ms: None,
        }
    }

    /// The same, saying how long to wait.
    #[must_use]
    pub fn retry_after_ms(mut self, wait: u64) -> Self {
        self.retry_after_ms = Some(wait);
        self
    }
}

impl From<ErrorCode> for Fault {
    fn from(code: ErrorCode) -> Self {
        Self::new(code, code.title())
    }
}
