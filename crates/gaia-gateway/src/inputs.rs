//! What clients send, with the rules for each value. The schema beside a field says exactly what [`Checked`] enforces.

mod rules;

use gaia_names::{PersonaId, Secret, TurnId};
use gaia_protocol::{
    ErrorCode, Fault,
    api_keys::{KEY_REQUESTS_PER_MINUTE, KeyScope, LONGEST_KEY_NAME},
    auth::Role,
    chat::{LONGEST_MESSAGE, LONGEST_TITLE, LONGEST_VALUES, Verdict},
};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use self::rules::{email, line, secret};
pub(crate) use self::rules::{hyphenated, hyphenated_option, prose};

/// A body whose values have rules beyond their types.
pub(crate) trait Checked {
    /// Refuses the first value that breaks a rule, by the field's name and without the value.
    fn check(&self) -> Result<(), Fault>;
}

/// Who comes in without an account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewGuest {
    /// A secret that the client made at random and keeps: whoever has it is this player.
    #[schema(value_type = String, min_length = 16, max_length = 128, pattern = "^[!-~]{16,128}$", example = "4f1c2a9e-device-made-this")]
    pub(crate) device_id: Secret,
    /// A name, or none for one of ours.
    #[schema(
        min_length = 1,
        max_length = 40,
        pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff]*[^\\s\\u0000-\\u001f\\u007f-\\u009f\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff][^\\u0000-\\u001f\\u007f-\\u009f\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff]*$"
    )]
    pub(crate) display_name: Option<String>,
}

impl Checked for NewGuest {
    fn check(&self) -> Result<(), Fault> {
        secret("device_id", &self.device_id, 16..=128)?;
        self.display_name
            .iter()
            .try_for_each(|name| line("display_name", name, 40))
    }
}

/// Who signs up.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPlayer {
    /// The address; unique in the game, whatever its case.
    #[schema(
        format = "email",
        min_length = 3,
        max_length = 254,
        pattern = "^[A-Za-z0-9.!#$%&'*+/=?^_{|}~-]{1,64}@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\\.)+[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$"
    )]
    pub(crate) email: String,
    /// The password.
    #[schema(value_type = String, format = "password", min_length = 10, max_length = 128, pattern = "^[^\\u0000]{10,128}$")]
    pub(crate) password: Secret,
    /// A name, or none to keep the guest's or get one of ours.
    #[schema(
        min_length = 1,
        max_length = 40,
        pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff]*[^\\s\\u0000-\\u001f\\u007f-\\u009f\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff][^\\u0000-\\u001f\\u007f-\\u009f\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff]*$"
    )]
    pub(crate) display_name: Option<String>,
}

impl Checked for NewPlayer {
    fn check(&self) -> Result<(), Fault> {
        email("email", &self.email)?;
        rules::password("password", &self.password)?;
        self.display_name
            .iter()
            .try_for_each(|name| line("display_name", name, 40))
    }
}

/// A player's name from now on.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewName {
    /// The name that characters and other players use.
    #[schema(
        min_length = 1,
        max_length = 40,
        pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff]*[^\\s\\u0000-\\u001f\\u007f-\\u009f\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff][^\\u0000-\\u001f\\u007f-\\u009f\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff]*$"
    )]
    pub(crate) display_name: String,
}

impl Checked for NewName {
    fn check(&self) -> Result<(), Fault> {
        line("display_name", &self.display_name, 40)
    }
}

/// Who signs in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    /// The address.
    #[schema(
        format = "email",
        min_length = 3,
        max_length = 254,
        pattern = "^[A-Za-z0-9.!#$%&'*+/=?^_{|}~-]{1,64}@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\\.)+[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$"
    )]
    pub(crate) email: String,
    /// The password.
    #[schema(value_type = String, format = "password", min_length = 10, max_length = 128, pattern = "^[^\\u0000]{10,128}$")]
    pub(crate) password: Secret,
}

impl Checked for Credentials {
    fn check(&self) -> Result<(), Fault> {
        email("email", &self.email)?;
        rules::password("password", &self.password)
    }
}

