-- Append-only tables, by month, so that retention drops a partition and never deletes a row.
CREATE TABLE audit_event (
    id bigint GENERATED ALWAYS AS IDENTITY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    at timestamptz NOT NULL,
    actor text NOT NULL,
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
    at timestamptz NOT NULL,
    pool_id uuid NOT NULL,
    capacity_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('shadow', 'faulty')),
    milli bigint NOT NULL CHECK (milli >= 0),
    run_id uuid,
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
CREATE INDEX ledger_event_capacity ON ledger_event (capacity_id, id DESC);

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
