//! Chat on real stores, asked as the gateway asks it.
#![expect(
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is what it is for"
)]

mod authored;
mod budget;
mod bundles;
mod calls;
mod chat;
mod context;
mod conversations;
mod inference;
mod ladder;
mod metering;
mod outages;
mod providers;
mod rounds;
mod take_over;
mod tools;
mod turns;
mod warming;
