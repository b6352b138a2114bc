"""What a monitoring system reads."""

import pytest
from django.utils import timezone

from pools.domain.actors import SYSTEM
from pools.services import tokens, verification
from tests import factories, logs
from tests.factories import Clock, Shows, device, holding, pool, synced, use

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def admin():
    return factories.person("root", "admin", password="a-long-password")


@pytest.fixture
def fleet():
    now = timezone.now()
    synced(pool("lab"), Shows(holding("a", device("a-0", uses=(use(),)), device("a-1", health="faulty"))), Clock(now))


class TestMetrics:
    def test_tell_an_administrator_the_fleet_by_pool_and_state(self, client, admin, fleet):
        token = tokens.make(username="root", name="prometheus", actor=SYSTEM, now=timezone.now())

        text = client.get("/metrics", HTTP_AUTHORIZATION=f"Bearer {token}").content.decode()

        assert 'ocenter_capacity_devices{model="nvidia-' in text and 'state="shadow"} 1.0' in text
        assert 'ocenter_pool_stale{kind="simulated",pool="lab"} 0.0' in text
        assert 'health="online",kind="simulated",pool="lab",state="active"} 1.0' in text

    def test_tell_others_nothing_of_the_fleet(self, client, fleet):
        text = client.get("/metrics").content.decode()

        assert "python_info" in text and "lab" not in text and "ocenter_" not in text

    def test_leave_out_what_is_not_known(self, client, admin):
        pool("never-seen")
        client.force_login(admin)

        text = client.get("/metrics").content.decode()

        assert "ocenter_pool_observed_age_seconds{" not in text
        assert 'ocenter_pool_stale{kind="simulated",pool="never-seen"} 1.0' in text

    def test_tell_what_of_the_logs_is_not_proved_and_how_the_last_check_ended(self, client, admin):
        logs.empty()
        logs.sealed(3)
        client.force_login(admin)
        before = client.get("/metrics").content.decode()
        verification.run(actor=SYSTEM, now=timezone.now())

        text = client.get("/metrics").content.decode()

        assert "ocenter_log_check_ok" in before and "ocenter_log_check_ok 1.0" not in before
        assert 'ocenter_log_unsealed_rows{stream="audit_event"} 1.0' in text, "the check's own row"
        assert "ocenter_log_check_ok 1.0" in text and "ocenter_log_check_age_seconds 0" in text
        logs.empty()
