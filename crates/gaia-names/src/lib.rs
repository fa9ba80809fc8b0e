//! Identifiers, parsed once.
//!
//! Nothing past an edge of the program carries a bare `String` for a name: it is parsed here, and the
//! type is the proof that it was. Which network addresses are public stands here too, so that everybody who asks gets the
//! same answer.

mod addresses;
mod ids;
mod parts;
mod secret;
mod words;

pub use addresses::is_public;
pub use ids::{ConversationId, InstanceId, KeyId, PlayerId, SessionId, TurnId};
pub use parts::{Service, Store, Target};
pub use secret::{Secret, expose};
pub use words::{ClusterName, GameId, NameFault, PersonaId};
