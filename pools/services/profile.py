"""What people say of themselves."""

from datetime import datetime
from uuid import UUID
from zoneinfo import available_timezones

from django.conf import settings
from django.core.exceptions import ValidationError

from pools.domain.actors import Actor
from pools.domain.errors import FieldError, Invalid, UserMissing
from pools.models import User
from pools.services import audit, writing


@writing.transaction
def change(
    *, user_id: UUID, display_name: str, email: str, language: str, time_zone: str, actor: Actor, now: datetime
) -> None:
    """Set all four; an empty language or time zone is the installation's. Raises UserMissing, Invalid."""
    wanted = {"display_name": display_name.strip(), "email": email.strip().lower()}
    wanted |= {"language": language, "time_zone": time_zone}
    if wrong := tuple(_wrong(wanted)):
        raise Invalid(fields=wrong)
    user = User.objects.select_for_update().filter(pk=user_id).first()
    if user is None:
        raise UserMissing
    changed = {name: value for name, value in wanted.items() if getattr(user, name) != value}
    if not changed:
        return
    before = {name: getattr(user, name) for name in changed}
    for name, value in changed.items():
        setattr(user, name, value)
    user.generation += 1
    user.save(update_fields=[*changed, "generation"])
    audit.record(actor, "user.profile_changed", "user", user.pk, user.username, before, changed, now)


def _wrong(wanted: dict[str, str]) -> list[FieldError]:
    wrong = []
    if len(wanted["display_name"]) > 150:
        wrong.append(FieldError("display_name", "too_long", "At most 150 characters are taken."))
    if wanted["email"]:
        try:
            User._meta.get_field("email").run_validators(wanted["email"])  # its form and its length
        except ValidationError:
            wrong.append(FieldError("email", "bad_value", "This is no e-mail address."))
    if wanted["language"] and wanted["language"] not in dict(settings.LANGUAGES):
        wrong.append(FieldError("language", "bad_value", "This language is not there."))
    if wanted["time_zone"] and wanted["time_zone"] not in available_timezones():
        wrong.append(FieldError("time_zone", "bad_value", "There is no such time zone."))
    return wrong
