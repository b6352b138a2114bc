"""The root-owned helper on a host: makes it carry one desired-state document, and tells what it carries.

Standard library only, Python 3.9 or newer, no daemon. ``connectors.baremetal.prepare`` packs this package into the one
file ``/usr/local/sbin/ocenter-hostctl``.
"""

VERSION = 1
