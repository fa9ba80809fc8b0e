//! Turns, as they are kept.

use gaia_names::{ConversationId, PlayerId, TurnId};
use gaia_protocol::chat::{Reply, ReplySource, Turn, TurnState};
use gaia_service::{Postgres, postgres::PostgresFault};
use tokio_postgres::Row;
use uuid::Uuid;

/// How things stand where a claim was not granted.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) persona: String,
    /// Which turn holds the conversation, if one does.
    pub(crate) held_by: Option<TurnId>,
    /// The turn with the wanted id, wherever it is.
    pub(crate) turn: Option<Turn>,
}

/// What came before a turn in its conversation.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) turn: TurnId,
    pub(crate) text: String,
    pub(crate) reply: String,
    pub(crate) lines: Vec<String>,
}

/// A message of the player, with its meaning where a model has read it.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) text: String,
    pub(crate) lines: Vec<String>,
    pub(crate) embedding: Option<Vec<u8>>,
}

/// How a player's conversation and a turn id stand; nothing if the conversation is not the player's.
pub(crate) async fn standing(
    postgres: &Postgres,
    player: PlayerId,
    conversation: ConversationId,
    turn: TurnId,
) -> Result<Option<Standing>, PostgresFault> {
    const STANDING: &str = "
        SELECT t.id, t.conversation_id, t.sequence, t.text, t.state, t.reply_text, t.reply_source, t.reply_route,
            t.created_at, t.finished_at, c.running_turn IS NOT DISTINCT FROM t.id AND c.lease_until >= now(),
            c.persona, CASE WHEN c.lease_until >= now() THEN c.running_turn END
        FROM chat.conversations AS c LEFT JOIN chat.turns AS t ON t.id = $3
        WHERE c.id = $1 AND c.player_id = $2";
    let client = postgres.client().await?;
    let statement = client.prepare_cached(STANDING).await?;
    let row = client
        .query_opt(&statement, &[&conversation.0, &player.0, &turn.0])
        .await?;
    Ok(row.map(|row| Standing {
        persona: row.get(11),
        held_by: row.get::<_, Option<Uuid>>(12).map(TurnId),
        turn: row.get::<_, Option<Uuid>>(0).map(|_| read_row(&row)),
    }))
}

/// One of a player's turns.
pub(crate) async fn find(
    postgres: &Postgres,
    player: PlayerId,
    conversation: ConversationId,
    turn: TurnId,
) -> Result<Option<Turn>, PostgresFault> {
    let standing = standing(postgres, player, conversation, turn).await?;
    Ok(standing
        .and_then(|standing| standing.turn)
        .filter(|turn| turn.conversation == conversation))
}

/// The turns of a player's conversation before a sequence number, newest first; nothing if the conversation is not the
/// player's.
pub(crate) async fn list(
    postgres: &Postgres,
    player: PlayerId,
    conversation: ConversationId,
    before: i64,
    rows: i64,
) -> Result<Option<Vec<Turn>>, PostgresFault> {
    const LIST: &str = "
        SELECT t.id, t.conversation_id, t.sequence, t.text, t.state, t.reply_text, t.reply_source, t.reply_route,
            t.created_at, t.finished_at, c.running_turn IS NOT DISTINCT FROM t.id AND c.lease_until >= now()
        FROM chat.conversations AS c LEFT JOIN LATERAL (
            SELECT * FROM chat.turns AS l WHERE l.conversation_id = c.id AND l.sequence < $3
            ORDER BY l.sequence DESC LIMIT $4
        ) AS t ON true
        WHERE c.id = $1 AND c.player_id = $2
        ORDER BY t.sequence DESC";
    let client = postgres.client().await?;
    let statement = client.prepare_cached(LIST).await?;
    let found = client
        .query(&statement, &[&conversation.0, &player.0, &before, &rows])
        .await?;
    if found.is_empty() {
        return Ok(None);
    }
    let is_turn = |row: &&Row| row.get::<_, Option<Uuid>>(0).is_some();
    Ok(Some(found.iter().filter(is_turn).map(read_row).collect()))
}

/// The last exchanges before a sequence number, oldest first.
pub(crate) async fn exchanges(
    postgres: &Postgres,
    conversation: ConversationId,
    before: i64,
    rows: i64,
) -> Result<Vec<Exchange>, PostgresFault> {
    const EXCHANGES: &str = "
        SELECT id, text, reply_text, reply_lines FROM chat.turns
        WHERE conversation_id = $1 AND sequence < $2 AND reply_text IS NOT NULL
        ORDER BY sequence DESC LIMIT $3";
    let client = postgres.client().await?;
    let statement = client.prepare_cached(EXCHANGES).await?;
    let rows = client.query(&statement, &[&conversation.0, &before, &rows]).await?;
    let exchange = |row: &Row| Exchange {
        turn: TurnId(row.get(0)),
        text: row.get(1),
        reply: row.get(2),
        lines: row.get(3),
    };
    Ok(rows.iter().rev().map(exchange).collect())
}

/// What the player said before a turn, newest first.
pub(crate) async fn said(
    postgres: &Postgres,
    conversation: ConversationId,
    before: TurnId,
    rows: i64,
) -> Result<Vec<Said>, PostgresFault> {
    const SAID: &str = "
        SELECT text, reply_lines, embedding FROM chat.turns
        WHERE conversation_id = $1 AND id <> $2
            AND sequence < coalesce((SELECT t.sequence FROM chat.turns AS t WHERE t.id = $2), 9223372036854775807)
        ORDER BY sequence DESC LIMIT $3";
    let client = postgres.client().await?;
    let statement = client.prepare_cached(SAID).await?;
    let rows = client.query(&statement, &[&conversation.0, &before.0, &rows]).await?;
    let said = |row: &Row| Said {
        text: row.get(0),
        lines: row.get(1),
        embedding: row.get(2),
    };
    Ok(rows.iter().map(said).collect())
}

/// A turn from its columns, in the order of the statements above. A turn that says it runs but has no lease was lost.
fn read_row(row: &Row) -> Turn {
    let is_held: bool = row.get::<_, Option<bool>>(10).unwrap_or(false);
    let state = match row.get(4) {
        "done" => TurnState::Done,
        "cancelled" => TurnState::Cancelled,
        "running" if is_held => TurnState::Running,
        _ => TurnState::Interrupted,
    };
    let reply = row.get::<_, Option<String>>(5).map(|text| Reply {
        text,
        source: match row.get(6) {
            Some("model") => ReplySource::Model,
            _ => ReplySource::Authored,
        },
        route: row.get::<_, Option<String>>(7).unwrap_or_default(),
    });
    Turn {
        id: TurnId(row.get(0)),
        conversation: ConversationId(row.get(1)),
        sequence: row.get(2),
        text: row.get(3),
        state,
        reply,
        created_at: row.get(8),
        finished_at: row.get(9),
    }
}

/// The word for a state in the table.
pub(super) const fn state_word(state: TurnState) -> &'static str {
    match state {
        TurnState::Running => "running",
        TurnState::Done => "done",
        TurnState::Cancelled => "cancelled",
        TurnState::Interrupted => "interrupted",
    }
}

/// The word for a source in the table.
pub(super) const fn source_word(source: ReplySource) -> &'static str {
    match source {
        ReplySource::Model => "model",
        ReplySource::Authored => "authored",
    }
}
