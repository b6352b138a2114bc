"""Counts the calls of one look at a cloud: `python -m tests.bench.openstack_observe`. They must not grow with it."""

import json
import logging

import structlog

from tests.connectors.openstack.live import list_calls_of_a_look


def main() -> None:
    """Print the calls for a small and a large cloud as flat JSON."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    small, large = list_calls_of_a_look(34, 5), list_calls_of_a_look()
    print(json.dumps({"cyborg_list_calls_34": small, "cyborg_list_calls": large}))


if __name__ == "__main__":
    main()
