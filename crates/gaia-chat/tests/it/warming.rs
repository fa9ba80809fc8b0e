//! Beginnings of prompts that a vendor keeps before anybody talks.

use gaia_protocol::bundle::Provider;
use gaia_testkit::eventually;

use crate::chat::{Chat, REPLY, reply};

async fn with_prompt_of(bytes: usize) -> Chat {
    Chat::start_with(|bundle, _, llm| {
        bundle.personas[0].prompt = "Keep the lamps. ".repeat(bytes / 16);
        let route = &mut bundle.routes[0];
        (route.provider, route.base_url) = (Provider::Anthropic, llm.anthropic_url());
    })
    .await
}

#[tokio::test]
async fn a_long_beginning_is_sent_once_before_the_first_player_comes() {
    let mut chat = with_prompt_of(8_000).await;
    let warmed = eventually("the beginning is sent", async || chat.llm.received().pop()).await;
    assert_eq!(warmed.body["max_tokens"], 1);
    let beginning = &warmed.body["system"][0];
    assert_eq!(beginning["cache_control"]["type"], "ephemeral");
    let conversation = chat.conversation().await.id;
    assert_eq!(reply(&chat.say(conversation, "hello").await), REPLY);
    let turn = chat.llm.received().pop().unwrap();
    assert_eq!(&turn.body["system"][0], beginning, "what is kept is what is asked for");
    let owner = chat.game.owner().await;
    let kept = "SELECT count(*) FROM chat.usage WHERE game_id = $1 AND player_id IS NULL";
    chat.start_instance();
    eventually("what it took is in the ledger", async || {
        let row = owner.query_one(kept, &[&chat.game.id.as_str()]).await.unwrap();
        (row.get::<_, i64>(0) == 1).then_some(())
    })
    .await;
    assert_eq!(chat.llm.calls(), 2, "another process has no need to send it again");
}

#[tokio::test]
async fn a_beginning_that_no_vendor_keeps_is_not_sent() {
    let chat = with_prompt_of(160).await;
    let conversation = chat.conversation().await.id;
    chat.say(conversation, "hello").await;
    assert_eq!(chat.llm.calls(), 1);
}
