"""Every form of the pages of access, with what nobody should send."""

import re
from itertools import product

import pytest
from django.db import transaction

from pools.models import User
from tests import factories
from tests.web.conftest import NASTY, make_people

pytestmark = pytest.mark.django_db
ODD = (
    "\x00",
    "a\x00b",
    "x" * 5000,
    NASTY,
    "\u202e\ufeff\U0001f600",
    f"{'a' * 60}@{'b' * 60}.{'c' * 60}.{'d' * 60}.{'e' * 60}.org",
)
FINE = {
    "name": "fine",
    "user": "root",
    "role": "viewer",
    "email": "eve@example.org",
    "username": "eve",
    "project": "acme",
    "pool": "lab",
    "days": "7",
}
ADDRESSES = (
    "/projects/new/",
    "/projects/acme/new/",
    "/projects/acme/edit/",
    "/projects/acme/rename/",
    "/projects/acme/members/new/",
    "/projects/acme/vision/members/{ada}/edit/",
    "/projects/acme/invitations/new/",
    "/projects/acme/service-accounts/new/",
    "/projects/acme/pools/new/",
    "/pools/lab/grants/new/",
    "/invitations/new/",
    "/service-accounts/new/",
    "/users/new/",
    "/users/{ada}/edit/",
    "/sso-groups/new/",
    "/tokens/new/",
)


@pytest.mark.parametrize("address", ADDRESSES)
class TestAForm:
    def test_refuses_what_is_odd_in_any_field_and_never_falls(self, console, address):
        make_people(factories.pool("lab"))
        path = address.format(ada=User.objects.get(username="ada").pk)
        fields = set(re.findall(r'name="(\w+)"', console.get(path).content.decode())) - {"csrfmiddlewaretoken"}

        for field, odd in product(fields, ODD):
            mark = transaction.savepoint()
            response = console.post(path, FINE | {field: odd})
            transaction.savepoint_rollback(mark)

            assert response.status_code in (201, 302, 422), (field, odd)
            assert "<script>alert" not in response.content.decode()
