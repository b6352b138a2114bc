-- Processes keep what a user or token may do and ask this number every few seconds whether that is still true.
CREATE TABLE access_generation (
    is_only_row boolean PRIMARY KEY DEFAULT true CHECK (is_only_row),
    value bigint NOT NULL,
    xid xid8
);
INSERT INTO access_generation (value) VALUES (1);

-- Raised at the commit and not at the statement, once a transaction: the row is locked for that moment only, and
-- nobody reads the new number before the new rights.
CREATE FUNCTION raise_access_generation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE access_generation SET value = value + 1, xid = pg_current_xact_id()
    WHERE xid IS DISTINCT FROM pg_current_xact_id();
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER role_binding_changed AFTER INSERT OR UPDATE OR DELETE ON role_binding
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION raise_access_generation();
CREATE CONSTRAINT TRIGGER api_token_changed AFTER DELETE OR UPDATE OF revoked_at, expires_at, scope ON api_token
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION raise_access_generation();
CREATE CONSTRAINT TRIGGER app_user_changed AFTER DELETE OR UPDATE OF username, is_active, kind ON app_user
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION raise_access_generation();
CREATE CONSTRAINT TRIGGER project_changed AFTER UPDATE OF state ON project
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION raise_access_generation();
