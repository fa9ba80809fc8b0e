//! `auth` as the gateway knows it: asked over NATS, on real stores.

mod api_keys;
mod enter;
mod games;
mod house;
mod players;
mod sessions;
mod stores;
mod throttle;
mod tokens;
