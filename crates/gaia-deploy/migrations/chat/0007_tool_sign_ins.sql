-- What has become of the sign-ins of a game's tool servers: OAuth's tokens, which change whenever they are renewed. Whoever
-- reads this can use the tool, so nobody but chat does. The mark says which sign-in it was; a new one has another.
-- A refresh token may be good for one use, so one process renews it at a time.

CREATE TABLE chat.tool_sign_ins (
    game_id        text        NOT NULL DEFAULT gaia.current_game(),
    server         text        NOT NULL,
    mark           text,
    tokens         text,
    changed_at     timestamptz NOT NULL DEFAULT now(),
    -- Who renews it, and until when that is believed.
    renewing       uuid,
    renewing_until timestamptz,
    PRIMARY KEY (game_id, server),
    CHECK ((mark IS NULL) = (tokens IS NULL) AND (renewing IS NULL) = (renewing_until IS NULL))
);

CALL gaia.keep_apart('chat.tool_sign_ins');

GRANT SELECT, INSERT, UPDATE ON chat.tool_sign_ins TO gaia_chat;
