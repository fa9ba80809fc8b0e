-- What each call of a model used. A row is written in the transaction that keeps the reply, so that it is as durable as
-- the reply, and it is both the ledger and the outbox. It outlives its turn, without a word of what was said.

CREATE TABLE chat.usage (
    game_id            text        NOT NULL DEFAULT gaia.current_game(),
    id                 uuid        NOT NULL,
    turn_id            uuid        NOT NULL,
    -- Absent once the player has been forgotten.
    player_id          uuid,
    persona            text        NOT NULL,
    route              text        NOT NULL,
    provider           text        NOT NULL,
    model              text        NOT NULL,
    input_tokens       bigint      NOT NULL CHECK (input_tokens >= 0),
    output_tokens      bigint      NOT NULL CHECK (output_tokens >= 0),
    cache_read_tokens  bigint      NOT NULL DEFAULT 0 CHECK (cache_read_tokens >= 0),
    cache_write_tokens bigint      NOT NULL DEFAULT 0 CHECK (cache_write_tokens >= 0),
    -- The provider did not tell; the counts are guessed from the lengths of the texts.
    is_estimated       boolean     NOT NULL,
    milliseconds       bigint      NOT NULL CHECK (milliseconds >= 0),
    created_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (game_id, id)
);

CREATE INDEX usage_of_player ON chat.usage (game_id, player_id) WHERE player_id IS NOT NULL;

CALL gaia.keep_apart('chat.usage');

GRANT SELECT, INSERT, UPDATE ON chat.usage TO gaia_chat;
