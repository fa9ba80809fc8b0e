//! The lease that a running turn has on its conversation: one update of one row to take it, keep it and end it.

use chrono::{DateTime, Utc};
use gaia_names::{ConversationId, PlayerId, TurnId};
use gaia_protocol::chat::{ReplySource, TurnState};
use gaia_service::{Postgres, postgres::PostgresFault};
use serde::Serialize;
use tokio_postgres::types::Json;
use uuid::Uuid;

/// A turn that wants to begin.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) conversation: ConversationId,
    pub(crate) player: PlayerId,
    pub(crate) turn: TurnId,
    pub(crate) text: String,
    /// Fresh for each attempt.
    pub(crate) lease: Uuid,
}

/// A turn that is ours.
#[derive(Clone, Debug)]
pub(crate) struct Claimed {
    pub(crate) sequence: i64,
    pub(crate) persona: String,
    pub(crate) player_name: Option<String>,
    pub(crate) created_at: DateTime<Utc>,
    /// It had begun before, elsewhere or earlier.
    pub(crate) is_again: bool,
}

/// How a turn ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) state: TurnState,
    pub(crate) reply: Option<KeptReply>,
    pub(crate) embedding: Option<Vec<u8>>,
    pub(crate) player_name: Option<String>,
    pub(crate) usage: Vec<UsageRow>,
}

impl Ended {
    /// Before anything was said or used.
    pub(crate) fn without_reply(state: TurnState) -> Self {
        Self {
            state,
            reply: None,
            embedding: None,
            player_name: None,
            usage: Vec::new(),
        }
    }
}

/// A reply with the lines that it was made of.
#[derive(Clone, Debug)]
pub(crate) struct KeptReply {
    pub(crate) text: String,
    pub(crate) source: ReplySource,
    pub(crate) route: String,
    pub(crate) lines: Vec<String>,
}

/// One call of a model.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct UsageRow {
    pub(crate) id: Uuid,
    pub(crate) route: String,
    pub(crate) provider: &'static str,
    pub(crate) model: String,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    pub(crate) cache_read_tokens: u64,
    pub(crate) cache_write_tokens: u64,
    pub(crate) is_estimated: bool,
    pub(crate) milliseconds: u64,
}

/// Takes the lease and keeps the player's message, unless the conversation is not the player's, its persona is not one
/// of these, another turn holds it, or the turn is there already. A turn whose lease had run out becomes interrupted.
pub(crate) async fn take(
    postgres: &Postgres,
    wanted: &Wanted,
    personas: &[String],
) -> Result<Option<Claimed>, PostgresFault> {
    const TAKE: &str = "
        WITH claimed AS (
            UPDATE chat.conversations AS c
            SET running_turn = $3, lease = $4, lease_until = now() + interval '10 s',
                turns = c.turns + 1, updated_at = now()
            WHERE c.id = $1 AND c.player_id = $2 AND c.persona = ANY ($6)
                AND (c.running_turn IS NULL OR c.lease_until < now())
                AND NOT EXISTS (SELECT FROM chat.turns AS t WHERE t.id = $3)
            RETURNING c.turns AS sequence, c.persona, c.player_name,
                (SELECT b.running_turn FROM chat.conversations AS b WHERE b.id = $1) AS lost
        ), interrupted AS (
            UPDATE chat.turns AS t SET state = 'interrupted', finished_at = now()
            FROM claimed WHERE t.id = claimed.lost AND t.state = 'running'
        )
        INSERT INTO chat.turns AS t (id, conversation_id, sequence, text, state)
        SELECT $3, $1, claimed.sequence, $5, 'running' FROM claimed
        RETURNING t.sequence, t.created_at, (SELECT persona FROM claimed), (SELECT player_name FROM claimed)";
    let client = postgres.client().await?;
    let statement = client.prepare_cached(TAKE).await?;
    let Wanted {
        conversation,
        player,
        turn,
        text,
        lease,
    } = wanted;
    let row = client
        .query_opt(
            &statement,
            &[&conversation.0, &player.0, &turn.0, lease, text, &personas],
        )
        .await?;
    Ok(row.map(|row| Claimed {
        sequence: row.get(0),
        created_at: row.get(1),
        persona: row.get(2),
        player_name: row.get(3),
        is_again: false,
    }))
}

