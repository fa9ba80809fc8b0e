//! The lease that a running turn has on its conversation: one update of one row to take it, keep it and end it.

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use gaia_names::{ConversationId, PlayerId, TurnId};
use gaia_protocol::chat::{ReplySource, TurnState};
use gaia_service::{Postgres, postgres::PostgresFault};
use serde::Serialize;
use tokio_postgres::{Row, types::Json};
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
    pub(crate) may_answer_later: bool,
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
    pub(crate) turn: TurnId,
    pub(crate) route: String,
    pub(crate) provider: &'static str,
    pub(crate) model: String,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    pub(crate) cache_read_tokens: u64,
    pub(crate) cache_write_tokens: u64,
    pub(crate) is_estimated: bool,
    pub(crate) milliseconds: u64,
    /// The day of the budget that it counts for.
    pub(crate) day: NaiveDate,
    pub(crate) cost_micros: u64,
    /// What was set aside for it, where something was. The ledger has at most one row for it.
    pub(crate) reservation: Option<Uuid>,
}

/// Takes the leases and keeps the players' messages, unless a conversation is not the player's, another turn holds it, or
/// the turn is there already. A turn whose lease had run out becomes interrupted. Answers in the order of the questions.
pub(crate) async fn take(postgres: &Postgres, wanted: &[Arc<Wanted>]) -> Result<Vec<Option<Claimed>>, PostgresFault> {
    // The planner is to look up each conversation in turn: in the order of the ids, so that two batches that meet wait for
    // each other and do not lock each other out.
    const TAKE: &str = "
        WITH wanted AS MATERIALIZED (
            SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[])
                AS w (conversation, player, turn, lease, text)
            ORDER BY conversation
        ), claimed AS (
            UPDATE chat.conversations AS c
            SET running_turn = w.turn, lease = w.lease, lease_until = now() + interval '10 s',
                turns = c.turns + 1, updated_at = now()
            FROM wanted AS w
            WHERE c.id = w.conversation AND c.player_id = w.player
                AND (c.running_turn IS NULL OR c.lease_until < now())
                AND NOT EXISTS (SELECT FROM chat.turns AS t WHERE t.id = w.turn)
            RETURNING w.conversation, w.turn, w.lease, w.text, c.turns AS sequence, c.persona, c.player_name,
                c.may_answer_later,
                (SELECT b.running_turn FROM chat.conversations AS b WHERE b.id = w.conversation) AS lost
        ), interrupted AS (
            UPDATE chat.turns AS t SET state = 'interrupted', finished_at = now()
            FROM claimed WHERE t.id = claimed.lost AND t.state = 'running'
        ), begun AS (
            INSERT INTO chat.turns (id, conversation_id, sequence, text, state)
            SELECT turn, conversation, sequence, text, 'running' FROM claimed
        )
        SELECT lease, sequence, now(), persona, player_name, may_answer_later FROM claimed";
    let client = postgres.client().await?;
    let statement = client.prepare_cached(TAKE).await?;
    let ids = |id: fn(&Wanted) -> Uuid| wanted.iter().map(|wanted| id(wanted)).collect::<Vec<_>>();
    let texts: Vec<_> = wanted.iter().map(|wanted| wanted.text.as_str()).collect();
    let rows = client
        .query(
            &statement,
            &[
                &ids(|wanted| wanted.conversation.0),
                &ids(|wanted| wanted.player.0),
                &ids(|wanted| wanted.turn.0),
                &ids(|wanted| wanted.lease),
                &texts,
            ],
        )
        .await?;
    let claimed = |wanted: &Arc<Wanted>| {
        let row = rows.iter().find(|row| row.get::<_, Uuid>(0) == wanted.lease)?;
        Some(Claimed {
            sequence: row.get(1),
            created_at: row.get(2),
            persona: row.get(3),
            player_name: row.get(4),
            may_answer_later: row.get(5),
            is_again: false,
        })
    };
    Ok(wanted.iter().map(claimed).collect())
}

