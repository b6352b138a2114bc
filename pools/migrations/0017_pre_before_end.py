"""How the time to save before the end of an allocation stands, and where those are found whose time has come."""

from django.db import migrations, models

STATES = ("", "pending", "running", "done", "failed", "timed_out", "skipped")


class Migration(migrations.Migration):
    dependencies = [("pools", "0016_pre_faults")]

    operations = [
        migrations.AddField(
            model_name="allocation",
            name="before_end_state",
            field=models.CharField(db_default="", default="", max_length=16),
        ),
        migrations.AddConstraint(
            model_name="allocation",
            constraint=models.CheckConstraint(
                condition=models.Q(before_end_state__in=STATES), name="allocation_before_end_known"
            ),
        ),
        migrations.AddIndex(
            model_name="allocation",
            index=models.Index(
                fields=["end_at"],
                condition=models.Q(before_end_state="pending"),
                name="allocation_before_end_due",
            ),
        ),
    ]
