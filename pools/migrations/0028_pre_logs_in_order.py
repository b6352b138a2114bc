"""The logs have one index of all their rows, and capacity tells what is out of reach only where that changes."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("pools", "0027_pre_fewer_indexes")]

    operations = [
        migrations.RunSQL((SQL / "0028_logs_in_order.sql").read_text(), reverse_sql=migrations.RunSQL.noop),
    ]
