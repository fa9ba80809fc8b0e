//! What chat keeps in Postgres. No statement names a game: row-level security does.

pub(crate) mod bundles;
pub(crate) mod claims;
pub(crate) mod conversations;
pub(crate) mod turns;
