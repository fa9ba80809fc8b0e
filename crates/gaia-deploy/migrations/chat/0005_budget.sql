-- What calls of models cost, what is set aside for those that run, and what was told about it.
--
-- The ledger is chat.usage. Redis counts what has been spent and set aside, because that must be asked before each call;
-- whatever happens to Redis or to a process, its counters can be made again from here: the sum of the ledger and of what
-- is set aside. A reservation's id stands in its row of the ledger, so that no call is entered twice.

ALTER TABLE chat.usage
    -- The day of the budget, in UTC: when the call began, by the clock that the budget was kept by.
    ADD COLUMN day date NOT NULL DEFAULT (now() AT TIME ZONE 'UTC')::date,
    -- Millionths of a US dollar. What was used before costs were kept has none.
    ADD COLUMN cost_micros bigint NOT NULL DEFAULT 0 CHECK (cost_micros >= 0),
    -- What was set aside for it, where something was.
    ADD COLUMN reservation uuid;

-- The column's default gave all rows the day of this migration.
UPDATE chat.usage SET day = (created_at AT TIME ZONE 'UTC')::date;

CREATE INDEX usage_of_day ON chat.usage (game_id, day) INCLUDE (persona, player_id, cost_micros);
CREATE UNIQUE INDEX usage_of_reservation ON chat.usage (game_id, reservation) WHERE reservation IS NOT NULL;

-- What is set aside for calls that may run. Who sees one of these whose time is over enters it into the ledger at what
-- it can have cost at most, unless it is there.
CREATE TABLE chat.reservations (
    game_id      text        NOT NULL DEFAULT gaia.current_game(),
    id           uuid        NOT NULL,
    turn_id      uuid        NOT NULL,
    -- Absent once the player has been forgotten.
    player_id    uuid,
    persona      text        NOT NULL,
    route        text        NOT NULL,
    provider     text        NOT NULL,
    model        text        NOT NULL,
    day          date        NOT NULL,
    worst_micros bigint      NOT NULL CHECK (worst_micros >= 0),
    expires_at   timestamptz NOT NULL,
    PRIMARY KEY (game_id, id)
);

CREATE INDEX reservations_by_end ON chat.reservations (game_id, expires_at);

-- What an operator should know: told once, and kept for a while.
CREATE TABLE chat.events (
    game_id    text        NOT NULL DEFAULT gaia.current_game(),
    id         uuid        NOT NULL,
    kind       text        NOT NULL,
    -- What makes it the same event: there is one of each.
    key        text        NOT NULL,
    data       jsonb       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (game_id, id),
    UNIQUE (game_id, kind, key)
);

CREATE INDEX events_by_time ON chat.events (game_id, created_at);

CALL gaia.keep_apart('chat.reservations');
CALL gaia.keep_apart('chat.events');

GRANT SELECT, INSERT, UPDATE, DELETE ON chat.reservations TO gaia_chat;
GRANT SELECT, INSERT, DELETE ON chat.events TO gaia_chat;
