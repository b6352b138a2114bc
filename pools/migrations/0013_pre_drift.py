"""Targets that differ from what was ordered, and what a pool does about it by itself."""

import django.db.models.deletion
from django.db import migrations, models

import pools.domain.ids


class Migration(migrations.Migration):
    dependencies = [
        ("pools", "0012_pre_orphans"),
    ]

    operations = [
        migrations.CreateModel(
            name="Drift",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=pools.domain.ids.new_id, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("code", models.CharField(max_length=32)),
                ("state", models.CharField(default="open", max_length=9)),
                ("calls", models.JSONField(default=list)),
                ("found", models.JSONField(null=True)),
                ("trouble", models.JSONField(null=True)),
                ("gone", models.JSONField(default=list)),
                ("opened_at", models.DateTimeField()),
                ("closed_at", models.DateTimeField(null=True)),
                ("outcome", models.CharField(max_length=8, null=True)),
            ],
            options={
                "db_table": "drift",
            },
        ),
        migrations.AddField(
            model_name="pool",
            name="drift_policy",
            field=models.CharField(db_default="report", default="report", max_length=8),
        ),
        migrations.AddIndex(
            model_name="target",
            index=models.Index(
                condition=models.Q(("due_at", None), ("found__isnull", False)),
                fields=["pool", "checked_at"],
                name="target_compared",
            ),
        ),
        migrations.AddConstraint(
            model_name="pool",
            constraint=models.CheckConstraint(
                condition=models.Q(("drift_policy__in", ["report", "repair", "adopt"])), name="pool_drift_policy_known"
            ),
        ),
        migrations.AddField(
            model_name="drift",
            name="pool",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="pools.pool",
            ),
        ),
        migrations.AddField(
            model_name="drift",
            name="target",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="pools.target",
            ),
        ),
        migrations.AddConstraint(
            model_name="drift",
            constraint=models.UniqueConstraint(
                condition=models.Q(("closed_at", None)), fields=("target",), name="drift_open_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="drift",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["open", "repairing", "ignored", "closed"])), name="drift_state_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="drift",
            constraint=models.CheckConstraint(
                condition=models.Q(("outcome__in", ["agrees", "repaired", "adopted", "over"])),
                name="drift_outcome_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="drift",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("closed_at__isnull", False), ("outcome__isnull", False), ("state", "closed")),
                    models.Q(models.Q(("state", "closed"), _negated=True), ("closed_at", None), ("outcome", None)),
                    _connector="OR",
                ),
                name="drift_closed_at_matches",
            ),
        ),
    ]
