"""What lies where of the pieces that are booked."""

from pathlib import Path

from django.db import migrations, models

SQL = Path(__file__).resolve().parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("pools", "0022_pre_booked_mib")]

    operations = [
        migrations.AddField(model_name="booking", name="pieces", field=models.JSONField(default=list)),
        migrations.RunSQL((SQL / "0025_booked_pieces.sql").read_text(), reverse_sql=migrations.RunSQL.noop),
    ]
