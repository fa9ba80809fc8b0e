-- Who plays. A guest has no email; signing up gives the same row one. Every key includes `game_id`, so that no game
-- can hang a row on another's.
CREATE TABLE auth.players (
    game_id       text        NOT NULL DEFAULT gaia.current_game(),
    id            uuid        NOT NULL,
    display_name  text        NOT NULL CHECK (char_length(display_name) BETWEEN 1 AND 40),
    -- As the player wrote it, for showing.
    email         text,
    -- In lower case, for finding; the service makes it, so that no collation decides who is who.
    email_key     text,
    password_hash text,
    role          text        NOT NULL DEFAULT 'player' CHECK (role IN ('player', 'moderator', 'admin')),
    created_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT players_key PRIMARY KEY (game_id, id),
    CONSTRAINT players_email UNIQUE (game_id, email_key),
    CONSTRAINT players_sign_up CHECK (num_nulls(email, email_key, password_hash) IN (0, 3))
);
CALL gaia.keep_apart('auth.players');
GRANT SELECT, INSERT, DELETE ON auth.players TO gaia_auth;
GRANT UPDATE (display_name, email, email_key, password_hash, role) ON auth.players TO gaia_auth;

-- The devices that guests come back with. A device id is as good as a password, so only its hash is kept.
CREATE TABLE auth.devices (
    game_id     text        NOT NULL DEFAULT gaia.current_game(),
    device_hash bytea       NOT NULL CHECK (octet_length(device_hash) = 32),
    player_id   uuid        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT devices_key PRIMARY KEY (game_id, device_hash),
    CONSTRAINT devices_player FOREIGN KEY (game_id, player_id) REFERENCES auth.players (game_id, id) ON DELETE CASCADE
);
CREATE INDEX devices_of_player ON auth.devices (game_id, player_id);
CALL gaia.keep_apart('auth.devices');
GRANT SELECT, INSERT, DELETE ON auth.devices TO gaia_auth;
