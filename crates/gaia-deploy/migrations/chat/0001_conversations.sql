-- What players and characters said to each other.
--
-- A conversation carries the lease of its running turn, so that taking, keeping and ending a turn each cost one update
-- of one row, and a process that was lost blocks its conversations for no longer than the lease.
-- A turn is the player's message and the reply in one row.

CREATE TABLE chat.conversations (
    game_id      text        NOT NULL DEFAULT gaia.current_game(),
    id           uuid        NOT NULL,
    player_id    uuid        NOT NULL,
    persona      text        NOT NULL,
    title        text,
    -- What the player said their name was.
    player_name  text,
    turns        bigint      NOT NULL DEFAULT 0,
    running_turn uuid,
    -- A number for each claim of a turn: who was thought lost and comes back no longer holds it.
    lease        uuid,
    lease_until  timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (game_id, id),
    CHECK ((running_turn IS NULL) = (lease IS NULL) AND (lease IS NULL) = (lease_until IS NULL))
) WITH (fillfactor = 70);

CREATE INDEX conversations_of_player ON chat.conversations (game_id, player_id, updated_at DESC, id DESC);

CREATE TABLE chat.turns (
    game_id         text        NOT NULL DEFAULT gaia.current_game(),
    id              uuid        NOT NULL,
    conversation_id uuid        NOT NULL,
    sequence        bigint      NOT NULL CHECK (sequence > 0),
    text            text        NOT NULL,
    state           text        NOT NULL CHECK (state IN ('running', 'done', 'cancelled', 'interrupted')),
    reply_text      text,
    reply_source    text CHECK (reply_source IN ('model', 'authored')),
    reply_route     text,
    -- Which of the author's lines the reply used.
    reply_lines     text[]      NOT NULL DEFAULT '{}',
    -- The meaning of the player's message as a vector: a byte for the model, then a signed byte per dimension. Kept so
    -- that remembering needs no model. Absent where no model read the message.
    embedding       bytea,
    created_at      timestamptz NOT NULL DEFAULT now(),
    finished_at     timestamptz,
    PRIMARY KEY (game_id, id),
    UNIQUE (game_id, conversation_id, sequence),
    FOREIGN KEY (game_id, conversation_id) REFERENCES chat.conversations (game_id, id) ON DELETE CASCADE
) WITH (fillfactor = 60);

CALL gaia.keep_apart('chat.conversations');
CALL gaia.keep_apart('chat.turns');

GRANT SELECT, INSERT, UPDATE, DELETE ON chat.conversations, chat.turns TO gaia_chat;
