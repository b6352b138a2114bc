-- Who this installation is, once and for ever: it stands in every marker on a platform, so that two installations on
-- one platform leave each other's objects alone.
CREATE TABLE installation (
    is_only_row boolean PRIMARY KEY DEFAULT true CHECK (is_only_row),
    id uuid NOT NULL DEFAULT gen_random_uuid()
);
INSERT INTO installation DEFAULT VALUES;
