//! Questions to `auth`: players, sessions and tokens.

use chrono::{DateTime, Utc};
use gaia_names::{PlayerId, Secret, Service, SessionId, expose};
use serde::{Deserialize, Serialize};

use crate::Request;

/// What a player may do beyond playing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Plays.
    Player,
    /// Looks after other players.
    Moderator,
    /// May do everything in the game.
    Admin,
}

/// Who is asking, taken by the gateway from a checked access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The player.
    pub player: PlayerId,
    /// The sign-in that the token belongs to.
    pub session: SessionId,
    /// What the player may do.
    pub role: Role,
}

/// What an access token says (a JWT signed with EdDSA, RFC 8037; lasts 15 minutes).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    /// Issuer: `gaia`.
    pub iss: String,
    /// Audience: the game's id.
    pub aud: String,
    /// Subject: the player.
    pub sub: PlayerId,
    /// The session.
    pub sid: SessionId,
    /// What the player may do.
    pub role: Role,
    /// Issued at, in seconds since the Unix epoch.
    pub iat: i64,
    /// Expires at, in seconds since the Unix epoch.
    pub exp: i64,
}

/// The issuer in every access token.
pub const ISSUER: &str = "gaia";
/// How long an access token lasts, in seconds.
pub const ACCESS_TOKEN_SECONDS: i64 = 15 * 60;

/// A player as they see themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Player {
    /// The player's id.
    #[schema(value_type = uuid::Uuid)]
    pub id: PlayerId,
    /// The name that characters and other players use.
    pub display_name: String,
    /// The address, where the player signed up with one.
    pub email: Option<String>,
    /// What the player may do.
    pub role: Role,
    /// Whether the player came in as a guest and has not signed up.
    pub is_guest: bool,
    /// When the player first came.
    pub created_at: DateTime<Utc>,
}

/// A player with fresh tokens.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SignedIn {
    /// Who signed in.
    pub player: Player,
    /// Send it as `Authorization: Bearer ...`.
    #[serde(serialize_with = "expose")]
    #[schema(value_type = String)]
    pub access_token: Secret,
    /// Exchange it, once, for the next pair.
    #[serde(serialize_with = "expose")]
    #[schema(value_type = String)]
    pub refresh_token: Secret,
    /// `Bearer`.
    pub token_type: String,
    /// How long the access token lasts, in seconds.
    pub expires_in: i64,
}

macro_rules! request {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident : $type:ty),* $(,)? } -> $reply:ty, $verb:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Serialize, Deserialize)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type),* }

        impl Request for $name {
            type Reply = $reply;
            const SERVICE: Service = Service::Auth;
            const VERB: &'static str = $verb;
        }
    };
}

request!(
    /// Come in without an account. The same device is the same player.
    EnterAsGuest {
        /// A secret that the client made and keeps, 16 to 128 characters.
        #[serde(serialize_with = "expose")]
        device_id: Secret,
        /// A name, or none for one of ours.
        display_name: Option<String>,
    } -> SignedIn, "player.guest.v1"
);
request!(
    /// Sign up with email and password. A guest who signs up stays the same player.
    SignUp {
        /// The guest who asks, where somebody is signed in.
        caller: Option<Caller>,
        /// The address; unique in the game, whatever its case.
        email: String,
        /// 10 to 128 characters.
        #[serde(serialize_with = "expose")]
        password: Secret,
        /// A name, or none to keep the guest's or get one of ours.
        display_name: Option<String>,
    } -> SignedIn, "player.sign-up.v1"
);
request!(
    /// Sign in with email and password.
    SignIn {
        /// The address.
        email: String,
        /// The password.
        #[serde(serialize_with = "expose")]
        password: Secret,
    } -> SignedIn, "session.start.v1"
);
request!(
    /// Exchange a refresh token. It can be used once; a second use ends the session.
    RefreshSession {
        /// The token of the last answer.
        #[serde(serialize_with = "expose")]
        refresh_token: Secret,
    } -> SignedIn, "session.refresh.v1"
);
request!(
    /// End a session, or all of the player's.
    SignOut {
        /// Who asks.
        caller: Caller,
        /// Whether all of the player's sessions end.
        everywhere: bool,
    } -> (), "session.end.v1"
);
request!(
    /// Whether a session has ended, or an API key was revoked: a key's id stands in a session's place. The gateway asks
    /// when Redis cannot tell.
    CheckSession {
        /// The session.
        session: SessionId,
    } -> SessionState, "session.check.v1"
);
request!(
    /// Read the player who asks.
    ReadPlayer {
        /// Who asks.
        caller: Caller,
    } -> Player, "player.read.v1"
);
request!(
    /// Change the name of the player who asks.
    RenamePlayer {
        /// Who asks.
        caller: Caller,
        /// The new name.
        display_name: String,
    } -> Player, "player.rename.v1"
);
request!(
    /// Delete the player who asks, with all that is kept of them, here and in `chat`.
    DeletePlayer {
        /// Who asks.
        caller: Caller,
    } -> (), "player.delete.v1"
);
request!(
    /// Give a player a role. Only the cluster's admin API asks this.
    SetRole {
        /// The player.
        player: PlayerId,
        /// The role from now on; it is in the player's next access token.
        role: Role,
    } -> Player, "player.role.v1"
);
request!(
    /// The public keys that access tokens are checked with (a JSON Web Key Set, RFC 7517).
    ReadKeys {} -> serde_json::Value, "keys.read.v1"
);

/// Whether a session holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// The session holds.
    Open,
    /// The session has ended or never was.
    Ended,
}
