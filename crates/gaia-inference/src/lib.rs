//! Small models on the CPU behind the OpenAI wire format.
//!
//! - [`models`]: the models that Gaia knows, where they come from and under which licence; the one place that
//!   downloads, and only when asked to.
//! - [`serve`]: one model behind `/v1/embeddings` on a listener that the caller brings.
//! - [`run`]: the body of `gaia serve inference`, one process for a machine that its clusters share.
//! - [`ensure_running`]: finds that process or starts it.
//! - [`Lease`]: what each cluster holds so that the process stays; when nobody holds one, it ends.
//! - [`remove_unused`]: ends it at once and removes its folder, once the last cluster is gone.
//!
//! # The home folder of the shared process
//!
//! | file | what it is |
//! | --- | --- |
//! | `key` | the bearer key, 64 hexadecimal digits, mode 0600 |
//! | `inference.json` | process id, start time and address of the running process, mode 0600; gone when it ends |
//! | `inference.log` | what the running process printed; starts empty with each process |
//! | `kept-embeddings` | embeddings that a client asked to keep (see [`KEEP_HEADER`]), at most 64 MiB |
//! | `start.lock` | held while somebody looks for the process or starts it |
//! | `server.lock` | held by the running process, so that there is one |
//! | `users.lock` | held, shared, by each cluster (see [`Lease`]) |

mod cache;
mod encoder;
mod home;
pub mod models;
mod run;
mod server;
mod start;
mod users;
mod worker;

pub use home::{Access, HomeError};
pub use run::{RunError, RunSettings, run};
pub use server::{KEEP_HEADER, ServeError, Settings, serve};
pub use start::{Start, StartError, ensure_running};
pub use users::{Lease, LeaseError, remove_unused};
