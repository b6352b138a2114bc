"""Whether a body can set what the API does not offer: every other column of every table, at every address."""

import itertools

import pytest
from django.apps import apps
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator

from pools.models import Allocation, ApiToken, Device, Drift, Orphan, Pool, Target
from pools.services import flavors, service_accounts
from tests import factories
from tests.security import urls

pytestmark = pytest.mark.django_db
COLUMNS = sorted(
    {
        name
        for model in apps.get_app_config("pools").get_models()
        for field in model._meta.concrete_fields
        for name in (field.name, field.attname)
    }
)
MORE = ["is_staff", "is_superuser", "access", "actor", "scope", "roles", "__class__", "constructor", "pk", "_state"]


@pytest.fixture(scope="module")
def operations():
    """(method, path, schema of the body) of each operation that takes one."""
    description = SchemaGenerator().get_schema(request=None, public=True)
    shapes = description["components"]["schemas"]

    def shape(body):
        found = next(iter(body.get("content", {}).values()), {}).get("schema", {})
        return shapes[found["$ref"].rsplit("/", 1)[1]] if "$ref" in found else found

    return [
        (method.upper(), path, shape(operation.get("requestBody", {})))
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
        if method in ("post", "put", "patch")
    ]


class TestABody:
    @pytest.fixture
    def values(self, fleet, token):
        """What stands in addresses, so that each leads to something that the caller may change."""
        vision = factories.project("vision", member=factories.person("alice"))
        robot = service_accounts.make(
            project_id=vision.pk, name="robot", role="viewer", actor=factories.ALICE, now=timezone.now()
        )
        now = timezone.now()
        waiting = Allocation.objects.create(
            project=vision, state="queued", spec={}, members=1, devices_per_member=1, created_at=now, changed_at=now
        )
        lab = Pool.objects.all()[0]
        orphan = Orphan.objects.create(pool=lab, marker="oc-left", opened_at=now)
        target = Target.objects.create(pool=lab, kind="vm", ref="oc-left", mode="node", created_at=now)
        drift = Drift.objects.create(pool=lab, target=target, code="differs", opened_at=now)
        flavors.make(name="pair", spec={"members": 2}, actor=factories.ALICE, now=now)
        return _Known(
            allocation=str(waiting.pk),
            flavor="pair",
            orphan=str(orphan.pk),
            drift_id=str(drift.pk),
            device=str(Device.objects.all()[0].pk),
            pool="begun",
            run=str(fleet["held_run"]),
            token=str(ApiToken.objects.get().pk),
            project="vision",
            user="alice",
            account=str(robot.pk),
        )

    def test_with_another_column_is_refused_by_name_at_every_address(self, api, operations, values):
        unproven = []
        for method, path, shape in operations:
            forbidden = {name for name in itertools.chain(COLUMNS, MORE) if name not in shape.get("properties", {})}

            answer = api(method, path.format_map(values), dict.fromkeys(forbidden, "x"))

            named = {error["field"].removeprefix("credential.") for error in answer.data.get("errors", ())}
            codes = {error["code"] for error in answer.data.get("errors", ())}
            is_a_list = shape.get("type") == "array" and codes == {"not_a_list"}
            if answer.status_code != 422 or not (is_a_list or named >= forbidden):
                unproven.append((method, path, answer.status_code, answer.data.get("code"), sorted(named)[:5], codes))

        assert len(operations) >= 30 and unproven == []

    def test_cannot_bring_columns_inside_of_what_is_offered(self, api):
        body = {
            "name": "lab",
            "kind": "simulated",
            "settings": {"state": "active", "identity": "x"},
            "credential": {"id": "x", "pool_id": "x"},
        }

        answer = api.post("/pools", body)

        fields = {error["field"] for error in answer.data.get("errors", ())}
        assert answer.status_code == 422
        assert {"settings.state", "settings.identity", "credential.id", "credential.pool_id"} <= fields


class _Known(dict[str, str]):
    def __missing__(self, name):
        return urls.SOME_ID
