-- Append-only tables, by month, so that retention drops a partition and never deletes a row.
CREATE TABLE audit_event (
    id bigint GENERATED ALWAYS AS IDENTITY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    at timestamptz NOT NULL,
    actor text NOT NULL,
    actor_id uuid,
    token_prefix text NOT NULL DEFAULT '',
    project_id uuid,
    request_id text NOT NULL DEFAULT '',
    action text NOT NULL,
    object_kind text NOT NULL,
    object_id text NOT NULL,
    object_name text NOT NULL DEFAULT '',
    reason text NOT NULL DEFAULT '',
    before jsonb,
    after jsonb,
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
CREATE INDEX audit_event_object ON audit_event (object_kind, object_id, id DESC);
CREATE INDEX audit_event_xid ON audit_event (xid, id);
CREATE INDEX audit_event_project ON audit_event (project_id, id DESC);
CREATE INDEX audit_event_actor ON audit_event (actor, id DESC);

CREATE TABLE inventory_change (
    id bigint GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL,
    pool_id uuid NOT NULL,
    run_id uuid NOT NULL,
    object_kind text NOT NULL,
    object_id uuid NOT NULL,
    object_name text NOT NULL,
    action text NOT NULL,
    before jsonb,
    after jsonb,
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
CREATE INDEX inventory_change_run ON inventory_change (run_id, id);
CREATE INDEX inventory_change_object ON inventory_change (object_id, id DESC);

CREATE TABLE ledger_event (
    id bigint GENERATED ALWAYS AS IDENTITY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    at timestamptz NOT NULL,
    pool_id uuid NOT NULL,
    capacity_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('shadow', 'faulty')),
    milli bigint NOT NULL CHECK (milli >= 0),
    run_id uuid,
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
CREATE INDEX ledger_event_capacity ON ledger_event (capacity_id, id DESC);
CREATE INDEX ledger_event_xid ON ledger_event (xid, id);

-- One seal a batch of rows of one stream (audit_event, ledger_event) and one month. `ids` and `leaves` (32 bytes a row,
-- in the order of ids) tell which row was touched; `root` is the Merkle root of the leaves; the signature covers the
-- root, the range and the seal before it, so that a month whose rows were dropped is still proved by its seals.
CREATE TABLE seal (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream text NOT NULL CHECK (stream IN ('audit_event', 'ledger_event')),
    number bigint NOT NULL CHECK (number > 0),
    month date NOT NULL,
    from_xid xid8 NOT NULL,
    to_xid xid8 NOT NULL,
    row_count integer NOT NULL CHECK (row_count > 0 AND row_count = cardinality(ids)),
    ids bigint[] NOT NULL,
    leaves bytea NOT NULL,
    root bytea NOT NULL,
    previous_root bytea NOT NULL,
    signature bytea NOT NULL,
    key_id text NOT NULL,
    sealed_at timestamptz NOT NULL,
    UNIQUE (stream, number),
    CHECK (length(leaves) = 32 * row_count)
);
CREATE INDEX seal_place ON seal (stream, to_xid, number);  -- which one holds a row

-- Makes the month's partition of an append-only table. Only the owner may run it, once a day and at every start.
CREATE FUNCTION append_only_partition(parent text, month date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    first date := date_trunc('month', month)::date;
    name text := format('%s_y%sm%s', parent, to_char(first, 'YYYY'), to_char(first, 'MM'));
BEGIN
    IF to_regclass(name) IS NULL THEN
        EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', name, parent,
                       first::timestamp AT TIME ZONE 'UTC', (first + interval '1 month')::timestamp AT TIME ZONE 'UTC');
    END IF;
END $$;
