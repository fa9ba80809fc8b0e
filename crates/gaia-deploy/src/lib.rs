//! Game -> Blueprint -> Plan -> running: what a cluster should be, what is to be done about it, and doing it.
//!
//! The walk: [`Blueprint::draw_up`] and [`Plan::between`] are pure; only [`apply`], [`destroy`], [`stop`],
//! [`restart`] and [`observe`] touch the machine.

mod admin;
mod admin_api;
mod apply;
mod background;
mod blueprint;
mod containers;
mod costs;
mod doctor;
mod error;
mod files;
mod home;
mod observe;
mod plan;
mod record;
mod render;
pub mod secrets;
mod status;
mod stores;
pub mod targets;

pub use admin::Admin;
pub use admin_api::{Answer, call as call_admin};
pub use apply::{Applied, ApplyOptions, Event, Kept, Program, apply, destroy, restart, stop, tidy};
pub use blueprint::{Blueprint, ClusterInput, Credentials, GameBlueprint, GameInput, Needs, Parent};
pub use containers::logs::{Logs, container_logs};
pub use costs::costs;
pub use doctor::{Finding, FindingState, doctor, doctor_of_target};
pub use error::DeployError;
pub use gaia_kubernetes::Forward;
pub use home::{Asked, ClusterFolder, Home};
pub use observe::{Observed, ObservedProcess, observe};
pub use plan::{Action, Cost, Drift, Plan, Step, StepId};
pub use render::{Rendered, render};
pub use status::{ClusterState, ClusterStatus, Drifted, GameStatus, ProcessStatus, SupervisorStatus, list, status};
pub use stores::{addresses::GameAccess, set_up::set_up};
pub use targets::compose::engine::missing_images;
pub use targets::kubernetes::{obstacles::obstacles, off_hours::scale_from_within};
pub use targets::local::{self, supervisor::supervise};
