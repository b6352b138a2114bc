"""The web process."""

import os
from importlib import import_module

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ocenter.settings")

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from connectors import structs
from ocenter.errors import Trouble

if not settings.HAS_SECRETS:
    raise Trouble(
        "OCENTER_SECRET_KEY and OCENTER_CREDENTIAL_KEYS are not set and there is no secrets.json in "
        f"{settings.OCENTER_HOME}; set them or start by `manage.py up`, which generates them."
    )
options = settings.DATABASES["default"]["OPTIONS"]
options["pool"] = settings.DATABASE_POOL
# Parallel workers make one answer sooner for more CPU in all, and the console has many at a time to give.
options["options"] = f"{options.get('options', '')} -c max_parallel_workers_per_gather=0".strip()
application = get_wsgi_application()
# Else the first requests load them, each of them at once.
import_module(settings.ROOT_URLCONF)
import_module("pools.services.models").current()
structs.learn()
