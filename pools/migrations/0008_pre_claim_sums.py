"""Cheaper sums in what every claim runs."""

from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("pools", "0007_pre_targets")]

    operations = [migrations.RunSQL((SQL / "0008_claim_sums.sql").read_text(), reverse_sql=migrations.RunSQL.noop)]
