-- Sign-ins. A session that ended stays for a day: while its access tokens last, its revocation can be written to Redis
-- again from here, even when its player has been deleted; then `player_id` is empty.
CREATE TABLE auth.sessions (
    game_id    text        NOT NULL DEFAULT gaia.current_game(),
    id         uuid        NOT NULL,
    player_id  uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    ended_at   timestamptz,
    CONSTRAINT sessions_key PRIMARY KEY (game_id, id),
    CONSTRAINT sessions_player FOREIGN KEY (game_id, player_id) REFERENCES auth.players (game_id, id),
    CONSTRAINT sessions_without_player_ended CHECK (player_id IS NOT NULL OR ended_at IS NOT NULL)
);
CREATE INDEX sessions_of_player ON auth.sessions (game_id, player_id);
CREATE INDEX sessions_ended ON auth.sessions (game_id, ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX sessions_expiring ON auth.sessions (game_id, expires_at);
CALL gaia.keep_apart('auth.sessions');
GRANT SELECT, INSERT, DELETE ON auth.sessions TO gaia_auth;
GRANT UPDATE (player_id, expires_at, ended_at) ON auth.sessions TO gaia_auth;

-- What a session is prolonged with. Used tokens stay, so that a stolen one that comes back is known for what it is.
CREATE TABLE auth.refresh_tokens (
    game_id    text        NOT NULL DEFAULT gaia.current_game(),
    token_hash bytea       NOT NULL CHECK (octet_length(token_hash) = 32),
    session_id uuid        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    used_at    timestamptz,
    CONSTRAINT refresh_tokens_key PRIMARY KEY (game_id, token_hash),
    CONSTRAINT refresh_tokens_session FOREIGN KEY (game_id, session_id)
        REFERENCES auth.sessions (game_id, id) ON DELETE CASCADE
);
CREATE INDEX refresh_tokens_of_session ON auth.refresh_tokens (game_id, session_id);
CREATE INDEX refresh_tokens_used ON auth.refresh_tokens (game_id, used_at) WHERE used_at IS NOT NULL;
CALL gaia.keep_apart('auth.refresh_tokens');
GRANT SELECT, INSERT, DELETE ON auth.refresh_tokens TO gaia_auth;
GRANT UPDATE (used_at) ON auth.refresh_tokens TO gaia_auth;
