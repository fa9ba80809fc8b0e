//! Where clusters run.

pub(crate) mod compose;
pub(crate) mod kubernetes;
pub mod local;
