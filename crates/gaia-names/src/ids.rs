//! Identifiers that Gaia makes: UUIDs of version 7, so that they sort by the time they were made and
//! never collide when games are merged.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new one, made now.
            #[must_use]
            pub fn fresh() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(given: &str) -> Result<Self, uuid::Error> {
                given.parse().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// A player of one game.
    PlayerId
);
id!(
    /// One sign-in of a player on one device. Signing out ends it.
    SessionId
);
id!(
    /// A key with which a game's own programs sign in.
    KeyId
);
id!(
    /// A row of turns between one player and one persona.
    ConversationId
);
id!(
    /// One player message and its reply. The client may choose it, which makes a retry harmless.
    TurnId
);
id!(
    /// One running process of a service.
    InstanceId
);
