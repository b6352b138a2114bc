"""One root for many leaves: it changes with every leaf, with their order and with their number."""

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from pools.domain import merkle

LEAVES = st.lists(st.binary(max_size=8).map(merkle.leaf), max_size=40)


def as_defined(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word by word."""
    if not leaves:
        return sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    left = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\x01" + as_defined(leaves[:left]) + as_defined(leaves[left:])).digest()


class TestTheRoot:
    @given(LEAVES)
    def test_is_that_of_rfc_6962(self, leaves):
        assert merkle.root(leaves) == as_defined(leaves)

    @given(LEAVES.filter(bool), st.data())
    def test_changes_with_any_leaf(self, leaves, data):
        place = data.draw(st.integers(0, len(leaves) - 1))
        changed = [*leaves]
        changed[place] = merkle.leaf(b"another one")

        assert merkle.root(changed) != merkle.root(leaves)

    @given(LEAVES.filter(bool), st.data())
    def test_changes_when_a_leaf_goes_or_comes(self, leaves, data):
        place = data.draw(st.integers(0, len(leaves) - 1))

        assert merkle.root(leaves[:place] + leaves[place + 1 :]) != merkle.root(leaves)
        assert merkle.root([*leaves, leaves[place]]) != merkle.root(leaves)

    @given(LEAVES.filter(lambda leaves: len(leaves) > 1))
    def test_changes_with_the_order(self, leaves):
        other = leaves[::-1]

        assert (merkle.root(other) == merkle.root(leaves)) == (other == leaves)

    def test_of_two_leaves_is_no_leaf_of_their_text(self):
        one, two = merkle.leaf(b"1"), merkle.leaf(b"2")

        assert merkle.root([one, two]) != merkle.leaf(one + two)


@given(LEAVES)
def test_leaves_are_split_as_they_were_joined(leaves):
    assert merkle.split(b"".join(leaves)) == leaves
