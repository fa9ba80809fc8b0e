//! What a cluster is made of, and where it can run.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

macro_rules! part {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum $name {
            $($(#[$variant_doc])* $variant),+
        }

        impl $name {
            /// All of them, in the order in which they are shown.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word for it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text),+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(given: &str) -> Result<Self, String> {
                Self::ALL.iter().copied().find(|part| part.as_str() == given).ok_or_else(|| {
                    let known: Vec<_> = Self::ALL.iter().map(|part| part.as_str()).collect();
                    format!("`{}` is not one of {}", given.escape_default(), known.join(", "))
                })
            }
        }
    };
}

part!(
    /// A program of ours that a cluster runs.
    Service {
        /// Where clients end: HTTP, SSE and WebSocket.
        Gateway = "gateway",
        /// Players, sessions and tokens.
        Auth = "auth",
        /// Conversations with personas.
        Chat = "chat",
    }
);

part!(
    /// What a cluster keeps its data in.
    Store {
        /// The truth.
        Postgres = "postgres",
        /// What is quick to ask and may be forgotten.
        Redis = "redis",
        /// How services speak to each other.
        Nats = "nats",
    }
);

part!(
    /// Where a cluster runs.
    Target {
        /// Processes on this machine.
        Local = "local",
        /// Containers on this machine, by Docker Compose.
        Compose = "compose",
        /// Pods in a namespace of a Kubernetes cluster.
        Kubernetes = "kubernetes",
    }
);
