"""Operations that are not confirmed are few, and people look for the newest of them."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pools", "0019_pre_twins")]

    operations = [
        migrations.AddIndex(
            model_name="operation",
            index=models.Index(
                condition=models.Q(("state", "confirmed"), _negated=True), fields=["id"], name="operation_not_confirmed"
            ),
        ),
    ]
