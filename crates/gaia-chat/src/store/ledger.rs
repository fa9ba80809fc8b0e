//! The ledger of what calls cost, and what is set aside for those that run.

use chrono::NaiveDate;
use gaia_names::{PlayerId, TurnId};
use gaia_protocol::{
    bundle::Provider,
    costs::{By, CostsRow, MOST_ROWS},
};
use gaia_service::{Postgres, postgres::PostgresFault};
use serde::{Deserialize, Serialize};
use tokio_postgres::{IsolationLevel, Row, Transaction, types::Json};
use uuid::Uuid;

use super::claims::UsageRow;

/// How many reservations are looked at together.
const MOST_AT_ONCE: i64 = 200;

/// What is set aside for one call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reservation {
    pub(crate) id: Uuid,
    pub(crate) turn: TurnId,
    pub(crate) player: Option<PlayerId>,
    pub(crate) persona: String,
    pub(crate) route: String,
    pub(crate) provider: Provider,
    pub(crate) model: String,
    pub(crate) day: NaiveDate,
    /// The most that the call can cost.
    pub(crate) worst_micros: u64,
}

/// A row that the ledger is to have, whoever writes it first.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Entry {
    #[serde(flatten)]
    pub(crate) usage: UsageRow,
    pub(crate) player: Option<PlayerId>,
    pub(crate) persona: String,
}

/// What the ledger has for an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entered {
    pub(crate) id: Uuid,
    pub(crate) reservation: Option<Uuid>,
    pub(crate) cost_micros: u64,
    /// It was not there before.
    pub(crate) is_new: bool,
}

/// All that the counters are made of, as it was at one moment.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    pub(crate) spent: Vec<Spent>,
    /// By the first day of the month.
    pub(crate) months: Vec<(NaiveDate, u64)>,
    /// What is set aside and not in the ledger.
    pub(crate) open: Vec<Reservation>,
    /// Which of the reservations that were asked about are in the ledger.
    pub(crate) entered: Vec<Uuid>,
}

/// What one player has spent on one persona in a day.
#[derive(Debug)]
pub(crate) struct Spent {
    pub(crate) day: NaiveDate,
    pub(crate) persona: String,
    pub(crate) player: Option<PlayerId>,
    pub(crate) micros: u64,
}

/// The word for a wire format in the ledger.
pub(crate) const fn provider_word(provider: Provider) -> &'static str {
    match provider {
        Provider::Anthropic => "anthropic",
        Provider::Openai => "openai",
    }
}

/// Keeps what is set aside, together with how many seconds it may stay so. The commit is not waited for: it is for a
/// Redis and a process that are lost together, and a Postgres that is lost as well in that half second may forget it.
pub(crate) async fn set_aside(
    postgres: &Postgres,
    reservations: &[std::sync::Arc<(Reservation, u32)>],
) -> Result<Vec<()>, PostgresFault> {
    const SET_ASIDE: &str = "
        INSERT INTO chat.reservations (id, turn_id, player_id, persona, route, provider, model, day, worst_micros,
            expires_at)
        SELECT r.id, r.turn, r.player, r.persona, r.route, r.provider, r.model, r.day, r.worst_micros,
            now() + make_interval(secs => s.seconds)
        FROM (SELECT set_config('synchronous_commit', 'off', true)) AS unhurried,
            jsonb_to_recordset($1) AS r (id uuid, turn uuid, player uuid, persona text, route text, provider text,
                model text, day date, worst_micros bigint)
            JOIN unnest($2::uuid[], $3::int[]) AS s (id, seconds) USING (id)
        WHERE NOT EXISTS (SELECT FROM chat.usage AS u WHERE u.reservation = r.id)
        ON CONFLICT DO NOTHING";
    let client = postgres.client().await?;
    let statement = client.prepare_cached(SET_ASIDE).await?;
    let rows: Vec<_> = reservations.iter().map(|one| &one.0).collect();
    let ids: Vec<_> = reservations.iter().map(|one| one.0.id).collect();
    let seconds: Vec<_> = reservations
        .iter()
        .map(|one| i32::try_from(one.1).unwrap_or(i32::MAX))
        .collect();
    client.execute(&statement, &[&Json(&rows), &ids, &seconds]).await?;
    Ok(vec![(); reservations.len()])
}

/// What is set aside although its time is over.
pub(crate) async fn expired(postgres: &Postgres) -> Result<Vec<Reservation>, PostgresFault> {
    const EXPIRED: &str = "
        SELECT id, turn_id, player_id, persona, route, provider, model, day, worst_micros FROM chat.reservations
        WHERE expires_at < now() ORDER BY expires_at LIMIT $1";
    let client = postgres.client().await?;
    let statement = client.prepare_cached(EXPIRED).await?;
    let rows = client.query(&statement, &[&MOST_AT_ONCE]).await?;
    Ok(rows.iter().map(read_reservation).collect())
}

