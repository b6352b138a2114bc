"""The first administrator of a new installation."""

import pytest

from pools.models import AuditEvent
from pools.services import bootstrap

pytestmark = pytest.mark.django_db


class TestTheFirstAdministrator:
    def test_is_made_once_and_recorded_without_the_password(self):
        password = bootstrap.first_admin()
        again = bootstrap.first_admin()

        told = AuditEvent.objects.values().get()
        assert (told["actor"], told["action"], told["object_name"]) == ("system", "user.first_admin_made", "admin")
        assert password and again is None and password not in str(told)
