//! The tools of a server, as they were listed, judged and pinned.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use gaia_protocol::bundle::{ToolKind, ToolServer};
use rmcp::{
    RoleClient,
    model::{PaginatedRequestParams, Tool},
    service::{Peer, ServiceError},
};

use crate::{
    clean, kinds, names,
    pins::{self, Pin, PinFault, PinStore},
    schema::Schema,
};

/// How many pages of a list are read, and how many tools on them.
const MOST_PAGES: usize = 40;
const MOST_LISTED: usize = 2000;
/// How many tools of one server can be used.
const MOST_USED: usize = 128;
/// How long a description may be, in bytes: what the strictest of the models' vendors takes.
const LONGEST_DESCRIPTION: usize = 1000;

/// A tool of a server.
pub(crate) struct KnownTool {
    pub(crate) name: String,
    pub(crate) wire_name: String,
    pub(crate) kind: ToolKind,
    pub(crate) fingerprint: String,
    pub(crate) standing: Standing,
    pub(crate) use_of: Option<Use>,
}

/// What using a tool takes. A tool that is refused has none.
pub(crate) struct Use {
    pub(crate) description: String,
    pub(crate) input: Schema,
    pub(crate) output: Option<Schema>,
}

/// Whether a tool may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is as it was when it was trusted.
    Trusted,
    /// It changed since, and waits to be accepted.
    Changed,
    /// It cannot be used: why.
    Refused(String),
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trusted => f.write_str("trusted"),
            Self::Changed => f.write_str("changed, and waits to be accepted"),
            Self::Refused(why) => write!(f, "refused: {why}"),
        }
    }
}

/// Why a server's tools cannot be listed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListFault {
    /// The server.
    #[error("it does not list its tools")]
    Server(#[from] ServiceError),
    /// Where pins are kept.
    #[error(transparent)]
    Pins(#[from] PinFault),
}

/// What a server lists, without what the config leaves out, and how many tools were too many. Sorted by name.
pub(crate) async fn list(
    peer: &Peer<RoleClient>,
    server: &ToolServer,
) -> Result<(BTreeMap<String, Tool>, usize), ListFault> {
    let (mut found, mut cursor, mut listed, mut left_out) = (BTreeMap::new(), None, 0, 0);
    for _ in 0..MOST_PAGES {
        let mut page = peer
            .list_tools(Some(PaginatedRequestParams::default().with_cursor(cursor)))
            .await?;
        for tool in page.tools.drain(..) {
            listed += 1;
            let is_wanted = server.tools.is_empty() || server.tools.iter().any(|name| *name == tool.name);
            if !is_wanted {
                continue;
            }
            if listed > MOST_LISTED || found.len() == MOST_USED {
                left_out += 1;
                continue;
            }
            found.entry(tool.name.to_string()).or_insert(tool);
        }
        cursor = page.next_cursor;
        if cursor.is_none() || listed > MOST_LISTED {
            break;
        }
    }
    Ok((found, left_out))
}

/// Holds every listed tool against its pin, trusts the new ones, and notes the changed ones.
pub(crate) async fn judge(
    listed: &BTreeMap<String, Tool>,
    server: &ToolServer,
    store: &dyn PinStore,
) -> Result<Vec<KnownTool>, ListFault> {
    let prints: BTreeMap<String, String> = listed
        .iter()
        .map(|(name, tool)| (name.clone(), pins::fingerprint(tool)))
        .collect();
    let mut kept = store.of_server(&server.name).await?;
    let unseen = |name: &String| !kept.contains_key(name) && !server.pins.contains_key(name) && names::is_good(name);
    let new: BTreeMap<_, _> = prints
        .iter()
        .filter(|(name, _)| unseen(name))
        .map(|(name, print)| (name.clone(), print.clone()))
        .collect();
    if !new.is_empty() {
        store.trust(&server.name, &new).await?;
        kept = store.of_server(&server.name).await?;
    }
    let tools: Vec<_> = listed
        .values()
        .map(|tool| known(tool, &prints, server, &kept))
        .collect();
    let changed: BTreeMap<_, _> = tools
        .iter()
        .filter(|tool| tool.standing == Standing::Changed)
        .filter(|tool| {
            kept.get(&tool.name)
                .is_some_and(|pin| pin.waiting.as_ref() != Some(&tool.fingerprint))
        })
        .map(|tool| (tool.name.clone(), tool.fingerprint.clone()))
        .collect();
    if !changed.is_empty() {
        store.note_changed(&server.name, &changed).await?;
    }
    Ok(tools)
}

fn known(
    tool: &Tool,
    prints: &BTreeMap<String, String>,
    server: &ToolServer,
    kept: &BTreeMap<String, Pin>,
) -> KnownTool {
    let name = tool.name.to_string();
    let fingerprint = prints.get(&name).cloned().unwrap_or_default();
    let accepted = server
        .pins
        .get(&name)
        .or_else(|| kept.get(&name).map(|pin| &pin.accepted));
    let (standing, use_of) = match used(tool) {
        Err(why) => (Standing::Refused(why), None),
        Ok(_) if accepted != Some(&fingerprint) => (Standing::Changed, None),
        Ok(use_of) => (Standing::Trusted, Some(use_of)),
    };
    KnownTool {
        wire_name: names::wire_name(&server.name, &name),
        kind: kinds::kind_of(server, tool),
        name,
        fingerprint,
        standing,
        use_of,
    }
}

fn used(tool: &Tool) -> Result<Use, String> {
    if !names::is_good(&tool.name) {
        return Err("its name is not of 1 to 64 letters, digits, `_`, `-` and `.`".to_owned());
    }
    let output = match tool.output_schema.as_deref() {
        None => None,
        Some(schema) => Some(Schema::read(schema).map_err(|why| format!("{why} (of its answers)"))?),
    };
    Ok(Use {
        description: clean::line(tool.description.as_deref().unwrap_or_default(), LONGEST_DESCRIPTION),
        input: Schema::read(&tool.input_schema)?,
        output,
    })
}

/// What an operator should know of a list.
pub(crate) fn notes(tools: &[KnownTool], server: &ToolServer, left_out: usize) -> Vec<String> {
    let mut notes = Vec::new();
    for tool in tools.iter().filter(|tool| tool.standing != Standing::Trusted) {
        notes.push(format!(
            "`{}.{}` is {}",
            server.name,
            clean::line(&tool.name, 80),
            tool.standing
        ));
    }
    if left_out > 0 {
        notes.push(format!(
            "{left_out} tools of `{}` are left out: {MOST_USED} of one server are the most; name the wanted ones in its \
             `tools`",
            server.name
        ));
    }
    let here: BTreeSet<_> = tools.iter().map(|tool| tool.name.as_str()).collect();
    for name in server.tools.iter().filter(|name| !here.contains(name.as_str())) {
        notes.push(format!(
            "`{}` has no tool `{name}`, which the config names",
            server.name
        ));
    }
    for name in server.kinds.keys().filter(|name| !here.contains(name.as_str())) {
        notes.push(format!(
            "`{}` has no tool `{name}`, whose kind the config names",
            server.name
        ));
    }
    notes
}
