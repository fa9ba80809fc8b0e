-- The generations of the checked game that were published while the cluster ran. The highest is in use.

CREATE TABLE chat.bundles (
    game_id      text        NOT NULL DEFAULT gaia.current_game(),
    generation   bigint      NOT NULL CHECK (generation >= 0),
    bundle       jsonb       NOT NULL,
    published_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (game_id, generation)
);

CALL gaia.keep_apart('chat.bundles');

GRANT SELECT, INSERT ON chat.bundles TO gaia_chat;
