"""Targets: the platform objects that carry orders, and what is handed over of them."""

import django.db.models.deletion
from django.db import migrations, models

import pools.domain.ids


class Migration(migrations.Migration):
    dependencies = [
        ("pools", "0006_pre_ledger_instants"),
    ]

    operations = [
        migrations.AddField(
            model_name="member",
            name="order_generation",
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="member",
            name="order_state",
            field=models.CharField(max_length=8, null=True),
        ),
        migrations.AddField(
            model_name="member",
            name="trouble",
            field=models.JSONField(null=True),
        ),
        migrations.AddField(
            model_name="operation",
            name="calls",
            field=models.JSONField(null=True),
        ),
        migrations.AddField(
            model_name="operation",
            name="ended_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="operation",
            name="generation",
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="operation",
            name="sent_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="operation",
            name="trouble",
            field=models.JSONField(null=True),
        ),
        migrations.CreateModel(
            name="Target",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=pools.domain.ids.new_id, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("kind", models.CharField(max_length=32)),
                ("ref", models.CharField(max_length=255)),
                ("mode", models.CharField(max_length=32)),
                ("is_tenants", models.BooleanField(default=False)),
                ("generation", models.BigIntegerField(default=1)),
                ("applied_generation", models.BigIntegerField(default=0)),
                ("is_unknown", models.BooleanField(default=False)),
                ("due_at", models.DateTimeField(null=True)),
                ("turn_token", models.UUIDField(null=True)),
                ("turn_until", models.DateTimeField(null=True)),
                ("failures", models.IntegerField(default=0)),
                ("found", models.JSONField(null=True)),
                ("found_at", models.DateTimeField(null=True)),
                ("trouble", models.JSONField(null=True)),
                ("checked_at", models.DateTimeField(null=True)),
                ("created_at", models.DateTimeField()),
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
                    "project",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="pools.project",
                    ),
                ),
            ],
            options={
                "db_table": "target",
            },
        ),
        migrations.CreateModel(
            name="Delivery",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=pools.domain.ids.new_id, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("allocation_id", models.UUIDField()),
                ("kind", models.CharField(default="", max_length=16)),
                ("facts", models.JSONField(default=dict)),
                ("ciphertext", models.BinaryField(default=b"")),
                ("key_id", models.CharField(default="", max_length=16)),
                ("secret_names", models.JSONField(default=list)),
                ("made_at", models.DateTimeField(null=True)),
                ("expires_at", models.DateTimeField(null=True)),
                ("due_at", models.DateTimeField(null=True)),
                ("failures", models.IntegerField(default=0)),
                ("trouble", models.JSONField(null=True)),
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
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="pools.target",
                    ),
                ),
            ],
            options={
                "db_table": "delivery",
            },
        ),
        migrations.AddField(
            model_name="member",
            name="target",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="pools.target",
            ),
        ),
        migrations.AddField(
            model_name="operation",
            name="target",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="pools.target",
            ),
        ),
        migrations.AddIndex(
            model_name="member",
            index=models.Index(
                condition=models.Q(("order_state__in", ("wanted", "carried", "leaving"))),
                fields=["target"],
                name="member_target_present",
            ),
        ),
        migrations.AddConstraint(
            model_name="member",
            constraint=models.CheckConstraint(
                condition=models.Q(("order_state__in", ["wanted", "carried", "leaving", "gone"])),
                name="member_order_state_known",
            ),
        ),
        migrations.AddIndex(
            model_name="target",
            index=models.Index(
                condition=models.Q(("due_at__isnull", False)), fields=["pool", "due_at"], name="target_due"
            ),
        ),
        migrations.AddConstraint(
            model_name="target",
            constraint=models.UniqueConstraint(fields=("pool", "kind", "ref"), name="target_unique"),
        ),
        migrations.AddConstraint(
            model_name="target",
            constraint=models.CheckConstraint(
                condition=models.Q(("generation__gte", 0), ("applied_generation__gte", 0), ("failures__gte", 0)),
                name="target_not_negative",
            ),
        ),
        migrations.AddIndex(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(("due_at__isnull", False)), fields=["pool", "due_at"], name="delivery_due"
            ),
        ),
        migrations.AddConstraint(
            model_name="delivery",
            constraint=models.UniqueConstraint(fields=("allocation_id", "target"), name="delivery_unique"),
        ),
        migrations.AddConstraint(
            model_name="delivery",
            constraint=models.CheckConstraint(condition=models.Q(("failures__gte", 0)), name="delivery_not_negative"),
        ),
    ]
