"""What of a device's observed use is claims' own, and where a marker is looked up."""

from django.db import migrations, models

# A partial index by a JSON path has no words in Django.
_MARKED = """
CREATE INDEX device_marked ON device (pool_id) WHERE uses @? '$[*].marker' AND retired_at IS NULL
"""


class Migration(migrations.Migration):
    dependencies = [("pools", "0010_pre_times")]

    operations = [
        migrations.AddField("device", "own_milli", models.IntegerField(default=0, db_default=0)),
        migrations.AddField("device", "own_mib", models.IntegerField(default=0, db_default=0)),
        migrations.RunSQL(_MARKED, reverse_sql="DROP INDEX device_marked"),
        migrations.AddIndex(
            "operation",
            models.Index(fields=["target_ref"], condition=models.Q(action="apply"), name="operation_marker"),
        ),
    ]
