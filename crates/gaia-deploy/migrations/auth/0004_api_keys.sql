-- What a game's own programs sign in with, such as its website or its server. Whoever holds a key speaks for the game's
-- players, so only its hash is kept and it can be revoked at any moment. A row outlives its revocation: the gateway must
-- be told of it even when Redis has forgotten, and whoever looks after the game sees what there was.
CREATE TABLE auth.api_keys (
    game_id             text        NOT NULL DEFAULT gaia.current_game(),
    id                  uuid        NOT NULL,
    key_hash            bytea       NOT NULL CHECK (octet_length(key_hash) = 32),
    -- Its beginning, by which people tell it from others.
    hint                text        NOT NULL,
    name                text        NOT NULL CHECK (char_length(name) BETWEEN 1 AND 60),
    scopes              text[]      NOT NULL CHECK (cardinality(scopes) > 0),
    requests_per_minute integer     NOT NULL CHECK (requests_per_minute > 0),
    created_at          timestamptz NOT NULL DEFAULT now(),
    -- To some minutes: a write with each request would cost more than it tells.
    last_used_at        timestamptz,
    revoked_at          timestamptz,
    CONSTRAINT api_keys_key PRIMARY KEY (game_id, id),
    CONSTRAINT api_keys_hash UNIQUE (game_id, key_hash)
);
CREATE INDEX api_keys_revoked ON auth.api_keys (game_id, revoked_at) WHERE revoked_at IS NOT NULL;
CALL gaia.keep_apart('auth.api_keys');
GRANT SELECT, INSERT ON auth.api_keys TO gaia_auth;
GRANT UPDATE (last_used_at, revoked_at) ON auth.api_keys TO gaia_auth;

-- Players whom the holder of a key names. They are found by a hash of what they are called there, and have neither a
-- device nor an email, so that no key leads to somebody who came in by themselves.
CREATE TABLE auth.named_players (
    game_id    text        NOT NULL DEFAULT gaia.current_game(),
    name_hash  bytea       NOT NULL CHECK (octet_length(name_hash) = 32),
    player_id  uuid        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT named_players_key PRIMARY KEY (game_id, name_hash),
    CONSTRAINT named_players_player FOREIGN KEY (game_id, player_id)
        REFERENCES auth.players (game_id, id) ON DELETE CASCADE
);
CREATE INDEX named_players_of_player ON auth.named_players (game_id, player_id);
CALL gaia.keep_apart('auth.named_players');
GRANT SELECT, INSERT ON auth.named_players TO gaia_auth;
