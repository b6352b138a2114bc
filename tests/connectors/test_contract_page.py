"""The page for authors of connectors lists what is there."""

import re
from pathlib import Path

from connectors.simulated.faults import CODES
from connectors.simulated.state import Knobs, World
from tests.connectors import ability_contract, apply_contract, contract, faults, write_faults

PAGE = Path("docs/connector-contract.md").read_text()


class TestPage:
    def test_has_the_number_of_every_rule_and_no_other(self):
        rules = {
            name[5:8]
            for module in (contract, apply_contract, ability_contract, faults, write_faults)
            for kind in vars(module).values()
            if isinstance(kind, type)
            for name in vars(kind)
            if re.match(r"test_[cf]\d\d_", name)
        }

        told = set(re.findall(r"(?<![-\w])[cf]\d\d(?= )", PAGE.partition("## The rules")[2].partition("| | |")[2]))

        assert told == rules and len(rules) >= 60

    def test_has_every_code_that_a_connector_raises(self):
        raised = set(CODES)
        for path in Path("connectors").rglob("*.py"):
            raised |= set(re.findall(r'code="([a-z_]+)"', path.read_text()))

        assert {code for code in raised if f"`{code}`" not in PAGE} == set()

    def test_has_every_knob(self):
        names = {*Knobs.__struct_fields__, *World.__struct_fields__}

        assert {name for name in names if f"`{name}`" not in PAGE} == set()
