"""What carries our marker on a platform without a claim."""

import django.db.models.deletion
from django.db import migrations, models

import pools.domain.ids


class Migration(migrations.Migration):
    dependencies = [
        ("pools", "0011_pre_attribution"),
    ]

    operations = [
        migrations.CreateModel(
            name="Orphan",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=pools.domain.ids.new_id, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("marker", models.CharField(max_length=255)),
                ("holder", models.CharField(default="", max_length=255)),
                ("milli", models.BigIntegerField(default=0)),
                ("memory_mib", models.BigIntegerField(default=0)),
                ("places", models.JSONField(default=list)),
                ("origin", models.CharField(default="seen", max_length=8)),
                ("opened_at", models.DateTimeField()),
                ("reap_asked_at", models.DateTimeField(null=True)),
                ("closed_at", models.DateTimeField(null=True)),
                ("outcome", models.CharField(max_length=8, null=True)),
                (
                    "node",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="pools.node",
                    ),
                ),
                (
                    "pool",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="pools.pool",
                    ),
                ),
                (
                    "target",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="pools.target",
                    ),
                ),
            ],
            options={
                "db_table": "orphan",
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("closed_at", None)), fields=("pool", "marker"), name="orphan_open_unique"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("origin__in", ["seen", "left"])), name="orphan_origin_known"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("outcome__in", ["gone", "claimed", "reaped", "adopted"])),
                        name="orphan_outcome_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("closed_at", None), ("outcome", None)),
                            models.Q(("closed_at__isnull", False), ("outcome__isnull", False)),
                            _connector="OR",
                        ),
                        name="orphan_closed_at_matches",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("milli__gte", 0), ("memory_mib__gte", 0)), name="orphan_not_negative"
                    ),
                ],
            },
        ),
    ]
