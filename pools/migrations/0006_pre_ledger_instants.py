"""Instants of the ledger that never overlap, prices whose change is followed, and allocations without foreign keys.

What is out of reach is told from the instant at which the statement that says so began.
"""

from pathlib import Path

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

SQL = Path(__file__).resolve().parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("pools", "0005_pre_allocations")]

    operations = [
        migrations.RunSQL((SQL / "0006_ledger_instants.sql").read_text(), reverse_sql=migrations.RunSQL.noop),
        migrations.AddField(model_name="price", name="followed_at", field=models.DateTimeField(null=True)),
        migrations.AddIndex(
            model_name="price",
            index=models.Index(condition=models.Q(("followed_at", None)), fields=["from_at"], name="price_to_follow"),
        ),
        *(
            migrations.AlterField(
                model_name="allocation",
                name=name,
                field=models.ForeignKey(
                    db_constraint=False,
                    db_index=False,
                    related_name=related_name,
                    to=to,
                    on_delete=django.db.models.deletion.SET_NULL
                    if name == "asked_by"
                    else django.db.models.deletion.PROTECT,
                    **({} if name == "project" else {"null": True}),
                ),
            )
            for name, related_name, to in (
                ("asked_by", "+", settings.AUTH_USER_MODEL),
                ("model", "+", "pools.chipmodel"),
                ("pool", "+", "pools.pool"),
                ("project", "allocations", "pools.project"),
            )
        ),
    ]
