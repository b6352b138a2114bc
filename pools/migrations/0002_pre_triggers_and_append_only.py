"""Triggers of capacity and access, and the append-only tables: what Django's schema language cannot say."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql"
FIRST_PARTITIONS = """
SELECT append_only_partition(parent, (now() AT TIME ZONE 'UTC' + n * interval '1 month')::date)
FROM unnest(ARRAY['audit_event', 'inventory_change', 'ledger_event']) parent, generate_series(0, 2) n
"""


class Migration(migrations.Migration):
    dependencies = [("pools", "0001_initial")]
    operations = [
        migrations.RunSQL((SQL / "0001_append_only.sql").read_text(), reverse_sql=migrations.RunSQL.noop),
        migrations.RunSQL((SQL / "0001_capacity.sql").read_text(), reverse_sql=migrations.RunSQL.noop),
        migrations.RunSQL((SQL / "0001_access.sql").read_text(), reverse_sql=migrations.RunSQL.noop),
        migrations.RunSQL(FIRST_PARTITIONS, reverse_sql=migrations.RunSQL.noop),
    ]
