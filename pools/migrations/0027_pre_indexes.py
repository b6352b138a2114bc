"""Fewer and fuller indexes: none that another one serves for, and what grows at its end is not split in the middle."""

from pathlib import Path

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

SQL = Path(__file__).resolve().parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("pools", "0026_pre_taking")]

    operations = [
        migrations.RunSQL((SQL / "0027_indexes.sql").read_text(), reverse_sql=migrations.RunSQL.noop),
        migrations.RemoveIndex(model_name="allocation", name="allocation_project"),
        migrations.AddIndex(
            model_name="allocation", index=models.Index(fields=["project", "id"], name="allocation_project")
        ),
        migrations.RemoveIndex(model_name="member", name="member_node"),
        migrations.AlterField(
            model_name="idempotencykey",
            name="user",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
    ]
