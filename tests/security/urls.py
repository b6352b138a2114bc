"""Every address that ocenter has, from the URL configuration itself: a new one is in these tests by being there."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver
from msgspec import Struct

SOME_ID = "0197f0c0-0000-7000-8000-00000000dead"
SAMPLES = {"uuid": SOME_ID, "int": "1", "slug": "simulated", "str": "lab", "path": "lab"}
"""What stands in an address where the tests have nothing better, by the converter of the URL configuration."""
_PARAMETER = re.compile(r"<(?:(?P<converter>\w+):)?(?P<name>\w+)>")


class Address(Struct, frozen=True):
    """One pattern: ``route`` as it is written (``/pools/<str:reference>/``) and the view behind it."""

    route: str
    view: Any

    def path(self, values: Mapping[str, str] | None = None) -> str:
        """Return an address of that pattern; ``values`` by the parameter's name, the rest is made up."""
        values = values or {}
        return _PARAMETER.sub(
            lambda found: values.get(found["name"]) or SAMPLES.get(found["converter"] or "str", "acme"), self.route
        )

    @property
    def is_api(self) -> bool:
        return self.route.startswith("/api/v1/")


def every() -> list[Address]:
    """Return all that the URL configuration names; patterns that are regular expressions stand for no one address."""
    return sorted(_below(get_resolver(), "/"), key=lambda address: address.route)


def console() -> list[Address]:
    """Return what people call in a browser: all but the API, whose views have their own log-in."""
    return [address for address in every() if not address.is_api]


def api() -> list[Address]:
    """Return the addresses of the REST API."""
    return [address for address in every() if address.is_api]


def _below(resolver: URLResolver, prefix: str) -> Iterator[Address]:
    for each in resolver.url_patterns:
        route = prefix + str(each.pattern).removeprefix("/")
        if isinstance(each, URLResolver):
            yield from _below(each, route)
        elif isinstance(each, URLPattern) and "^" not in route:
            yield Address(route, each.callback)
