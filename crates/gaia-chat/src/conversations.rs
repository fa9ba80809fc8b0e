//! Personas to choose from, and conversations without their turns.

use std::{sync::Arc, time::Duration};

use gaia_names::{ConversationId, PersonaId};
use gaia_protocol::{
    ErrorCode, Fault,
    bundle::{Persona, reserved, slots},
    chat::{
        Conversation, DeleteConversation, ForgetPlayer, LONGEST_TITLE, ListConversations, ListPersonas, Page,
        PersonaCard, ReadConversation, StartConversation,
    },
};

use crate::{
    context::{self, Context},
    cursor,
    game::Game,
    store,
};

pub(crate) async fn list_personas(game: Arc<Game>, _: ListPersonas) -> Result<Vec<PersonaCard>, Fault> {
    Ok(game.bundle.now().bundle.personas.iter().map(card).collect())
}

pub(crate) async fn start(game: Arc<Game>, ask: StartConversation) -> Result<Conversation, Fault> {
    let StartConversation {
        caller,
        persona,
        title,
        may_answer_later,
    } = ask;
    if game.bundle.now().persona(&persona).is_none() {
        return Err(no_persona(&persona));
    }
    let title = title.as_deref().map(checked_title).transpose()?;
    let id = ConversationId::fresh();
    let conversation =
        store::conversations::add(&game.postgres, id, caller.player, &persona, title, may_answer_later).await?;
    context::remember(
        &game.redis,
        id,
        &Context::fresh(caller.player, persona, may_answer_later),
    )
    .await;
    Ok(conversation)
}

pub(crate) async fn list(game: Arc<Game>, ask: ListConversations) -> Result<Page<Conversation>, Fault> {
    let rows = cursor::rows(ask.limit)?;
    let after = cursor::read_conversation(ask.before.as_deref())?;
    let mut items = store::conversations::list(&game.postgres, ask.caller.player, after, rows).await?;
    let has_more = items.len() > usize::from(ask.limit);
    items.truncate(usize::from(ask.limit));
    let next = items
        .last()
        .filter(|_| has_more)
        .map(|last| cursor::after_conversation(last.updated_at, last.id.0));
    Ok(Page { items, next })
}

pub(crate) async fn read(game: Arc<Game>, ask: ReadConversation) -> Result<Conversation, Fault> {
    let found = store::conversations::find(&game.postgres, ask.caller.player, ask.conversation).await?;
    found.ok_or_else(no_conversation)
}

pub(crate) async fn delete(game: Arc<Game>, ask: DeleteConversation) -> Result<(), Fault> {
    if !store::conversations::delete(&game.postgres, ask.caller.player, ask.conversation).await? {
        return Err(no_conversation());
    }
    game.in_hand.give_up_conversation(ask.conversation);
    forget_contexts(&game, vec![ask.conversation]).await;
    Ok(())
}

/// Deleting what is deleted is fine: `auth` asks until it has been answered.
pub(crate) async fn forget_player(game: Arc<Game>, ask: ForgetPlayer) -> Result<(), Fault> {
    let gone = store::conversations::forget(&game.postgres, ask.player).await?;
    for conversation in &gone {
        game.in_hand.give_up_conversation(*conversation);
    }
    forget_contexts(&game, gone).await;
    Ok(())
}

/// The same answer for what is not there and for what is another player's.
pub(crate) fn no_conversation() -> Fault {
    Fault::new(ErrorCode::NotFound, "You have no conversation with this id.")
}

/// Also for a conversation whose persona has left the game: it can still be read.
pub(crate) fn no_persona(persona: &PersonaId) -> Fault {
    Fault::new(
        ErrorCode::NotFound,
        format!("The game has no character `{persona}`; choose one from the list of personas."),
    )
}

/// Twice, because a turn that ended at the same moment may write its context after the first time.
async fn forget_contexts(game: &Arc<Game>, gone: Vec<ConversationId>) {
    context::forget(&game.redis, &gone).await;
    let again = Arc::clone(game);
    game.tasks.spawn(async move {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(2)) => {}
            () = again.tasks.stopping() => {}
        }
        context::forget(&again.redis, &gone).await;
    });
}

fn checked_title(title: &str) -> Result<&str, Fault> {
    let title = title.trim();
    let fault = |rule: &str| Err(Fault::new(ErrorCode::InvalidInput, format!("`title` {rule}.")));
    if title.is_empty() {
        return fault("is empty; leave it out or give it some words");
    }
    if title.chars().count() > LONGEST_TITLE {
        return fault(&format!("is over {LONGEST_TITLE} characters long; shorten it"));
    }
    if title.chars().any(char::is_control) {
        return fault("has control characters; use plain text");
    }
    Ok(title)
}

fn card(persona: &Persona) -> PersonaCard {
    let greeting = persona.intents.iter().find(|intent| intent.name == reserved::GREETING);
    let first = greeting.and_then(|intent| intent.say.iter().find(|line| has_no_slot(line)));
    PersonaCard {
        id: persona.id.clone(),
        name: persona.name.clone(),
        role: persona.role.clone(),
        greeting: first.cloned(),
    }
}

fn has_no_slot(line: &str) -> bool {
    !line.contains(slots::PLAYER) && !line.contains(slots::EARLIER)
}