/// Takes back what was set aside for a call that never began.
pub(crate) async fn release(postgres: &Postgres, reservations: &[Uuid]) -> Result<(), PostgresFault> {
    const RELEASE: &str = "DELETE FROM chat.reservations WHERE id = ANY($1)";
    let client = postgres.client().await?;
    let statement = client.prepare_cached(RELEASE).await?;
    client.execute(&statement, &[&reservations]).await?;
    Ok(())
}

/// Sees to it that the ledger has entries, and that nothing is set aside for them any more. Says what the ledger has. A
/// player who has no conversation any more may have been forgotten, and is not named.
pub(crate) async fn enter(postgres: &Postgres, entries: &[Entry]) -> Result<Vec<Entered>, PostgresFault> {
    const ENTER: &str = "
        WITH wanted AS MATERIALIZED (
            SELECT * FROM jsonb_to_recordset($1) AS w (id uuid, turn uuid, player uuid, persona text, route text,
                provider text, model text, input_tokens bigint, output_tokens bigint, cache_read_tokens bigint,
                cache_write_tokens bigint, is_estimated boolean, milliseconds bigint, day date, cost_micros bigint,
                reservation uuid)
        ), entered AS (
            INSERT INTO chat.usage (id, turn_id, player_id, persona, route, provider, model, input_tokens, output_tokens,
                cache_read_tokens, cache_write_tokens, is_estimated, milliseconds, day, cost_micros, reservation)
            SELECT w.id, w.turn,
                CASE WHEN EXISTS (SELECT FROM chat.conversations AS c WHERE c.player_id = w.player) THEN w.player END,
                w.persona, w.route, w.provider, w.model, w.input_tokens, w.output_tokens, w.cache_read_tokens,
                w.cache_write_tokens, w.is_estimated, w.milliseconds, w.day, w.cost_micros, w.reservation
            FROM wanted AS w
            WHERE NOT EXISTS (SELECT FROM chat.usage AS u WHERE u.id = w.id)
            ON CONFLICT DO NOTHING
            RETURNING id
        ), unreserved AS (
            DELETE FROM chat.reservations AS r USING wanted AS w WHERE r.id = w.reservation
        )
        SELECT w.id, w.reservation, e.id IS NOT NULL,
            coalesce(
                CASE WHEN e.id IS NOT NULL THEN w.cost_micros END,
                (SELECT u.cost_micros FROM chat.usage AS u WHERE u.reservation = w.reservation),
                (SELECT u.cost_micros FROM chat.usage AS u WHERE u.id = w.id),
                w.cost_micros)
        FROM wanted AS w LEFT JOIN entered AS e ON e.id = w.id";
    let client = postgres.client().await?;
    let statement = client.prepare_cached(ENTER).await?;
    let rows = client.query(&statement, &[&Json(entries)]).await?;
    let entered = |row: &Row| Entered {
        id: row.get(0),
        reservation: row.get(1),
        is_new: row.get(2),
        cost_micros: unsigned(row.get(3)),
    };
    Ok(rows.iter().map(entered).collect())
}

/// All that the counters are made of: for these days and from the first of these months on, with what is known of these
/// reservations.
pub(crate) async fn standing(
    postgres: &Postgres,
    days: &[NaiveDate],
    first_month: NaiveDate,
    asked: &[Uuid],
) -> Result<Standing, PostgresFault> {
    let mut client = postgres.client().await?;
    // One moment for all of it: what leaves one of the tables for the other is to be seen once.
    let transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    let standing = read_standing(&transaction, days, first_month, asked).await?;
    transaction.commit().await?;
    Ok(standing)
}

async fn read_standing(
    transaction: &Transaction<'_>,
    days: &[NaiveDate],
    first_month: NaiveDate,
    asked: &[Uuid],
) -> Result<Standing, PostgresFault> {
    const SPENT: &str = "
        SELECT day, persona, player_id, sum(cost_micros)::bigint FROM chat.usage
        WHERE day = ANY($1) GROUP BY day, persona, player_id HAVING sum(cost_micros) > 0";
    const MONTHS: &str = "
        SELECT date_trunc('month', day::timestamp)::date, sum(cost_micros)::bigint FROM chat.usage
        WHERE day >= $1 GROUP BY 1";
    const OPEN: &str = "
        SELECT id, turn_id, player_id, persona, route, provider, model, day, worst_micros FROM chat.reservations AS r
        WHERE NOT EXISTS (SELECT FROM chat.usage AS u WHERE u.reservation = r.id)";
    const ENTERED: &str = "SELECT reservation FROM chat.usage WHERE reservation = ANY($1)";
    let spent = transaction.query(SPENT, &[&days]).await?;
    let months = transaction.query(MONTHS, &[&first_month]).await?;
    let open = transaction.query(OPEN, &[]).await?;
    let entered = transaction.query(ENTERED, &[&asked]).await?;
    let read_spent = |row: &Row| Spent {
        day: row.get(0),
        persona: row.get(1),
        player: row.get::<_, Option<Uuid>>(2).map(PlayerId),
        micros: unsigned(row.get(3)),
    };
    Ok(Standing {
        spent: spent.iter().map(read_spent).collect(),
        months: months.iter().map(|row| (row.get(0), unsigned(row.get(1)))).collect(),
        open: open.iter().map(read_reservation).collect(),
        entered: entered.iter().map(|row| row.get(0)).collect(),
    })
}

