//! Our side of a connection: what servers may tell and ask us.
#![expect(
    deprecated,
    reason = "servers of the older era may still ask for sampling and roots, which we refuse"
)]

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rmcp::{
    ClientHandler, ErrorData, RoleClient,
    model::{
        ClientCapabilities, ClientConfig, CreateMessageRequestMethod, CreateMessageRequestParams, CreateMessageResult,
        ElicitRequestParams, ElicitResult, ElicitationAction, ElicitationCapability, FormElicitationCapability,
        Implementation, ListRootsRequestMethod, ListRootsResult, ProgressNotificationParam, ProgressToken,
        ProtocolVersion, RequestId, UrlElicitationCapability,
    },
    service::{InboundStreamOrigin, NotificationContext, RequestContext},
};
use tokio::sync::{Notify, RwLock, RwLockReadGuard};

use crate::{ask::Ears, connection::Eras};

/// The calls in hand at one server.
#[derive(Default)]
pub(crate) struct InHand {
    calls: Mutex<HashMap<RequestId, (ProgressToken, Arc<Ears>)>>,
    sending: RwLock<()>,
}

impl InHand {
    fn calls(&self) -> MutexGuard<'_, HashMap<RequestId, (ProgressToken, Arc<Ears>)>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Held from before a call is sent until it is added: a server may ask before its number is known here.
    pub(crate) async fn sending(&self) -> RwLockReadGuard<'_, ()> {
        self.sending.read().await
    }

    pub(crate) fn add(&self, id: RequestId, token: ProgressToken, ears: Arc<Ears>) {
        self.calls().insert(id, (token, ears));
    }

    /// Waits until every call that was sent is added.
    async fn all_added(&self) {
        drop(self.sending.write().await);
    }

    pub(crate) fn remove(&self, id: &RequestId) {
        self.calls().remove(id);
    }

    fn by_token(&self, token: &ProgressToken) -> Option<Arc<Ears>> {
        let calls = self.calls();
        let found = calls.values().find(|(of, _)| of == token);
        found.map(|(_, ears)| ears.clone())
    }

    /// Which call a question belongs to. Where the server does not say and several are in hand, none: a question must
    /// never reach another player.
    fn asked_by(&self, origin: Option<&InboundStreamOrigin>) -> Option<Arc<Ears>> {
        let calls = self.calls();
        match origin {
            Some(InboundStreamOrigin::OutboundRequest(id)) => calls.get(id).map(|(_, ears)| ears.clone()),
            _ if calls.len() == 1 => calls.values().next().map(|(_, ears)| ears.clone()),
            _ => None,
        }
    }
}

/// Answers a server's own requests: questions to the player are passed on; sampling and roots are off.
pub(crate) struct Client {
    pub(crate) in_hand: Arc<InHand>,
    pub(crate) list_changed: Arc<Notify>,
    pub(crate) eras: Eras,
}

impl ClientHandler for Client {
    fn get_info(&self) -> ClientConfig {
        let mut capabilities = ClientCapabilities::default();
        let elicitation = ElicitationCapability::new()
            .with_form(FormElicitationCapability::default())
            .with_url(UrlElicitationCapability::default());
        capabilities.elicitation = Some(elicitation);
        ClientConfig::new(capabilities, Implementation::new("gaia", env!("CARGO_PKG_VERSION")))
            .with_protocol_version(ProtocolVersion::LATEST_WITH_INITIALIZE)
    }

    async fn create_message(
        &self,
        _: CreateMessageRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        Err(ErrorData::method_not_found::<CreateMessageRequestMethod>())
    }

    async fn list_roots(&self, _: RequestContext<RoleClient>) -> Result<ListRootsResult, ErrorData> {
        Err(ErrorData::method_not_found::<ListRootsRequestMethod>())
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        self.in_hand.all_added().await;
        match self.in_hand.asked_by(context.extensions.get::<InboundStreamOrigin>()) {
            Some(ears) => Ok(ears.ask(request).await),
            None => Ok(ElicitResult::new(ElicitationAction::Decline)),
        }
    }

    async fn on_progress(&self, progress: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        self.in_hand.all_added().await;
        if let Some(ears) = self.in_hand.by_token(&progress.progress_token) {
            ears.progress(progress.progress, progress.total, progress.message.as_deref());
        }
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.list_changed.notify_one();
    }
}