/// Takes the lease for a turn that began before and was lost.
pub(crate) async fn take_over(postgres: &Postgres, wanted: &Wanted) -> Result<Option<Claimed>, PostgresFault> {
    const TAKE_OVER: &str = "
        WITH claimed AS (
            UPDATE chat.conversations AS c
            SET running_turn = $3, lease = $4, lease_until = now() + interval '10 s', updated_at = now()
            WHERE c.id = $1 AND c.player_id = $2
                AND (c.running_turn IS NULL OR c.lease_until < now())
                AND EXISTS (
                    SELECT FROM chat.turns AS t
                    WHERE t.id = $3 AND t.conversation_id = $1 AND t.text = $5 AND t.state IN ('running', 'interrupted'))
            RETURNING c.persona, c.player_name, c.may_answer_later,
                (SELECT b.running_turn FROM chat.conversations AS b WHERE b.id = $1) AS lost
        ), interrupted AS (
            UPDATE chat.turns AS t SET state = 'interrupted', finished_at = now()
            FROM claimed WHERE t.id = claimed.lost AND t.id <> $3 AND t.state = 'running'
        )
        UPDATE chat.turns AS t SET state = 'running', finished_at = NULL
        FROM claimed WHERE t.id = $3 AND t.state IN ('running', 'interrupted')
        RETURNING t.sequence, t.created_at, claimed.persona, claimed.player_name, claimed.may_answer_later";
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
        .query_opt(&statement, &[&conversation.0, &player.0, &turn.0, lease, text])
        .await?;
    Ok(row.map(|row| Claimed {
        sequence: row.get(0),
        created_at: row.get(1),
        persona: row.get(2),
        player_name: row.get(3),
        may_answer_later: row.get(4),
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

/// Keeps how turns ended, what they used, and gives the leases back: all or nothing. Says when that was; nothing where
/// the lease is not ours any more, for then somebody else has the turn, or the conversation is gone.
pub(crate) async fn end(
    postgres: &Postgres,
    ends: &[Arc<(Wanted, Ended)>],
) -> Result<Vec<Option<DateTime<Utc>>>, PostgresFault> {
    const END: &str = "
        WITH ended AS MATERIALIZED (
            SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[],
                    $8::text[], $9::text[], $10::bytea[])
                AS e (conversation, turn, lease, player_name, state, text, source, route, lines, embedding)
            ORDER BY conversation
        ), released AS (
            UPDATE chat.conversations AS c
            SET running_turn = NULL, lease = NULL, lease_until = NULL,
                player_name = coalesce(e.player_name, c.player_name)
            FROM ended AS e
            WHERE c.id = e.conversation AND c.running_turn = e.turn AND c.lease = e.lease
            RETURNING c.player_id, c.persona, e.*
        ), used AS MATERIALIZED (
            SELECT released.player_id, released.persona, u.*
            FROM jsonb_to_recordset($11) AS u (id uuid, turn uuid, route text, provider text, model text,
                input_tokens bigint, output_tokens bigint, cache_read_tokens bigint, cache_write_tokens bigint,
                is_estimated boolean, milliseconds bigint, day date, cost_micros bigint, reservation uuid)
            JOIN released ON released.turn = u.turn
        ), metered AS (
            INSERT INTO chat.usage (id, turn_id, player_id, persona, route, provider, model, input_tokens,
                output_tokens, cache_read_tokens, cache_write_tokens, is_estimated, milliseconds, day, cost_micros,
                reservation)
            SELECT id, turn, player_id, persona, route, provider, model, input_tokens, output_tokens,
                cache_read_tokens, cache_write_tokens, is_estimated, milliseconds, day, cost_micros, reservation
            FROM used
            ON CONFLICT DO NOTHING
        ), unreserved AS (
            DELETE FROM chat.reservations AS r USING used WHERE r.id = used.reservation
        )
        UPDATE chat.turns AS t
        SET state = r.state, reply_text = r.text, reply_source = r.source, reply_route = r.route,
            reply_lines = string_to_array(r.lines, E'\n'), embedding = r.embedding, finished_at = clock_timestamp()
        FROM released AS r WHERE t.id = r.turn AND t.state = 'running'
        RETURNING r.lease, t.finished_at";
    let rows = query_ends(postgres, END, ends).await?;
    let finished = |end: &Arc<(Wanted, Ended)>| {
        let row = rows.iter().find(|row| row.get::<_, Uuid>(0) == end.0.lease)?;
        Some(row.get(1))
    };
    Ok(ends.iter().map(finished).collect())
}

/// Keeps what calls used for a turn whose end is not kept. Rows that are there already stay as they are. Where the
/// conversation is gone, nobody knows the player any more.
pub(crate) async fn meter(
    postgres: &Postgres,
    wanted: &Wanted,
    persona: &str,
    usage: &[UsageRow],
) -> Result<(), PostgresFault> {
    const METER: &str = "
        WITH used AS MATERIALIZED (
            SELECT * FROM jsonb_to_recordset($4) AS u (id uuid, turn uuid, route text, provider text, model text,
                input_tokens bigint, output_tokens bigint, cache_read_tokens bigint, cache_write_tokens bigint,
                is_estimated boolean, milliseconds bigint, day date, cost_micros bigint, reservation uuid)
        ), unreserved AS (
            DELETE FROM chat.reservations AS r USING used WHERE r.id = used.reservation
        )
        INSERT INTO chat.usage (id, turn_id, player_id, persona, route, provider, model, input_tokens, output_tokens,
            cache_read_tokens, cache_write_tokens, is_estimated, milliseconds, day, cost_micros, reservation)
        SELECT u.id, u.turn, (SELECT c.player_id FROM chat.conversations AS c WHERE c.id = $1 AND c.player_id = $2), $3,
            u.route, u.provider, u.model, u.input_tokens, u.output_tokens, u.cache_read_tokens, u.cache_write_tokens,
            u.is_estimated, u.milliseconds, u.day, u.cost_micros, u.reservation
        FROM used AS u
        ON CONFLICT DO NOTHING";
    let client = postgres.client().await?;
    let statement = client.prepare_cached(METER).await?;
    let (conversation, player) = (wanted.conversation.0, wanted.player.0);
    client
        .execute(&statement, &[&conversation, &player, &persona, &Json(usage)])
        .await?;
    Ok(())
}

async fn query_ends(
    postgres: &Postgres,
    statement: &str,
    ends: &[Arc<(Wanted, Ended)>],
) -> Result<Vec<Row>, PostgresFault> {
    let client = postgres.client().await?;
    let statement = client.prepare_cached(statement).await?;
    let ids = |id: fn(&Wanted) -> Uuid| ends.iter().map(|end| id(&end.0)).collect::<Vec<_>>();
    let reply = |part: fn(&KeptReply) -> &str| {
        ends.iter()
            .map(|end| end.1.reply.as_ref().map(part))
            .collect::<Vec<_>>()
    };
    let names: Vec<_> = ends.iter().map(|end| end.1.player_name.as_deref()).collect();
    let states: Vec<_> = ends.iter().map(|end| super::turns::state_word(end.1.state)).collect();
    let lines: Vec<_> = ends
        .iter()
        .map(|end| end.1.reply.as_ref().map_or_else(String::new, |r| r.lines.join("\n")))
        .collect();
    let embeddings: Vec<_> = ends.iter().map(|end| end.1.embedding.as_deref()).collect();
    let usage: Vec<_> = ends.iter().flat_map(|end| &end.1.usage).collect();
    Ok(client
        .query(
            &statement,
            &[
                &ids(|wanted| wanted.conversation.0),
                &ids(|wanted| wanted.turn.0),
                &ids(|wanted| wanted.lease),
                &names,
                &states,
                &reply(|reply| &reply.text),
                &reply(|reply| super::turns::source_word(reply.source)),
                &reply(|reply| &reply.route),
                &lines,
                &embeddings,
                &Json(&usage),
            ],
        )
        .await?)
}
