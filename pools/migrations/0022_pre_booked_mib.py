"""The MiB that bookings take of each position together."""

from pathlib import Path

import django.contrib.postgres.fields
from django.db import migrations, models

SQL = Path(__file__).resolve().parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("pools", "0021_pre_claim_cost")]

    operations = [
        migrations.AddField(
            model_name="capacity",
            name="pos_booked_peak_mib",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.BigIntegerField(), default=list, size=None
            ),
        ),
        migrations.RunSQL((SQL / "0022_booked_mib.sql").read_text(), reverse_sql=migrations.RunSQL.noop),
    ]