/// The next pair of tokens, please.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refresh {
    /// The refresh token of the last answer.
    #[schema(value_type = String, min_length = 1, max_length = 512, pattern = "^[!-~]{1,512}$")]
    pub(crate) refresh_token: Secret,
}

impl Checked for Refresh {
    fn check(&self) -> Result<(), Fault> {
        secret("refresh_token", &self.refresh_token, 1..=512)
    }
}

/// A conversation to be started.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewConversation {
    /// With whom: a name from `GET /v1/personas`.
    #[schema(value_type = String, min_length = 2, max_length = 40, pattern = "^[a-z][a-z0-9_-]{0,38}[a-z0-9]$", example = "survivor_guide")]
    pub(crate) persona: PersonaId,
    /// What it is about.
    #[schema(
        min_length = 1,
        max_length = 120,
        pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff]*[^\\s\\u0000-\\u001f\\u007f-\\u009f\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff][^\\u0000-\\u001f\\u007f-\\u009f\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff]*$"
    )]
    pub(crate) title: Option<String>,
    /// For conversations like letters: where no model speaks in time, the persona says so with an `interim` line, and its
    /// answer comes later, within five minutes. Until then the turn runs.
    #[serde(default)]
    pub(crate) may_answer_later: bool,
}

impl Checked for NewConversation {
    fn check(&self) -> Result<(), Fault> {
        self.title
            .iter()
            .try_for_each(|title| line("title", title, LONGEST_TITLE))
    }
}

/// Something to say to a persona.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTurn {
    /// What to say.
    #[schema(
        min_length = 1,
        max_length = 4000,
        pattern = "^[^\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f-\\u009f]*[^\\s\\u0000-\\u001f\\u007f-\\u009f][^\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f-\\u009f]*$",
        example = "Where can I find clean water?"
    )]
    pub(crate) text: String,
    /// The turn's id, chosen by the client (a UUID, best of version 7). Sending the same turn again with the same text
    /// continues or repeats it and never doubles it.
    #[serde(default, deserialize_with = "hyphenated_option")]
    #[schema(value_type = Option<uuid::Uuid>)]
    pub(crate) turn: Option<TurnId>,
}

impl Checked for NewTurn {
    fn check(&self) -> Result<(), Fault> {
        prose("text", &self.text, LONGEST_MESSAGE)
    }
}

/// An answer to what a turn asks.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewAnswer {
    /// The question's number.
    #[schema(minimum = 1, maximum = 4_294_967_295_u32)]
    pub(crate) number: u32,
    /// Yes or no.
    pub(crate) answer: Verdict,
    /// The values of a form, where it was one: at most 8 KiB as JSON.
    #[schema(value_type = Option<Object>)]
    pub(crate) values: Option<Map<String, Value>>,
}

impl Checked for NewAnswer {
    fn check(&self) -> Result<(), Fault> {
        let refuse = |detail: &str| Err(Fault::new(ErrorCode::InvalidInput, detail));
        let bytes = serde_json::to_vec(&self.values).map_or(usize::MAX, |json| json.len());
        if self.number == 0 {
            return refuse("`number` starts at 1.");
        }
        if bytes > LONGEST_VALUES {
            return refuse("`values` are over 8 KiB long.");
        }
        Ok(())
    }
}

/// An API key to be made.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewKey {
    pub(crate) name: String,
    #[serde(default = "talking")]
    pub(crate) scopes: Vec<KeyScope>,
    #[serde(default = "usual_rate")]
    pub(crate) requests_per_minute: u32,
}

fn talking() -> Vec<KeyScope> {
    vec![KeyScope::Chat]
}

fn usual_rate() -> u32 {
    KEY_REQUESTS_PER_MINUTE
}

impl Checked for NewKey {
    fn check(&self) -> Result<(), Fault> {
        line("name", &self.name, LONGEST_KEY_NAME)
    }
}

/// A role to give.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRole {
    pub(crate) role: Role,
}

impl Checked for NewRole {
    fn check(&self) -> Result<(), Fault> {
        Ok(())
    }
}
