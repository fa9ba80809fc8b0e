//! Where clusters run. Today: processes on this machine.

pub mod local;
