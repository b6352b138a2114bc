"""Whether anything that the page of an allocation shows is another than a moment ago, for the price of one query."""

from typing import Final
from uuid import UUID

from django.db import connection

_PULSE: Final = """
SELECT md5(row(a.generation, a.state, a.queue_reason,
    (SELECT row(count(*), sum(o.attempts), max(o.changed_at)) FROM operation o WHERE o.allocation_id = a.id),
    (SELECT string_agg(m.order_state, ',' ORDER BY m.index) FROM member m WHERE m.allocation_id = a.id),
    (SELECT string_agg(concat(d.made_at, d.trouble ->> 'code'), ',' ORDER BY d.target_id)
        FROM delivery d WHERE d.allocation_id = a.id),
    (SELECT min(b.start_at) FROM booking b WHERE b.allocation_id = a.id))::text)
FROM allocation a WHERE a.id = %s
"""


def pulse(allocation_id: UUID) -> str:
    """Return a text that is another one whenever its state, operations, members, access or booking are. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_PULSE, [allocation_id])
        row = cursor.fetchone()
    return row[0] if row else ""
