"""How broken up what is free was, a day a row."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("pools", "0013_pre_drift"),
    ]

    operations = [
        migrations.CreateModel(
            name="FragmentationDay",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "pool_id", "model_id", "day", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("pool_id", models.UUIDField()),
                ("model_id", models.UUIDField()),
                ("day", models.DateField()),
                ("measured_at", models.DateTimeField()),
                ("free_milli", models.BigIntegerField()),
                ("unusable_milli", models.BigIntegerField(null=True)),
                ("largest", models.JSONField()),
                ("seen_free_milli", models.BigIntegerField()),
                ("seen_free_whole", models.BigIntegerField()),
            ],
            options={
                "db_table": "fragmentation_day",
                "indexes": [models.Index(fields=["day"], name="fragmentation_day_day")],
            },
        ),
    ]
