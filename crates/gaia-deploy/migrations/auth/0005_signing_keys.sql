-- The public halves of the keys that sign access tokens, as those write them down who sign. While a key is replaced there
-- are two, and whoever is asked shows both. A row goes when no token can be left that its key has signed.
CREATE TABLE auth.signing_keys (
    game_id     text        NOT NULL DEFAULT gaia.current_game(),
    -- RFC 7638's thumbprint.
    id          text        NOT NULL,
    -- RFC 7517's form.
    key         jsonb       NOT NULL,
    shown_at    timestamptz NOT NULL DEFAULT now(),
    shown_until timestamptz NOT NULL,
    CONSTRAINT signing_keys_key PRIMARY KEY (game_id, id)
);
CALL gaia.keep_apart('auth.signing_keys');
GRANT SELECT, INSERT, DELETE ON auth.signing_keys TO gaia_auth;
GRANT UPDATE (shown_until) ON auth.signing_keys TO gaia_auth;
