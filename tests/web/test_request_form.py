"""The request form: what it shows beside itself, its buttons, and that a double click asks once."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.http import QueryDict
from django.utils import timezone

from pools.models import Allocation
from pools.services import price_list
from pools.web import request_form_values as form_values
from tests import factories
from tests.services.asking import H100
from tests.web.test_allocations import logged_in

pytestmark = pytest.mark.django_db(transaction=True)
AVOID_NOTHING = '{"topology":{"avoid":{"nodes":[],"pools":[]}}}'
ONE = {"project": "acme/vision", "model": H100, "profile": "", "members": "1", "devices": "2", "lease": "1"}


@pytest.fixture
def ed(world):
    return logged_in(factories.person("ed"), "acme/vision", "member")


def without_nothing(given):
    """Leave out what is null, at every depth."""
    if isinstance(given, dict):
        return {name: without_nothing(each) for name, each in given.items() if each is not None}
    return [without_nothing(each) for each in given] if isinstance(given, list) else given


class TestTheForm:
    def test_begins_with_the_only_project_and_the_models_one_may_use(self, ed):
        page = ed.get("/allocations/new/").content.decode()

        assert '<option value="acme/vision" selected>' in page and f'value="{H100}"' in page
        assert "Choose a project and a model" in page

    def test_asks_once_however_often_it_is_sent(self, ed):
        first, second = (ed.post("/allocations/new/", ONE | {"do": "send", "key": "k1"}) for _ in range(2))

        made = Allocation.objects.get()
        assert first.headers["Location"] == second.headers["Location"] == f"/allocations/{made.pk}/"
        assert (made.devices_per_member, made.lease_seconds) == (2, 3600)

    def test_asks_for_a_later_start_in_utc_and_for_notice(self, ed):
        start = (timezone.now() + timedelta(days=2)).replace(second=0, microsecond=0)
        later = {"do": "send", "key": "k1", "start": f"{start:%Y-%m-%d %H:%M}", "notice": "30"}

        sent = ed.post("/allocations/new/", ONE | later)

        made = Allocation.objects.get()
        assert (made.state, made.start_at, made.spec["notice_seconds"]) == ("scheduled", start, 1800)
        page = ed.get(sent.headers["Location"]).content.decode()
        assert "It begins later." in page and "/release/" in page

    def test_that_made_something_else_before_says_so(self, ed):
        ed.post("/allocations/new/", ONE | {"do": "send", "key": "k1"})

        other = ed.post("/allocations/new/", ONE | {"do": "send", "key": "k1", "devices": "3"})

        assert other.status_code == 422 and "with other values" in other.content.decode()
        assert Allocation.objects.count() == 1

    @pytest.mark.parametrize(
        ("field", "value", "shown_at"),
        [
            ("members", "many", "members"),
            ("devices", "9999", "devices"),
            ("share", "200", "share"),
            ("share_memory", "1024", "share"),
            ("max_price", "dear", "max_price"),
            ("start", "tomorrow", "start"),
            ("start", "2020-01-01", "start"),
            ("max_price", "-1", "max_price"),
            ("pool_labels", "!", "pool_labels"),
            ("model", "", ""),
        ],
    )
    def test_says_at_the_field_what_is_wrong(self, ed, field, value, shown_at):
        response = ed.post("/allocations/new/", ONE | {"do": "send", "key": "k", field: value})

        page = response.content.decode()
        assert response.status_code == 422 and 'aria-invalid="true"' in page
        assert not shown_at or f'id="{shown_at}-about"' in page

    def test_only_asks_when_told_to(self, ed):
        page = ed.post("/allocations/new/", ONE | {"do": "check"}).content.decode()

        assert "It fits in lab" in page and not Allocation.objects.exists()

    def test_adds_moves_and_leaves_out_models(self, ed):
        both = ONE | {"model": [H100, ""], "profile": ["", "1g.10gb"]}

        more = ed.post("/allocations/new/", ONE | {"do": "add"}).content.decode()
        moved = ed.post("/allocations/new/", both | {"do": "up-1"}).content.decode()
        fewer = ed.post("/allocations/new/", both | {"do": "drop-1"}).content.decode()

        assert 'id="model-1"' in more and 'id="model-1"' not in fewer
        assert 'id="profile-0" name="profile" value="1g.10gb"' in moved

    def test_takes_a_change_over_that_makes_it_fit(self, ed):
        page = ed.post("/allocations/new/", ONE | {"do": 'apply-{"members":3,"queue":true}'}).content.decode()

        assert 'value="3"' in page and 'value="true" checked' in page

    @pytest.mark.parametrize("do", ["apply-", "apply-[1]", 'apply-{"share":{"milli":"x"}}', "up-99", "drop--1", "\x00"])
    def test_is_left_as_it_is_by_what_nobody_understands(self, ed, do):
        assert ed.post("/allocations/new/", ONE | {"do": do}).status_code == 200

    def test_folds_what_is_rarely_asked_until_something_stands_there(self, ed):
        empty = ed.get("/allocations/new/").content.decode()
        wrong = ed.post("/allocations/new/", ONE | {"do": "send", "spread": "required", "spread_level": "?"})
        page = wrong.content.decode()

        assert "<details><summary" in empty and "<details open><summary" in page
        assert wrong.status_code == 422 and 'id="spread-about"><p class="error"' in page

    @pytest.mark.parametrize(("field", "value"), [("interconnect", "string"), ("runtime", "basic")])
    def test_says_at_which_model_a_property_is_unknown(self, ed, field, value):
        page = ed.post("/allocations/new/", ONE | {"do": "send", "model": "", field: value}).content.decode()

        assert f'id="{field}-0-about"' in page


class TestItsBody:
    """What a form asks for is what the API is asked for."""

    def asked(self, client, **fields):
        response = client.post("/allocations/new/", ONE | {"do": "send", "key": "k"} | fields)
        assert response.status_code == 302, response.content.decode()
        return without_nothing(Allocation.objects.get().spec)

    def test_has_the_pools_the_price_and_the_policy(self):
        where = "pools=lab,+other&kinds=simulated&regions=eu-1&pool_labels=tier%3Dprod&max_price=12.50&policy=preferred"

        body = form_values.body(form_values.read(QueryDict(where)), {})

        assert body["pools"] == {
            "names": ["lab", "other"],
            "kinds": ["simulated"],
            "regions": ["eu-1"],
            "labels": "tier=prod",
        }
        assert (body["max_price_per_hour"], body["policy"]) == ("12.50", "preferred")

    def test_has_how_far_apart_and_what_to_avoid(self, ed):
        spec = self.asked(ed, spread="required", spread_level="node", avoid_nodes="n7, n8", avoid_pools="other")

        assert spec["topology"]["spread"] == {"level": "node", "required": True}
        assert spec["topology"]["avoid"] == {"nodes": ["n7", "n8"], "pools": ["other"]}

    def test_avoids_what_it_says_and_offers_not_to(self, ed):
        page = ed.post("/allocations/what-if/", ONE | {"avoid_pools": "lab"}).content.decode()
        applied = ed.post("/allocations/new/", ONE | {"avoid_pools": "lab", "do": f"apply-{AVOID_NOTHING}"})

        assert "It does not fit now" in page and "apply-" in page
        assert 'name="avoid_pools"' in applied.content.decode() and 'value="lab"' not in applied.content.decode()

    def test_has_the_interconnect_and_the_runtime_of_what_would_do(self, ed):
        spec = self.asked(ed, model="", interconnect="nvlink", runtime="cuda")

        assert spec["any_of"] == [{"interconnect": "nvlink", "runtime": "cuda"}]

    def test_keeps_to_the_pools(self, ed):
        elsewhere = ed.post("/allocations/what-if/", ONE | {"pools": "other"}).content.decode()
        here = ed.post("/allocations/what-if/", ONE | {"pools": "lab"}).content.decode()

        assert "It does not fit now" in elsewhere and "It fits in lab" in here

    def test_has_the_memory_of_a_share(self, ed):
        spec = self.asked(ed, devices="1", share="25", share_memory="10240")

        assert spec["share"] == {"milli": 250, "memory_mib": 10240}

    def test_has_what_a_device_must_have_instead_of_a_model(self, ed):
        spec = self.asked(ed, model="", vendor="nvidia", memory_min="40")

        assert spec["any_of"] == [{"vendor": "nvidia", "memory_mib_min": 40960}]

    def test_leaves_out_what_is_hidden_beside_a_model(self, ed):
        spec = self.asked(ed, vendor="huawei", memory_min="64")

        assert spec["any_of"] == [{"model": H100}]

    def test_keeps_choices_that_are_taken_over(self, ed):
        patch = 'apply-{"any_of":[{"vendor":"nvidia","memory_mib_min":40960}],"max_price_per_hour":"7.5"}'

        page = ed.post("/allocations/new/", ONE | {"do": patch}).content.decode()

        assert '<option value="nvidia" selected>' in page and 'name="memory_min" value="40"' in page
        assert 'name="max_price"' in page and 'value="7.5"' in page

    def test_says_what_no_card_can_have(self, ed):
        page = ed.post("/allocations/new/", ONE | {"do": "send", "key": "k", "model": "", "memory_min": "9999"})

        assert page.status_code == 422 and "No known model has all of this" in page.content.decode()


class TestTheWhatIf:
    def test_tells_where_it_fits_without_taking_anything(self, ed):
        page = ed.post("/allocations/what-if/", ONE).content.decode()

        assert "It fits in lab" in page and "exactly these devices" in page and "<html" not in page
        assert "n0" not in page and not Allocation.objects.exists()

    def test_tells_why_not_and_offers_what_would_do(self, ed):
        page = ed.post("/allocations/what-if/", ONE | {"members": "3", "devices": "8"}).content.decode()

        assert "It does not fit now" in page and "Ask for 1 member." in page
        assert 'value="apply-{&quot;members&quot;:1}"' in page

    def test_offers_the_price_at_which_it_would_fit(self, ed, world):
        price_list.add(model_id=world.model.pk, per_hour=Decimal(3), actor=factories.ALICE, now=world.clock.now)

        page = ed.post("/allocations/what-if/", ONE | {"max_price": "5.5"}).content.decode()

        assert "Pay up to 6 per hour." in page and "apply-{&quot;max_price_per_hour&quot;:" in page

    def test_tells_what_is_wrong(self, ed):
        page = ed.post("/allocations/what-if/", ONE | {"members": "0"}).content.decode()

        assert "Not complete yet" in page and "1 to 10,000 is possible" in page

    def test_is_for_those_who_may_ask(self, world):
        vera = logged_in(factories.person("vera"), "acme/vision", "viewer")

        assert vera.post("/allocations/what-if/", ONE).status_code == 403
