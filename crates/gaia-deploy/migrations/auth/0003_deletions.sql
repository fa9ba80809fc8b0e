-- Players who were deleted here and whom `chat` must still forget. The row is written in the deletion's own
-- transaction and goes when chat has answered, so that no crash in between leaves a half-forgotten player.
CREATE TABLE auth.deletions (
    game_id     text        NOT NULL DEFAULT gaia.current_game(),
    player_id   uuid        NOT NULL,
    asked_at    timestamptz NOT NULL DEFAULT now(),
    next_try_at timestamptz NOT NULL DEFAULT now(),
    tries       integer     NOT NULL DEFAULT 0,
    CONSTRAINT deletions_key PRIMARY KEY (game_id, player_id)
);
CREATE INDEX deletions_due ON auth.deletions (game_id, next_try_at);
CALL gaia.keep_apart('auth.deletions');
GRANT SELECT, INSERT, DELETE ON auth.deletions TO gaia_auth;
GRANT UPDATE (next_try_at, tries) ON auth.deletions TO gaia_auth;