/// Takes the lease for a turn that began before and was lost.
pub(crate) async fn take_over(
    postgres: &Postgres,
    wanted: &Wanted,
    personas: &[String],
) -> Result<Option<Claimed>, PostgresFault> {
    const TAKE_OVER: &str = "
        WITH claimed AS (
            UPDATE chat.conversations AS c
            SET running_turn = $3, lease = $4, lease_until = now() + interval '10 s', updated_at = now()
            WHERE c.id = $1 AND c.player_id = $2 AND c.persona = ANY ($6)
                AND (c.running_turn IS NULL OR c.lease_until < now())
                AND EXISTS (
                    SELECT FROM chat.turns AS t
                    WHERE t.id = $3 AND t.conversation_id = $1 AND t.text = $5 AND t.state IN ('running', 'interrupted'))
            RETURNING c.persona, c.player_name,
                (SELECT b.running_turn FROM chat.conversations AS b WHERE b.id = $1) AS lost
        ), interrupted AS (
            UPDATE chat.turns AS t SET state = 'interrupted', finished_at = now()
            FROM claimed WHERE t.id = claimed.lost AND t.id <> $3 AND t.state = 'running'
        )
        UPDATE chat.turns AS t SET state = 'running', finished_at = NULL
        FROM claimed WHERE t.id = $3 AND t.state IN ('running', 'interrupted')
        RETURNING t.sequence, t.created_at, claimed.persona, claimed.player_name";
    let client = postgres.client().await?;
    let statement = client.prepare_cached(TAKE_OVER).await?;
    let Wanted {
        conversation,
        player,
        turn,
        text,
        lease,
    } = wanted;
    let row = client
        .query_opt(
            &statement,
            &[&conversation.0, &player.0, &turn.0, lease, text, &personas],
        )
        .await?;
    Ok(row.map(|row| Claimed {
        sequence: row.get(0),
        created_at: row.get(1),
        persona: row.get(2),
        player_name: row.get(3),
        is_again: true,
    }))
}

/// Keeps the lease for another ten seconds; false if it is not ours any more.
pub(crate) async fn keep(postgres: &Postgres, wanted: &Wanted) -> Result<bool, PostgresFault> {
    const KEEP: &str = "
        UPDATE chat.conversations SET lease_until = now() + interval '10 s'
        WHERE id = $1 AND running_turn = $2 AND lease = $3";
    let client = postgres.client().await?;
    let statement = client.prepare_cached(KEEP).await?;
    let kept = client
        .execute(&statement, &[&wanted.conversation.0, &wanted.turn.0, &wanted.lease])
        .await?;
    Ok(kept > 0)
}

/// Keeps how a turn ended, what it used, and gives the lease back: all or nothing. Says when that was; nothing if the
/// lease is not ours any more, for then somebody else has the turn, or the conversation is gone.
pub(crate) async fn end(
    postgres: &Postgres,
    wanted: &Wanted,
    ended: &Ended,
) -> Result<Option<DateTime<Utc>>, PostgresFault> {
    const END: &str = "
        WITH released AS (
            UPDATE chat.conversations AS c
            SET running_turn = NULL, lease = NULL, lease_until = NULL, player_name = coalesce($4, c.player_name)
            WHERE c.id = $1 AND c.running_turn = $2 AND c.lease = $3
            RETURNING c.player_id, c.persona
        ), metered AS (
            INSERT INTO chat.usage (id, turn_id, player_id, persona, route, provider, model, input_tokens,
                output_tokens, cache_read_tokens, cache_write_tokens, is_estimated, milliseconds)
            SELECT u.id, $2, released.player_id, released.persona, u.route, u.provider, u.model, u.input_tokens,
                u.output_tokens, u.cache_read_tokens, u.cache_write_tokens, u.is_estimated, u.milliseconds
            FROM released, jsonb_to_recordset($11) AS u (id uuid, route text, provider text, model text,
                input_tokens bigint, output_tokens bigint, cache_read_tokens bigint, cache_write_tokens bigint,
                is_estimated boolean, milliseconds bigint)
        )
        UPDATE chat.turns AS t
        SET state = $5, reply_text = $6, reply_source = $7, reply_route = $8, reply_lines = $9, embedding = $10,
            finished_at = clock_timestamp()
        FROM released WHERE t.id = $2 AND t.state = 'running'
        RETURNING t.finished_at";
    let client = postgres.client().await?;
    let statement = client.prepare_cached(END).await?;
    let reply = ended.reply.as_ref();
    let no_lines = Vec::new();
    let row = client
        .query_opt(
            &statement,
            &[
                &wanted.conversation.0,
                &wanted.turn.0,
                &wanted.lease,
                &ended.player_name,
                &super::turns::state_word(ended.state),
                &reply.map(|reply| reply.text.as_str()),
                &reply.map(|reply| super::turns::source_word(reply.source)),
                &reply.map(|reply| reply.route.as_str()),
                &reply.map_or(&no_lines, |reply| &reply.lines),
                &ended.embedding,
                &Json(&ended.usage),
            ],
        )
        .await?;
    Ok(row.map(|row| row.get(0)))
}
