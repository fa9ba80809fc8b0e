-- What each tool of a game's tool servers was when it was first seen: the SHA-256 of everything by which it presents
-- itself. A tool that presents itself differently is refused until that is accepted.

CREATE TABLE chat.tool_pins (
    game_id    text        NOT NULL DEFAULT gaia.current_game(),
    server     text        NOT NULL,
    tool       text        NOT NULL,
    accepted   text        NOT NULL,
    -- What the server came with since, which waits to be accepted.
    waiting    text,
    first_seen timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz,
    PRIMARY KEY (game_id, server, tool)
);

CALL gaia.keep_apart('chat.tool_pins');

GRANT SELECT, INSERT, UPDATE ON chat.tool_pins TO gaia_chat;
