//! The gateway as clients see it, with `auth` and `chat` behind it on real stores.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails, and helpers of tests are part of them"
)]

mod admin;
mod asked;
mod documents;
mod drain;
mod early;
mod games;
mod gaps;
mod limits;
mod lost;
mod openai;
mod openai_history;
mod openai_responses;
mod openai_sdks;
mod plans;
mod raw;
mod redis_cluster;
mod refusals;
mod sockets;
mod streams;
mod support;
mod tokens;
mod walk;
