//! Conversations, without their turns.

use chrono::{DateTime, Utc};
use gaia_names::{ConversationId, PersonaId, PlayerId};
use gaia_protocol::chat::Conversation;
use gaia_service::{Postgres, postgres::PostgresFault};
use tokio_postgres::Row;
use uuid::Uuid;

/// Keeps a new one.
pub(crate) async fn add(
    postgres: &Postgres,
    id: ConversationId,
    player: PlayerId,
    persona: &PersonaId,
    title: Option<&str>,
    may_answer_later: bool,
) -> Result<Conversation, PostgresFault> {
    const ADD: &str = "
        INSERT INTO chat.conversations (id, player_id, persona, title, may_answer_later) VALUES ($1, $2, $3, $4, $5)
        RETURNING id, persona, title, turns, created_at, updated_at, may_answer_later";
    let client = postgres.client().await?;
    let statement = client.prepare_cached(ADD).await?;
    let row = client
        .query_one(
            &statement,
            &[&id.0, &player.0, &persona.as_str(), &title, &may_answer_later],
        )
        .await?;
    Ok(read_row(&row))
}

/// A player's conversations that come after a place in the list.
pub(crate) async fn list(
    postgres: &Postgres,
    player: PlayerId,
    (updated_at, id): (DateTime<Utc>, Uuid),
    rows: i64,
) -> Result<Vec<Conversation>, PostgresFault> {
    const LIST: &str = "
        SELECT id, persona, title, turns, created_at, updated_at, may_answer_later FROM chat.conversations
        WHERE player_id = $1 AND updated_at <= $2 AND (updated_at < $2 OR id < $3)
        ORDER BY updated_at DESC, id DESC LIMIT $4";
    let client = postgres.client().await?;
    let statement = client.prepare_cached(LIST).await?;
    let rows = client.query(&statement, &[&player.0, &updated_at, &id, &rows]).await?;
    Ok(rows.iter().map(read_row).collect())
}

/// One of a player's conversations.
pub(crate) async fn find(
    postgres: &Postgres,
    player: PlayerId,
    id: ConversationId,
) -> Result<Option<Conversation>, PostgresFault> {
    const FIND: &str = "
        SELECT id, persona, title, turns, created_at, updated_at, may_answer_later FROM chat.conversations
        WHERE id = $1 AND player_id = $2";
    let client = postgres.client().await?;
    let statement = client.prepare_cached(FIND).await?;
    let row = client.query_opt(&statement, &[&id.0, &player.0]).await?;
    Ok(row.as_ref().map(read_row))
}

/// Deletes one of a player's conversations with its turns; false if there is none.
pub(crate) async fn delete(postgres: &Postgres, player: PlayerId, id: ConversationId) -> Result<bool, PostgresFault> {
    const DELETE: &str = "DELETE FROM chat.conversations WHERE id = $1 AND player_id = $2";
    let client = postgres.client().await?;
    let statement = client.prepare_cached(DELETE).await?;
    Ok(client.execute(&statement, &[&id.0, &player.0]).await? > 0)
}

/// Deletes a player's conversations with their turns, and takes the player out of what was used. Says which
/// conversations are gone.
pub(crate) async fn forget(postgres: &Postgres, player: PlayerId) -> Result<Vec<ConversationId>, PostgresFault> {
    const FORGET: &str = "
        WITH unnamed AS (UPDATE chat.usage SET player_id = NULL WHERE player_id = $1),
            unnamed_too AS (UPDATE chat.reservations SET player_id = NULL WHERE player_id = $1)
        DELETE FROM chat.conversations WHERE player_id = $1 RETURNING id";
    let client = postgres.client().await?;
    let statement = client.prepare_cached(FORGET).await?;
    let rows = client.query(&statement, &[&player.0]).await?;
    Ok(rows.iter().map(|row| ConversationId(row.get(0))).collect())
}

fn read_row(row: &Row) -> Conversation {
    let persona: &str = row.get(1);
    Conversation {
        id: ConversationId(row.get(0)),
        persona: persona.parse().expect("only names of personas are kept"),
        title: row.get(2),
        turns: row.get(3),
        created_at: row.get(4),
        updated_at: row.get(5),
        may_answer_later: row.get(6),
    }
}
