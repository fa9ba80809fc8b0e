-- Several games may share one database, and no query names a game. So every table of a service carries game_id, which
-- Postgres itself fills and filters by who is logged in: the role `<game>/<service>`. There is no setting to forget
-- and none to forge.

REVOKE ALL ON SCHEMA public FROM PUBLIC;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON TYPES FROM PUBLIC;

CREATE SCHEMA auth;
CREATE SCHEMA chat;
GRANT USAGE ON SCHEMA gaia TO gaia_auth, gaia_chat;
GRANT USAGE ON SCHEMA auth TO gaia_auth;
GRANT USAGE ON SCHEMA chat TO gaia_chat;

-- `COLLATE "default"` is what lets the planner use an index: the type `name` would bring collation "C", which is not
-- the columns', and every query would walk the whole index. The function is plain SQL so that it is inlined.
CREATE FUNCTION gaia.current_game() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN split_part(current_user::text COLLATE "default", '/', 1);
GRANT EXECUTE ON FUNCTION gaia.current_game() TO gaia_auth, gaia_chat;

-- What is wrong with a table's keys: each must hold game_id, or one game could take another's value, hang a row on
-- another's, or have its delete reach across.
CREATE VIEW gaia.loose_keys AS
    SELECT i.indrelid AS table_id, i.indexrelid::regclass::text AS name
    FROM pg_index i
    WHERE i.indisunique AND NOT EXISTS (
        SELECT FROM pg_attribute a
        WHERE a.attrelid = i.indrelid AND a.attname = 'game_id'
            AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]))
    UNION ALL
    SELECT c.conrelid, c.conname
    FROM pg_constraint c
    WHERE c.contype = 'f' AND NOT EXISTS (
        SELECT FROM unnest(c.conkey, c.confkey) AS k (own, other)
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.own AND a.attname = 'game_id'
        JOIN pg_attribute b ON b.attrelid = c.confrelid AND b.attnum = k.other AND b.attname = 'game_id');

-- Makes a table keep games apart. Call it once the table has all its keys; calling it again does no harm.
CREATE PROCEDURE gaia.keep_apart(table_id regclass)
    LANGUAGE plpgsql AS $$
DECLARE
    loose text;
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_attribute a
        WHERE a.attrelid = table_id AND a.attname = 'game_id' AND a.attnotnull AND a.atttypid = 'text'::regtype)
    THEN
        RAISE EXCEPTION 'table % needs a column: game_id text NOT NULL DEFAULT gaia.current_game()', table_id;
    END IF;
    SELECT string_agg(k.name, ', ') INTO loose FROM gaia.loose_keys k WHERE k.table_id = keep_apart.table_id;
    IF loose IS NOT NULL THEN
        RAISE EXCEPTION 'table % has keys without game_id: %', table_id, loose;
    END IF;
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', table_id);
    EXECUTE format('DROP POLICY IF EXISTS keep_apart ON %s', table_id);
    EXECUTE format(
        'CREATE POLICY keep_apart ON %s USING (game_id = gaia.current_game()) WITH CHECK (game_id = gaia.current_game())',
        table_id);
END $$;

-- The services' tables that do not keep games apart. It must be empty; apply looks after every migration.
CREATE VIEW gaia.open_tables AS
    SELECT c.oid::regclass::text AS name
    FROM pg_class c
    WHERE c.relnamespace IN ('auth'::regnamespace, 'chat'::regnamespace)
        AND (c.relkind IN ('m', 'v', 'f')
            OR c.relkind IN ('r', 'p') AND (
                NOT c.relrowsecurity OR NOT c.relforcerowsecurity
                OR (SELECT array_agg(p.polname::text) FROM pg_policy p WHERE p.polrelid = c.oid)
                    IS DISTINCT FROM ARRAY['keep_apart']
                OR EXISTS (SELECT FROM gaia.loose_keys k WHERE k.table_id = c.oid)));
