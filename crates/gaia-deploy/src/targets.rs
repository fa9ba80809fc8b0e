//! Where clusters run.

pub(crate) mod compose;
pub mod local;
