"""Label selectors."""

import pytest

from pools.domain.labels import Requirement, requirements


@pytest.mark.parametrize(
    ("selector", "terms"),
    [
        ("tier=prod,zone!=b", [("tier", "is", "prod"), ("zone", "is_not", "b")]),
        ("tier==prod", [("tier", "is", "prod")]),
        ("gpu, !old", [("gpu", "is", None), ("old", "is_not", None)]),
        ("a=", [("a", "is", "")]),
        ("example.com/tier=a=b", [("example.com/tier", "is", "a=b")]),
        (" , ", []),
    ],
)
def test_a_selector_is_its_terms(selector, terms):
    assert requirements(selector) == tuple(Requirement(*term) for term in terms)


@pytest.mark.parametrize("selector", ["=a", "!", "!a=b", "a,=,b", "!=b"])
def test_what_makes_no_sense_is_refused_with_how_to_write_it(selector):
    with pytest.raises(ValueError, match="name=value"):
        requirements(selector)
