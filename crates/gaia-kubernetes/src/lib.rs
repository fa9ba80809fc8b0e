//! A Kubernetes API server as Gaia asks it: plain JSON objects, typed refusals. The one crate that knows `kube`.

mod kinds;
mod pods;
mod requests;

pub use kinds::Kind;
pub use pods::{Exec, Forward};
pub use requests::{Applied, Fault, Kubernetes, MANAGER};
