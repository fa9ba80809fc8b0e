//! Identifiers, parsed once.
//!
//! Nothing past an edge of the program carries a bare `String` for a name: it is parsed here, and the
//! type is the proof that it was.

mod ids;
mod parts;
mod secret;
mod words;

pub use ids::{ConversationId, InstanceId, KeyId, PlayerId, SessionId, TurnId};
pub use parts::{Service, Store, Target};
pub use secret::{Secret, expose};
pub use words::{ClusterName, GameId, NameFault, PersonaId};
