"""What claims take is said to the capacity row, which takes it off its sums."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("pools", "0025_pre_booked_pieces")]

    operations = [
        migrations.RunSQL((SQL / "0026_taking.sql").read_text(), reverse_sql=migrations.RunSQL.noop),
    ]
