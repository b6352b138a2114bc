"""How busy devices were, and runs of what platforms tell by themselves."""

import django.contrib.postgres.indexes
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("pools", "0003_installation"),
    ]

    operations = [
        migrations.CreateModel(
            name="DeviceUsageHour",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "device_id", "hour_at", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("device_id", models.UUIDField()),
                ("hour_at", models.DateTimeField()),
                ("pool_id", models.UUIDField()),
                ("samples", models.IntegerField()),
                ("utilisation_count", models.IntegerField(default=0)),
                ("utilisation_sum", models.FloatField(null=True)),
                ("utilisation_max", models.FloatField(null=True)),
                ("memory_count", models.IntegerField(default=0)),
                ("memory_sum", models.BigIntegerField(null=True)),
                ("memory_max", models.IntegerField(null=True)),
                ("power_count", models.IntegerField(default=0)),
                ("power_sum", models.FloatField(null=True)),
                ("power_max", models.FloatField(null=True)),
                ("temperature_max", models.FloatField(null=True)),
            ],
            options={
                "db_table": "device_usage_hour",
            },
        ),
        migrations.RemoveConstraint(
            model_name="syncrun",
            name="sync_run_trigger_known",
        ),
        migrations.AddField(
            model_name="poolsync",
            name="telemetry_next_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddConstraint(
            model_name="syncrun",
            constraint=models.CheckConstraint(
                condition=models.Q(("trigger__in", ["schedule", "manual", "follow_up", "activate", "watch"])),
                name="sync_run_trigger_known",
            ),
        ),
        migrations.AddIndex(
            model_name="deviceusagehour",
            index=django.contrib.postgres.indexes.BrinIndex(fields=["hour_at"], name="device_usage_hour_at"),
        ),
        migrations.AddConstraint(
            model_name="deviceusagehour",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("samples__gte", 0),
                    ("utilisation_count__gte", 0),
                    ("memory_count__gte", 0),
                    ("power_count__gte", 0),
                ),
                name="device_usage_hour_not_negative",
            ),
        ),
    ]
