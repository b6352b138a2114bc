CREATE TEMPORARY TABLE IF NOT EXISTS incoming_reading (
    node text NOT NULL,
    ref text,
    uuid text,
    pci_address text,
    index integer,
    utilisation double precision,
    memory bigint,
    power double precision,
    temperature double precision,
    hour_at timestamptz NOT NULL
) ON COMMIT DROP;
