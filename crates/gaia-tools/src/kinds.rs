//! What tools do to the world, and whose word is taken for it.

use gaia_protocol::bundle::{ToolKind, ToolServer, ToolTransport};
use rmcp::model::Tool;

/// What a tool does. The config's word holds; ours only look things up; of anybody else's, one that does not even claim
/// to only read counts as one that posts. The claim is part of what is pinned, so it cannot appear later.
pub(crate) fn kind_of(server: &ToolServer, tool: &Tool) -> ToolKind {
    if let Some(kind) = server.kinds.get(tool.name.as_ref()) {
        return *kind;
    }
    if matches!(server.transport, ToolTransport::Shipped { .. }) {
        return ToolKind::Reads;
    }
    let claims_to_read = tool.annotations.as_ref().and_then(|hints| hints.read_only_hint) == Some(true);
    if claims_to_read {
        ToolKind::Reads
    } else {
        ToolKind::Posts
    }
}

/// Whether what a server answers was written by people that the game's maker does not know. Ours that work on data of
/// their own are the game's word; `news` passes on what others wrote.
pub(crate) fn is_untrusted(server: &ToolServer) -> bool {
    match &server.transport {
        ToolTransport::Shipped { name, .. } => !server.is_trusted && name == "news",
        _ => !server.is_trusted,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rmcp::model::ToolAnnotations;

    use super::*;

    fn server(transport: ToolTransport) -> ToolServer {
        ToolServer::new("shop", transport)
    }

    fn tool(claims_to_read: bool) -> Tool {
        let tool = Tool::new("buy", "Buys.", Arc::new(serde_json::Map::new()));
        tool.with_annotations(ToolAnnotations::new().read_only(claims_to_read))
    }

    #[test]
    fn a_server_cannot_make_its_tools_harmless_against_the_config() {
        let mut shop = server(ToolTransport::Unbuilt);
        assert_eq!(kind_of(&shop, &tool(false)), ToolKind::Posts);
        assert_eq!(kind_of(&shop, &tool(true)), ToolKind::Reads);
        shop.kinds.insert("buy".to_owned(), ToolKind::Spends);
        assert_eq!(kind_of(&shop, &tool(true)), ToolKind::Spends);
    }

    #[test]
    fn only_our_own_data_is_trusted_without_the_config() {
        let shipped = |name: &str| ToolTransport::Shipped {
            name: name.to_owned(),
            arguments: Vec::new(),
        };
        assert!(!is_untrusted(&server(shipped("weather"))));
        assert!(is_untrusted(&server(shipped("news"))));
        assert!(is_untrusted(&server(ToolTransport::Unbuilt)));
    }
}
