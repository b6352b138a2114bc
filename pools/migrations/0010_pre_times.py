"""When to tell of the end of a lease, also for those that run already; bookings that end with the wait for them."""

from django.db import migrations, models

RUNNING = """
UPDATE allocation SET notice_at = end_at - (spec ->> 'notice_seconds')::bigint * interval '1 second'
WHERE ended_at IS NULL AND end_at IS NOT NULL AND (spec ->> 'notice_seconds')::bigint > 0
"""
# Whatever an allocation goes over to: what was promised to it is promised no longer.
WAITS_NO_LONGER = """
CREATE FUNCTION booking_ends() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM booking WHERE allocation_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER booking_ends AFTER UPDATE OF state ON allocation FOR EACH ROW
    WHEN (OLD.state IN ('scheduled', 'queued') AND NEW.state NOT IN ('scheduled', 'queued'))
    EXECUTE FUNCTION booking_ends();
"""


class Migration(migrations.Migration):
    dependencies = [("pools", "0009_pre_bookings")]

    operations = [
        migrations.AddField(model_name="allocation", name="notice_at", field=models.DateTimeField(null=True)),
        migrations.RunSQL(RUNNING, reverse_sql=migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name="allocation",
            index=models.Index(
                condition=models.Q(("ended_at", None), ("notice_at__isnull", False)),
                fields=["notice_at"],
                name="allocation_notice_due",
            ),
        ),
        migrations.AddConstraint(
            model_name="booking",
            constraint=models.UniqueConstraint(fields=("allocation", "capacity", "position"), name="booking_unique"),
        ),
        migrations.RunSQL(WAITS_NO_LONGER, reverse_sql=migrations.RunSQL.noop),
    ]
