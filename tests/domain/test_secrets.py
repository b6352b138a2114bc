"""Secrets stay out of what is stored for people, however deep they lie."""

from hypothesis import given
from hypothesis import strategies as st

from pools.domain.secrets import censored

SECRET = "geheim-4711"
NAMES = st.sampled_from(["token", "Password", "name", "settings", "kubeconfig"])
DOCUMENTS = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
)


@given(DOCUMENTS, st.lists(st.sampled_from(["settings", "name"]), max_size=4))
def test_nothing_under_a_secret_name_survives_and_nothing_else_changes(document, path):
    hidden: object = {"token": [SECRET, {"name": SECRET}], "beside": document}
    for name in path:
        hidden = {name: [hidden]}

    found = censored(hidden)

    assert SECRET not in str(found) and censored(found) == found


def test_an_absent_secret_is_shown_as_absent():
    assert censored({"token": None, "name": "lab", "labels": ("a",)}) == {"token": None, "name": "lab", "labels": ["a"]}
