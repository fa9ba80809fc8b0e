//! The host against servers of every kind, most of them bad.

#![expect(clippy::unwrap_used, reason = "a test says by panicking what it did not expect")]

mod calls;
mod confinement;
mod conformance;
mod foreign;
mod http;
mod life;
mod oauth;
mod pinning;
mod support;
mod words;
