//! The host against servers of every kind, most of them bad.

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
