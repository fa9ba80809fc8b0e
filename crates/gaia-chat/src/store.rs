//! What chat keeps in Postgres. No statement names a game: row-level security does.

mod batches;
pub(crate) mod bundles;
pub(crate) mod claims;
pub(crate) mod conversations;
pub(crate) mod events;
pub(crate) mod ledger;
pub(crate) mod pins;
pub(crate) mod sign_ins;
pub(crate) mod turns;

pub(crate) use self::batches::Batches;
