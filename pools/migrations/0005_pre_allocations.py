"""Quotas, allocations and what they take, prices; and the states in which candidates are looked for."""

from pathlib import Path

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import pools.domain.ids

SQL = Path(__file__).resolve().parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies = [
        ("pools", "0004_telemetry_and_watch"),
    ]

    operations = [
        migrations.CreateModel(
            name="Allocation",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=pools.domain.ids.new_id, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("name", models.CharField(default="", max_length=63)),
                ("state", models.CharField(max_length=16)),
                ("reason", models.CharField(default="", max_length=32)),
                ("mode", models.CharField(default="claim", max_length=8)),
                ("spec", models.JSONField()),
                ("labels", models.JSONField(default=dict)),
                ("profile", models.CharField(max_length=63, null=True)),
                ("members", models.IntegerField()),
                ("devices_per_member", models.IntegerField()),
                ("milli", models.BigIntegerField(default=0)),
                ("units_milli", models.BigIntegerField(default=0)),
                (
                    "quota_ids",
                    django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), default=list, size=None),
                ),
                ("is_borrowed", models.BooleanField(default=False)),
                ("is_preemptible", models.BooleanField(default=False)),
                ("priority", models.SmallIntegerField(default=50)),
                ("price_per_hour", models.DecimalField(decimal_places=6, max_digits=18, null=True)),
                ("decision", models.JSONField(null=True)),
                ("lease_seconds", models.BigIntegerField(null=True)),
                ("start_at", models.DateTimeField(null=True)),
                ("end_at", models.DateTimeField(null=True)),
                ("held_until_at", models.DateTimeField(null=True)),
                ("queued_at", models.DateTimeField(null=True)),
                ("queue_reason", models.CharField(default="", max_length=32)),
                ("generation", models.BigIntegerField(default=1)),
                ("created_at", models.DateTimeField()),
                ("changed_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "allocation",
            },
        ),
        migrations.CreateModel(
            name="Booking",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=pools.domain.ids.new_id, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("position", models.IntegerField()),
                ("milli", models.IntegerField()),
                ("memory_mib", models.BigIntegerField()),
                ("start_at", models.DateTimeField()),
                ("end_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "booking",
            },
        ),
        migrations.CreateModel(
            name="Claim",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=pools.domain.ids.new_id, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("member_index", models.IntegerField()),
                ("positions", django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), size=None)),
                (
                    "starts",
                    django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), null=True, size=None),
                ),
                ("milli", models.IntegerField()),
                ("memory_mib", models.BigIntegerField()),
                ("profile", models.CharField(max_length=63, null=True)),
                ("is_held", models.BooleanField(default=False)),
                ("created_at", models.DateTimeField()),
                ("released_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "claim",
            },
        ),
        migrations.CreateModel(
            name="Flavor",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=pools.domain.ids.new_id, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("name", models.CharField(max_length=63)),
                ("description", models.CharField(default="", max_length=500)),
                ("spec", models.JSONField()),
                ("generation", models.BigIntegerField(default=1)),
                ("created_at", models.DateTimeField()),
                ("removed_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "flavor",
            },
        ),
        migrations.CreateModel(
            name="Member",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "allocation_id", "index", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("allocation_id", models.UUIDField()),
                ("index", models.IntegerField()),
                ("binding", models.JSONField(default=dict)),
            ],
            options={
                "db_table": "member",
            },
        ),
        migrations.CreateModel(
            name="Operation",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=pools.domain.ids.new_id, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("member_index", models.IntegerField()),
                ("action", models.CharField(max_length=8)),
                ("state", models.CharField(default="planned", max_length=9)),
                ("target_ref", models.CharField(max_length=255)),
                ("attempts", models.IntegerField(default=0)),
                ("words", models.JSONField(default=dict)),
                ("created_at", models.DateTimeField()),
                ("changed_at", models.DateTimeField()),
            ],
            options={
                "db_table": "operation",
            },
        ),
        migrations.CreateModel(
            name="PackingPrices",
            fields=[
                ("version", models.BigAutoField(primary_key=True, serialize=False)),
                ("weights", models.JSONField()),
                ("total_milli", models.BigIntegerField()),
                ("free_milli", models.BigIntegerField()),
                ("made_at", models.DateTimeField()),
            ],
            options={
                "db_table": "packing_prices",
            },
        ),
        migrations.CreateModel(
            name="Price",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=pools.domain.ids.new_id, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("profile", models.CharField(max_length=63, null=True)),
                ("per_hour", models.DecimalField(decimal_places=6, max_digits=18)),
                ("from_at", models.DateTimeField()),
                ("created_at", models.DateTimeField()),
            ],
            options={
                "db_table": "price",
            },
        ),
        migrations.CreateModel(
            name="Quota",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=pools.domain.ids.new_id, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("profile", models.CharField(max_length=63, null=True)),
                (
                    "pools",
                    django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), null=True, size=None),
                ),
                ("depth", models.SmallIntegerField()),
                ("nominal_milli", models.BigIntegerField()),
                ("borrow_limit_milli", models.BigIntegerField(null=True)),
                ("lend_limit_milli", models.BigIntegerField(null=True)),
                ("hard_limit_milli", models.BigIntegerField(null=True)),
                ("weight", models.IntegerField(default=1)),
                ("used_milli", models.BigIntegerField(default=0)),
                ("open_guarantee_milli", models.BigIntegerField(default=0)),
                ("generation", models.BigIntegerField(default=1)),
                ("created_at", models.DateTimeField()),
                ("changed_at", models.DateTimeField()),
            ],
            options={
                "db_table": "quota",
            },
        ),
        migrations.CreateModel(
            name="RequestKind",
            fields=[
                ("key", models.BigIntegerField(primary_key=True, serialize=False)),
                ("shape", models.JSONField()),
                ("asked", models.BigIntegerField(default=0)),
                ("last_asked_at", models.DateTimeField()),
            ],
            options={
                "db_table": "request_kind",
            },
        ),
        migrations.RemoveIndex(
            model_name="capacity",
            name="capacity_model_free",
        ),
        migrations.RemoveIndex(
            model_name="capacity",
            name="capacity_pool_free",
        ),
        migrations.AddField(
            model_name="capacity",
            name="pos_booked_from_at",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.DateTimeField(null=True), default=list, size=None
            ),
        ),
        migrations.AddField(
            model_name="capacity",
            name="pos_booked_peak_milli",
            field=django.contrib.postgres.fields.ArrayField(base_field=models.IntegerField(), default=list, size=None),
        ),
        migrations.AddField(
            model_name="capacity",
            name="pos_link_group",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=255), default=list, size=None
            ),
        ),
        migrations.AddField(
            model_name="capacity",
            name="shuffle",
            field=models.IntegerField(default=0),
        ),
        migrations.AddField(
            model_name="capacity",
            name="state_key",
            field=models.BigIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="project",
            name="placement",
            field=models.JSONField(default=dict),
        ),
        migrations.AddIndex(
            model_name="capacity",
            index=models.Index(
                condition=models.Q(("free_milli__gt", 0)),
                fields=["pool", "model", "state_key", "shuffle"],
                name="capacity_free",
            ),
        ),
        migrations.AddField(
            model_name="allocation",
            name="asked_by",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="allocation",
            name="model",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="pools.chipmodel",
            ),
        ),
        migrations.AddField(
            model_name="allocation",
            name="pool",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="pools.pool",
            ),
        ),
        migrations.AddField(
            model_name="allocation",
            name="project",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="allocations",
                to="pools.project",
            ),
        ),
        migrations.AddField(
            model_name="booking",
            name="allocation",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="bookings", to="pools.allocation"
            ),
        ),
        migrations.AddField(
            model_name="booking",
            name="capacity",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="bookings",
                to="pools.capacity",
            ),
        ),
        migrations.AddField(
            model_name="claim",
            name="allocation",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="claims",
                to="pools.allocation",
            ),
        ),
        migrations.AddField(
            model_name="claim",
            name="capacity",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="pools.capacity",
            ),
        ),
        migrations.AddField(
            model_name="claim",
            name="pool",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="pools.pool",
            ),
        ),
        migrations.AddConstraint(
            model_name="flavor",
            constraint=models.UniqueConstraint(
                condition=models.Q(("removed_at", None)), fields=("name",), name="flavor_name_unique"
            ),
        ),
        migrations.AddField(
            model_name="member",
            name="node",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="pools.node",
            ),
        ),
        migrations.AddField(
            model_name="member",
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
            model_name="operation",
            name="allocation",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="operations",
                to="pools.allocation",
            ),
        ),
        migrations.AddField(
            model_name="operation",
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
            model_name="price",
            name="flavor",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="prices", to="pools.flavor"
            ),
        ),
        migrations.AddField(
            model_name="price",
            name="model",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="pools.chipmodel"
            ),
        ),
        migrations.AddField(
            model_name="price",
            name="pool",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="pools.pool"
            ),
        ),
        migrations.AddField(
            model_name="quota",
            name="model",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="pools.chipmodel",
            ),
        ),
        migrations.AddField(
            model_name="quota",
            name="parent",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.PROTECT, related_name="children", to="pools.quota"
            ),
        ),
        migrations.AddField(
            model_name="quota",
            name="project",
            field=models.ForeignKey(
                db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="quotas", to="pools.project"
            ),
        ),
        migrations.AddIndex(
            model_name="allocation",
            index=models.Index(fields=["project", "-id"], name="allocation_project"),
        ),
        migrations.AddIndex(
            model_name="allocation",
            index=models.Index(fields=["state", "id"], name="allocation_state"),
        ),
        migrations.AddIndex(
            model_name="allocation",
            index=models.Index(
                condition=models.Q(("state", "held")), fields=["held_until_at"], name="allocation_hold_due"
            ),
        ),
        migrations.AddIndex(
            model_name="allocation",
            index=models.Index(
                condition=models.Q(("end_at__isnull", False), ("ended_at", None)),
                fields=["end_at"],
                name="allocation_end_due",
            ),
        ),
        migrations.AddIndex(
            model_name="allocation",
            index=models.Index(
                condition=models.Q(("state", "queued")),
                fields=["-priority", "is_borrowed", "queued_at", "id"],
                name="allocation_queue",
            ),
        ),
        migrations.AddConstraint(
            model_name="allocation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "state__in",
                        [
                            "pending_approval",
                            "scheduled",
                            "queued",
                            "held",
                            "claimed",
                            "binding",
                            "active",
                            "needs_attention",
                            "releasing",
                            "released",
                            "refused",
                            "expired",
                        ],
                    )
                ),
                name="allocation_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="allocation",
            constraint=models.CheckConstraint(
                condition=models.Q(("mode__in", ["claim", "hold"])), name="allocation_mode_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="allocation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("members__gte", 0), ("devices_per_member__gte", 0), ("milli__gte", 0), ("units_milli__gte", 0)
                ),
                name="allocation_not_negative",
            ),
        ),
        migrations.AddConstraint(
            model_name="allocation",
            constraint=models.CheckConstraint(
                condition=models.Q(("priority__gte", 0), ("priority__lte", 100)), name="allocation_priority_range"
            ),
        ),
        migrations.AddConstraint(
            model_name="allocation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "held"), _negated=True), ("held_until_at__isnull", False), _connector="OR"
                ),
                name="allocation_hold_ends",
            ),
        ),
        migrations.AddConstraint(
            model_name="allocation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("ended_at__isnull", False), ("state__in", ("released", "refused", "expired"))),
                    models.Q(
                        models.Q(("state__in", ("released", "refused", "expired")), _negated=True), ("ended_at", None)
                    ),
                    _connector="OR",
                ),
                name="allocation_ended_at_matches",
            ),
        ),
        migrations.AddIndex(
            model_name="booking",
            index=models.Index(fields=["capacity", "position", "start_at"], name="booking_capacity"),
        ),
        migrations.AddConstraint(
            model_name="booking",
            constraint=models.CheckConstraint(
                condition=models.Q(("milli__gte", 0), ("memory_mib__gte", 0)), name="booking_not_negative"
            ),
        ),
        migrations.AddConstraint(
            model_name="booking",
            constraint=models.CheckConstraint(condition=models.Q(("position__gte", 1)), name="booking_position"),
        ),
        migrations.AddConstraint(
            model_name="booking",
            constraint=models.CheckConstraint(
                condition=models.Q(("end_at", None), ("end_at__gt", models.F("start_at")), _connector="OR"),
                name="booking_window",
            ),
        ),
        migrations.AddIndex(
            model_name="claim",
            index=models.Index(fields=["allocation", "member_index"], name="claim_allocation"),
        ),
        migrations.AddIndex(
            model_name="claim",
            index=models.Index(condition=models.Q(("released_at", None)), fields=["capacity"], name="claim_live"),
        ),
        migrations.AddConstraint(
            model_name="claim",
            constraint=models.CheckConstraint(
                condition=models.Q(("member_index__gte", 0), ("milli__gte", 0), ("memory_mib__gte", 0)),
                name="claim_not_negative",
            ),
        ),
        migrations.AddConstraint(
            model_name="claim",
            constraint=models.CheckConstraint(
                condition=models.Q(("positions__len__gte", 1)), name="claim_takes_something"
            ),
        ),
        migrations.AddIndex(
            model_name="member",
            index=models.Index(condition=models.Q(("node__isnull", False)), fields=["node"], name="member_node"),
        ),
        migrations.AddIndex(
            model_name="operation",
            index=models.Index(fields=["allocation", "id"], name="operation_allocation"),
        ),
        migrations.AddIndex(
            model_name="operation",
            index=models.Index(
                condition=models.Q(("state__in", ("planned", "sent", "unknown"))),
                fields=["pool", "id"],
                name="operation_open",
            ),
        ),
        migrations.AddConstraint(
            model_name="operation",
            constraint=models.CheckConstraint(
                condition=models.Q(("action__in", ["apply", "release"])), name="operation_action_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="operation",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["planned", "sent", "confirmed", "failed", "unknown"])),
                name="operation_state_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="price",
            constraint=models.UniqueConstraint(
                fields=("flavor", "model", "profile", "pool", "from_at"), name="price_unique", nulls_distinct=False
            ),
        ),
        migrations.AddConstraint(
            model_name="price",
            constraint=models.CheckConstraint(condition=models.Q(("per_hour__gte", 0)), name="price_not_negative"),
        ),
        migrations.AddConstraint(
            model_name="price",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("flavor__isnull", False), ("model", None), ("profile", None)),
                    models.Q(("flavor", None), ("model__isnull", False)),
                    _connector="OR",
                ),
                name="price_of_something",
            ),
        ),
        migrations.AddConstraint(
            model_name="quota",
            constraint=models.UniqueConstraint(
                fields=("project", "model", "profile", "pools"), name="quota_unique", nulls_distinct=False
            ),
        ),
        migrations.AddConstraint(
            model_name="quota",
            constraint=models.CheckConstraint(
                condition=models.Q(("nominal_milli__gte", 0), ("used_milli__gte", 0), ("open_guarantee_milli__gte", 0)),
                name="quota_not_negative",
            ),
        ),
        migrations.AddConstraint(
            model_name="quota",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("borrow_limit_milli", None), ("borrow_limit_milli__gte", 0), _connector="OR"),
                    models.Q(("lend_limit_milli", None), ("lend_limit_milli__gte", 0), _connector="OR"),
                    models.Q(("hard_limit_milli", None), ("hard_limit_milli__gte", 0), _connector="OR"),
                ),
                name="quota_limits_not_negative",
            ),
        ),
        migrations.AddConstraint(
            model_name="quota",
            constraint=models.CheckConstraint(
                condition=models.Q(("weight__gte", 1), ("weight__lte", 1000)), name="quota_weight_range"
            ),
        ),
        migrations.AddConstraint(
            model_name="quota",
            constraint=models.CheckConstraint(
                condition=models.Q(("profile", None), ("model__isnull", False), _connector="OR"),
                name="quota_profile_of_model",
            ),
        ),
        migrations.RunSQL((SQL / "0005_allocation.sql").read_text(), reverse_sql=migrations.RunSQL.noop),
    ]
