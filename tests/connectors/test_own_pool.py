"""The contract on a platform of one's own: docs/backends.md says how, and what this makes and removes there.

``OCENTER_TEST_POOL`` names a file as ``python -m connectors`` reads it, with ``kind`` beside it. Without ``orders`` the
platform is only looked at.
"""

import os
import time
from itertools import count
from pathlib import Path

import pytest
import yaml
from msgspec import convert
from msgspec.structs import replace

from connectors import catalog
from connectors.__main__ import Given
from tests.connectors.apply_contract import ApplyContract, carry
from tests.connectors.contract import ConnectorContract, Sessions, last_of, pages

pytestmark = [
    pytest.mark.backend,
    pytest.mark.skipif("OCENTER_TEST_POOL" not in os.environ, reason="OCENTER_TEST_POOL names no pool of one's own"),
]
GENERATIONS_A_RULE = 20
FIRST_GENERATIONS = count(int(time.time()) * 1000, GENERATIONS_A_RULE)
NOT_HERE = "this cannot be brought about on a platform of one's own"


@pytest.fixture(scope="module")
def file():
    return yaml.safe_load(Path(os.environ["OCENTER_TEST_POOL"]).read_text())


@pytest.fixture
def kind(file):
    return file["kind"]


@pytest.fixture
def given(file):
    return convert({name: value for name, value in file.items() if name != "kind"}, Given)


class OwnPool(Sessions):
    @pytest.fixture
    def connect(self, kind, given, open_session):
        return lambda **more: open_session(kind, given.settings, given.credential, **more)

    @pytest.fixture
    def secret(self, kind, given):
        valid = catalog.validate(kind, given.settings, given.credential)
        return next(text for text in valid.credential.values() if isinstance(text, str))

    @pytest.fixture
    def playing_nothing(self):
        pytest.skip(NOT_HERE)

    with_wrong_credential = nowhere = without_permission = missing_permission = breaking = playing_nothing
    losing_the_answer = losing_the_request = refusing_to_manage = interrupting = playing_nothing
    foreign_target = unmark = made = playing_nothing


class TestLookingAtOwnPool(OwnPool, ConnectorContract):
    def test_c01_the_last_page_and_no_other_says_that_it_is_the_last(self, connector):
        seen = pages(connector)

        assert [page.last is not None for page in seen] == [False] * (len(seen) - 1) + [True]

    def test_c14_a_node_without_devices_is_a_node_too(self):
        pytest.skip("a platform of one's own may have devices in every node")

    def test_c16_the_same_fleet_gives_the_same_facts_in_the_same_order(self, connector):
        """Others use a platform of one's own meanwhile, so only what is there is compared."""
        first, second = ([node.ref for page in pages(connector) for node in page.nodes] for _ in range(2))

        assert first == second

    def test_c17_another_session_sees_the_same(self, connector, connect):
        first, second = ([node.ref for page in pages(one) for node in page.nodes] for one in (connector, connect()))

        assert first == second and last_of(pages(connector)).complete


class TestOrdersOnOwnPool(OwnPool, ApplyContract):
    @pytest.fixture
    def connector(self, connect, given, target):
        if not given.orders or given.target is None:
            pytest.skip("the file has no target and orders, so nothing is made")
        session = connect()
        yield session
        carry(session, target(GENERATIONS_A_RULE - 1), [])

    @pytest.fixture
    def stranger(self, connect):
        return connect(installation="0198c0de-0000-7000-8000-00000000beef")

    @pytest.fixture
    def target(self, given):
        """Generations grow from rule to rule and from run to run: the platform may remember the last one."""
        first = next(FIRST_GENERATIONS)
        return lambda generation: replace(given.target, generation=first + generation)

    @pytest.fixture
    def orders(self, given):
        return given.orders

    @pytest.fixture
    def other_target(self):
        pytest.skip(NOT_HERE)

    other_orders = other_target
