"""How many changes a minute a pool may be sent at most."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("pools", "0017_pre_before_end"),
    ]

    operations = [
        migrations.AddField(
            model_name="pool",
            name="changes_per_minute",
            field=models.IntegerField(null=True),
        ),
        migrations.AddIndex(
            model_name="operation",
            index=models.Index(
                condition=models.Q(("sent_at__isnull", False)), fields=["pool", "sent_at"], name="operation_sent"
            ),
        ),
        migrations.AddConstraint(
            model_name="pool",
            constraint=models.CheckConstraint(
                condition=models.Q(("changes_per_minute", None), ("changes_per_minute__gte", 1), _connector="OR"),
                name="pool_changes_range",
            ),
        ),
    ]
