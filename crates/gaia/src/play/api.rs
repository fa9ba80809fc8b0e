//! The player's API as a client sees it: which path, what goes there, what comes back.

use std::time::Duration;

use futures::{StreamExt, stream::BoxStream};
use gaia_names::{ConversationId, PersonaId, Secret, TurnId};
use gaia_protocol::{
    auth::{Player, SignedIn},
    chat::{Conversation, PersonaCard, PlayerAnswer, TurnEvent},
};
use reqwest::{Client, Method, RequestBuilder, Url, header};
use serde_json::json;

use super::{
    answer::{answer, events, refusal, rows},
    fault::ApiFault,
};

/// How long a connection may take, and an answer that is no stream.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(30);
/// How long a stream may say nothing at all. The game says that it is alive every second.
const SILENCE: Duration = Duration::from_secs(20);

/// One game's gateway.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    client: Client,
    base: Url,
}

impl Api {
    /// The gateway at an address.
    pub(crate) fn at(base: Url) -> Result<Self, reqwest::Error> {
        let mut client = Client::builder().connect_timeout(CONNECT).read_timeout(SILENCE);
        if is_this_machine(&base) {
            // A proxy that the environment names cannot reach this machine's own loopback.
            client = client.no_proxy();
        }
        Ok(Self {
            client: client.build()?,
            base,
        })
    }

    /// Where it is.
    pub(crate) fn base(&self) -> &Url {
        &self.base
    }

    /// Comes in as a guest. The same device is the same player.
    pub(crate) async fn enter_as_guest(&self, device: &Secret) -> Result<SignedIn, ApiFault> {
        let ask = self.ask(Method::POST, &["players", "guest"], None);
        answer(ask.json(&json!({ "device_id": device.expose() })).timeout(ANSWER)).await
    }

    /// Exchanges a refresh token for the next pair.
    pub(crate) async fn refresh(&self, refresh_token: &Secret) -> Result<SignedIn, ApiFault> {
        let ask = self.ask(Method::POST, &["sessions", "refresh"], None);
        answer(
            ask.json(&json!({ "refresh_token": refresh_token.expose() }))
                .timeout(ANSWER),
        )
        .await
    }

    /// The player who asks.
    pub(crate) async fn who(&self, token: &Secret) -> Result<Player, ApiFault> {
        answer(self.ask(Method::GET, &["players", "me"], Some(token)).timeout(ANSWER)).await
    }

    /// The game's personas.
    pub(crate) async fn personas(&self, token: &Secret) -> Result<Vec<PersonaCard>, ApiFault> {
        rows(self.ask(Method::GET, &["personas"], Some(token)).timeout(ANSWER)).await
    }

    /// The player's conversations, the one talked in last first.
    pub(crate) async fn conversations(&self, token: &Secret) -> Result<Vec<Conversation>, ApiFault> {
        // The page's usual size will do: who talked to more personas than that since starts anew with this one.
        rows(self.ask(Method::GET, &["conversations"], Some(token)).timeout(ANSWER)).await
    }

    /// Begins to talk to a persona.
    pub(crate) async fn start(&self, token: &Secret, persona: &PersonaId) -> Result<Conversation, ApiFault> {
        let ask = self.ask(Method::POST, &["conversations"], Some(token));
        answer(ask.json(&json!({ "persona": persona })).timeout(ANSWER)).await
    }

    /// Says something; what happens to the turn comes as it happens. Sending a turn again never doubles it.
    pub(crate) async fn take_turn(
        &self,
        token: &Secret,
        conversation: ConversationId,
        turn: TurnId,
        text: &str,
    ) -> Result<BoxStream<'static, Result<TurnEvent, ApiFault>>, ApiFault> {
        let path = ["conversations", &conversation.to_string(), "turns"];
        let ask = self
            .ask(Method::POST, &path, Some(token))
            .header(header::ACCEPT, "text/event-stream");
        let response = ask.json(&json!({ "turn": turn, "text": text })).send().await?;
        if !response.status().is_success() {
            return Err(refusal(response).await);
        }
        Ok(events(response).boxed())
    }

    /// Stops a turn; `final` follows on its stream.
    pub(crate) async fn cancel(
        &self,
        token: &Secret,
        conversation: ConversationId,
        turn: TurnId,
    ) -> Result<(), ApiFault> {
        let path = [
            "conversations",
            &conversation.to_string(),
            "turns",
            &turn.to_string(),
            "cancel",
        ];
        let response = self
            .ask(Method::POST, &path, Some(token))
            .timeout(ANSWER)
            .send()
            .await?;
        if response.status().is_success() {
            Ok(())
        } else {
            Err(refusal(response).await)
        }
    }

    /// Answers what a turn asks.
    pub(crate) async fn answer(
        &self,
        token: &Secret,
        conversation: ConversationId,
        turn: TurnId,
        number: u32,
        answer: &PlayerAnswer,
    ) -> Result<(), ApiFault> {
        let path = [
            "conversations",
            &conversation.to_string(),
            "turns",
            &turn.to_string(),
            "answers",
        ];
        let body = json!({ "number": number, "answer": answer.verdict, "values": answer.values });
        let ask = self.ask(Method::POST, &path, Some(token)).json(&body);
        let response = ask.timeout(ANSWER).send().await?;
        if response.status().is_success() {
            Ok(())
        } else {
            Err(refusal(response).await)
        }
    }

    fn ask(&self, method: Method, path: &[&str], token: Option<&Secret>) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        let ask = self.client.request(method, url);
        match token {
            Some(token) => ask.bearer_auth(token.expose()),
            None => ask,
        }
    }
}

/// Whether an address is this machine's own loopback.
fn is_this_machine(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let host = host.trim_matches(['[', ']']);
        host == "localhost"
            || host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    })
}
