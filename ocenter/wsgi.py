"""The web process."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ocenter.settings")

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from ocenter.errors import Trouble

if not settings.HAS_SECRETS:
    raise Trouble(
        "OCENTER_SECRET_KEY and OCENTER_CREDENTIAL_KEYS are not set and there is no secrets.json in "
        f"{settings.OCENTER_HOME}; set them or start by `manage.py up`, which generates them."
    )
settings.DATABASES["default"]["OPTIONS"]["pool"] = settings.DATABASE_POOL
application = get_wsgi_application()
