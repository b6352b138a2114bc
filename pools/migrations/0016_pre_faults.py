"""Where allocations are found whose hardware is not well."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pools", "0015_pre_retry")]

    operations = [
        migrations.AddIndex(
            "allocation",
            models.Index(
                fields=["pool"],
                condition=models.Q(reason__in=("node_missing", "device_missing", "device_faulty", "node_unavailable")),
                name="allocation_not_well",
            ),
        ),
    ]