/// What was spent on a day and in its month, and what is set aside in both.
pub(crate) async fn spending(
    postgres: &Postgres,
    day: NaiveDate,
    month: NaiveDate,
) -> Result<[(u64, u64); 2], PostgresFault> {
    const SPENDING: &str = "
        SELECT
            coalesce((SELECT sum(cost_micros) FROM chat.usage WHERE day = $1), 0)::bigint,
            coalesce((SELECT sum(worst_micros) FROM chat.reservations WHERE day = $1), 0)::bigint,
            coalesce((SELECT sum(cost_micros) FROM chat.usage WHERE day >= $2), 0)::bigint,
            coalesce((SELECT sum(worst_micros) FROM chat.reservations WHERE day >= $2), 0)::bigint";
    let client = postgres.client().await?;
    let statement = client.prepare_cached(SPENDING).await?;
    let row = client.query_one(&statement, &[&day, &month]).await?;
    let at = |place: usize| unsigned(row.get(place));
    Ok([(at(0), at(1)), (at(2), at(3))])
}

/// The costs from a day on: the total first, then the rows, one more than an answer holds.
pub(crate) async fn costs(
    postgres: &Postgres,
    since: NaiveDate,
    by: By,
) -> Result<(CostsRow, Vec<CostsRow>), PostgresFault> {
    let (key, order) = match by {
        By::Day => ("day::text", "key"),
        By::Persona => ("persona", "cost DESC, key"),
        By::Route => ("route", "cost DESC, key"),
        By::Model => ("model", "cost DESC, key"),
        By::Player => ("coalesce(player_id::text, '')", "cost DESC, key"),
    };
    let client = postgres.client().await?;
    let sums = "count(*), coalesce(sum(input_tokens), 0)::bigint, coalesce(sum(output_tokens), 0)::bigint,
        coalesce(sum(cache_read_tokens), 0)::bigint, coalesce(sum(cache_write_tokens), 0)::bigint,
        count(*) FILTER (WHERE is_estimated), coalesce(sum(cost_micros), 0)::bigint AS cost,
        coalesce(sum(cost_micros) FILTER (WHERE is_estimated), 0)::bigint";
    let rows = format!(
        "SELECT {key} AS key, {sums} FROM chat.usage WHERE day >= $1 GROUP BY 1 ORDER BY {order} LIMIT {}",
        MOST_ROWS + 1
    );
    let total = format!("SELECT '' AS key, {sums} FROM chat.usage WHERE day >= $1");
    let total = client
        .query_one(&client.prepare_cached(&total).await?, &[&since])
        .await?;
    let rows = client.query(&client.prepare_cached(&rows).await?, &[&since]).await?;
    Ok((read_costs(&total), rows.iter().map(read_costs).collect()))
}

fn read_costs(row: &Row) -> CostsRow {
    let at = |place: usize| unsigned(row.get(place));
    CostsRow {
        key: row.get(0),
        calls: at(1),
        input_tokens: at(2),
        output_tokens: at(3),
        cache_read_tokens: at(4),
        cache_write_tokens: at(5),
        estimated_calls: at(6),
        cost_micros: at(7),
        estimated_micros: at(8),
    }
}

fn read_reservation(row: &Row) -> Reservation {
    Reservation {
        id: row.get(0),
        turn: TurnId(row.get(1)),
        player: row.get::<_, Option<Uuid>>(2).map(PlayerId),
        persona: row.get(3),
        route: row.get(4),
        provider: match row.get(5) {
            "anthropic" => Provider::Anthropic,
            _ => Provider::Openai,
        },
        model: row.get(6),
        day: row.get(7),
        worst_micros: unsigned(row.get(8)),
    }
}

/// Postgres has no unsigned numbers, and the tables refuse negative ones.
fn unsigned(number: i64) -> u64 {
    number.unsigned_abs()
}
