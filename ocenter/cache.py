"""How values lie in the cache: as JSON. Django would take pickle, which runs whatever somebody put into the server."""

import json
from typing import Any


class Json:
    """Django's serializer for Redis. Whole numbers stay plain, so that the server can count them up."""

    def dumps(self, value: Any) -> int | bytes:
        """Return what is stored. Raises TypeError for what JSON has no words for."""
        return value if type(value) is int else json.dumps(value).encode()

    def loads(self, stored: bytes) -> Any:
        """Return the value; tuples come back as lists. Raises ValueError for what is no JSON."""
        return json.loads(stored)
