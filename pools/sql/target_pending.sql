-- The platform took the orders and is not done: asked again when it said.
UPDATE target SET turn_token = NULL, turn_until = NULL, is_unknown = false, failures = 0, trouble = NULL,
    checked_at = %(now)s,
    due_at = CASE WHEN generation > %(generation)s THEN %(now)s::timestamptz ELSE %(due)s::timestamptz END
WHERE id = %(target)s AND turn_token = %(token)s;
