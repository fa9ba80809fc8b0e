//! Game -> Blueprint -> Plan -> running: what a cluster should be, what is to be done about it, and doing it.
//!
//! The walk: [`Blueprint::draw_up`] and [`Plan::between`] are pure; only [`apply`], [`destroy`], [`stop`],
//! [`restart`] and [`observe`] touch the machine.

mod admin;
mod apply;
mod blueprint;
mod costs;
mod doctor;
mod error;
mod home;
mod observe;
mod plan;
mod status;
pub mod targets;

pub use admin::Admin;
pub use apply::{Applied, ApplyOptions, Event, Program, apply, destroy, restart, stop, tidy};
pub use blueprint::{Blueprint, ClusterInput, Credentials, GameBlueprint, GameInput, Parent};
pub use costs::costs;
pub use doctor::{Finding, FindingState, doctor};
pub use error::DeployError;
pub use home::{ClusterFolder, Home};
pub use observe::{Observed, ObservedProcess, observe};
pub use plan::{Action, Plan, Step, StepId};
pub use status::{ClusterState, ClusterStatus, GameStatus, ProcessStatus, SupervisorStatus, list, status};
pub use targets::local::{self, supervisor::supervise};
