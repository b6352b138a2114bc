"""External names stay what they are: platforms have objects of these names."""

from base64 import b32encode
from hashlib import blake2b
from uuid import UUID

import pytest

from pools.domain import markers


class TestAName:
    @pytest.mark.parametrize("number", range(50))
    def test_is_twenty_digits_of_the_hash_in_base32(self, number: int) -> None:
        id = UUID(int=number**20 + 1)
        digest = blake2b(f"here/{id}/{number}".encode(), digest_size=13).digest()

        assert markers.of_member("here", id, number) == f"oc-{b32encode(digest).decode()[:20].lower()}"
        assert markers.of_member("there", id, number) != markers.of_member("here", id, number)
