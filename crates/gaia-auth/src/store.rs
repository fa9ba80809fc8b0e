//! What `auth` keeps in Postgres, one file per table. No statement names a game: row-level security fills and filters
//! `game_id` by the login role.

pub(crate) mod api_keys;
pub(crate) mod deletions;
pub(crate) mod devices;
pub(crate) mod named_players;
pub(crate) mod players;
pub(crate) mod refresh_tokens;
pub(crate) mod sessions;
pub(crate) mod signing_keys;
