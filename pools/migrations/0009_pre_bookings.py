"""What bookings promise of each position, derived from their rows by triggers."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("pools", "0008_pre_claim_sums")]

    operations = [
        migrations.RunSQL((SQL / "0009_bookings.sql").read_text(), reverse_sql=migrations.RunSQL.noop),
    ]
