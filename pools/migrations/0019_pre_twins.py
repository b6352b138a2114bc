"""Which pool gives a card out that several show."""

from pathlib import Path

from django.db import migrations, models

SQL = Path(__file__).resolve().parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies = [
        ("pools", "0018_pre_changes_per_minute"),
    ]

    operations = [
        migrations.AddField(
            model_name="device",
            name="is_elsewhere",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddIndex(
            model_name="device",
            index=models.Index(
                condition=models.Q(("is_elsewhere", True), ("retired_at", None)),
                fields=["pool", "node", "id"],
                name="device_elsewhere",
            ),
        ),
        migrations.RunSQL((SQL / "0019_twins.sql").read_text(), reverse_sql=migrations.RunSQL.noop),
    ]
