"""Another process, which says when what a token may do changes: `python -m tests.services.watching DATABASE`.

It reads tokens from its input, a line each, and prints "<number of the token> <roles>" at first and at each change.
"""

import sys
import time

import django


def main(database: str) -> None:
    """Look at each token 50 times a second, as often as a busy web process would."""
    django.setup()
    from django.db import connection
    from django.utils import timezone

    from pools.services import tokens

    connection.settings_dict["NAME"] = database
    watched = sys.stdin.read().split()
    seen: dict[int, str] = {}
    while True:
        for number, token in enumerate(watched):
            access = tokens.access_of(token, timezone.now())
            roles = " ".join([*access.platform_roles, *(each.role for each in access.bindings)]) if access else "none"
            if seen.get(number) != roles:
                seen[number] = roles
                print(number, roles, flush=True)
        time.sleep(0.02)


if __name__ == "__main__":
    main(*sys.argv[1:])
