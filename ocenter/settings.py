"""Django's settings. Every value that differs between installations comes from `ocenter.env`."""

import logging
import secrets
import socket
from typing import Any
from urllib.parse import unquote, urlsplit

from csp.constants import NONE, SELF
from django.utils.translation import gettext_lazy as _
from psycopg.conninfo import conninfo_to_dict

from connectors import addresses as outgoing
from connectors.addresses import Outgoing
from ocenter import addresses, home, logs
from ocenter.env import CHECKOUT, load

env = load()
kept = home.read_secrets(env.home)

# --- secrets ----------------------------------------------------------------------------------------------------------
# Without any, commands that need none still work; wsgi.py refuses to serve and encrypting without keys raises.
HAS_SECRETS = env.secret_key is not None or kept is not None
if env.secret_key is not None:
    SECRET_KEY = env.secret_key.get_secret_value()
else:
    SECRET_KEY = kept.secret_key if kept else secrets.token_urlsafe(50)
CREDENTIAL_KEYS: tuple[str, ...] = tuple(key.get_secret_value() for key in env.credential_keys) or (
    kept.credential_keys if kept else ()
)
"""Fernet keys of stored credentials, the first encrypts."""
SEAL_KEYS: tuple[str, ...] = tuple(key.get_secret_value() for key in env.seal_keys) or (kept.seal_keys if kept else ())
"""Ed25519 keys of the audit's and the ledger's seals, the first signs (pools/services/seal_keys.py)."""

# --- where things are -------------------------------------------------------------------------------------------------
OCENTER_HOME = env.home
SERVES_HTTPS = env.url is not None and env.url.startswith("https://")
DEBUG = False
ROOT_URLCONF = "ocenter.urls"
WSGI_APPLICATION = "ocenter.wsgi.application"
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]", socket.gethostname(), *env.allowed_hosts]
if env.url:
    ALLOWED_HOSTS.append(str(urlsplit(env.url).hostname))
    CSRF_TRUSTED_ORIGINS = [env.url]

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "django_cotton",
    "csp",
    "django_structlog",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.mfa",
    "allauth.usersessions",
    "ocenter",
    "pools",
]

MIDDLEWARE = [
    # What an answer tells browsers comes first, so that refusals of those below tell it too.
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "ocenter.answers.restrained",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "ocenter.request_log.RequestLog",
    "ocenter.straight.straight",  # programs with a token go past the rest
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "pools.web.visits.visits",
    "allauth.account.middleware.AccountMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [CHECKOUT / "templates"],
        "APP_DIRS": True,  # django-cotton puts its loader in front and caches all three
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]
COTTON_DIR = "cotton"


# --- database ---------------------------------------------------------------------------------------------------------
def _database_url(role: str) -> str:
    as_owner = role == "owner"
    if env.database_url is not None:
        chosen = env.owner_database_url if as_owner and env.owner_database_url else env.database_url
        return chosen.get_secret_value()
    name, password = addresses.OWNER if as_owner else addresses.APP, ""
    if kept is not None:
        password = kept.owner_password if as_owner else kept.app_password
    return addresses.postgres_url(addresses.postgres_sockets(env.home), name, password)


def _database(url: str) -> dict[str, Any]:
    parts = conninfo_to_dict(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.pop("dbname"),
        "USER": parts.pop("user"),
        "PASSWORD": parts.pop("password", ""),
        "HOST": parts.pop("host", ""),
        "PORT": str(parts.pop("port", "")),
        "OPTIONS": {"application_name": "ocenter", **parts},
        # Without it a pool hands out connections that a restarted server has closed, and each answers 500.
        "CONN_HEALTH_CHECKS": True,
        "CONN_MAX_AGE": 0,
    }


DATABASES = {"default": _database(_database_url(env.database_role))}
DATABASE_APP = _database(_database_url("app"))
DATABASE_OWNER = _database(_database_url("owner"))
"""The two roles: `manage.py` connects as the owner to migrate and gives the application its rights."""
# The web process adds it (wsgi.py). A worker's processes each have one connection, which a pool would only double.
DATABASE_POOL = {"min_size": 1, "max_size": env.web_threads, "timeout": 10}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
KEEP_DAYS = {
    "audit_event": env.keep_audit_days,
    "ledger_event": env.keep_ledger_days,
    "inventory_change": env.keep_changes_days,
    "sync_run": env.keep_runs_days,
    "device_usage_hour": env.keep_usage_days,
    "fragmentation_day": env.keep_usage_days,
}
"""Days by table; `manage.py up` and the housekeeping service drop what is older once a day."""
TELEMETRY_SECONDS = env.telemetry_seconds

# --- broker and cache: one server, two of its databases, since clearing a cache empties a database --------------------
BROKER_URL = addresses.broker_url(env)
CACHE_URL = addresses.cache_url(BROKER_URL)
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": CACHE_URL,
        "KEY_PREFIX": "ocenter",
        "VERSION": 2,  # the first one was not JSON
        "OPTIONS": {"serializer": "ocenter.cache.Json"},
    }
}

# --- where connectors may connect to ---------------------------------------------------------------------------------
OUTGOING = Outgoing(allowed=outgoing.places(env.outgoing_allow), denied=outgoing.places(env.outgoing_deny))

# --- people -----------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "pools.User"
AUTHENTICATION_BACKENDS = ["pools.web.accounts.Backend"]
SESSION_ENGINE = "django.contrib.sessions.backends.db"
SESSION_COOKIE_NAME = "ocenter_session"
SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = SERVES_HTTPS
CSRF_COOKIE_NAME = "ocenter_csrf"
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SECURE = SERVES_HTTPS
LANGUAGE_COOKIE_NAME = "ocenter_language"
LANGUAGE_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_SECURE = SERVES_HTTPS
LANGUAGE_COOKIE_AGE = 365 * 86400
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "login"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "pools.services.password_rules.UnlikeItsOwner"},
    {"NAME": "pools.services.password_rules.LongEnough", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
PASSWORD_RESET_TIMEOUT = 24 * 3600
# The last proxy in front says who called it; without one only the connection does.
ALLAUTH_TRUSTED_PROXY_COUNT = int(env.behind_proxy)
ACCOUNT_ADAPTER = "pools.web.accounts.Accounts"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email", "password1*"]  # of nobody: there is no sign-up
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_PASSWORD_RESET_TOKEN_GENERATOR = "django.contrib.auth.tokens.PasswordResetTokenGenerator"  # noqa: S105  # the name of a class
ACCOUNT_FORMS = {
    "login": "pools.web.account_forms.LogInForm",
    "reset_password": "pools.web.account_forms.AskForResetForm",
}
ACCOUNT_RATE_LIMITS = {"login": "60/m/ip", "login_failed": "20/m/ip,5/5m/key"}
SOCIALACCOUNT_ADAPTER = "pools.web.single_sign_on.SingleSignOn"
SOCIALACCOUNT_PROVIDERS: dict[str, Any] = {
    "openid_connect": {
        "provider_class": "pools.web.single_sign_on.Provider",
        "OAUTH_PKCE_ENABLED": True,
        "SCOPE": env.oidc_scopes.split(),
        "APPS": [],
    }
}
OIDC_GROUPS_CLAIM = env.oidc_groups_claim
if env.oidc_issuer:
    SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"].append(
        {
            "provider_id": "sso",
            "name": env.oidc_name,
            "client_id": env.oidc_client_id,
            "secret": env.oidc_client_secret.get_secret_value() if env.oidc_client_secret else "",
            "settings": {"server_url": env.oidc_issuer},
        }
    )
MFA_ADAPTER = "pools.web.second_factors.SecondFactors"
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_TOTP_ISSUER = "ocenter"
HAS_EMAIL = env.email_url is not None
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if HAS_EMAIL else 'dummy'}.EmailBackend"
DEFAULT_FROM_EMAIL = env.email_from
EMAIL_TIMEOUT = 20
if env.email_url is not None:
    _mail = urlsplit(env.email_url.get_secret_value())
    EMAIL_USE_SSL, EMAIL_USE_TLS = _mail.scheme == "smtps", _mail.scheme == "smtp+tls"
    EMAIL_HOST = str(_mail.hostname)
    EMAIL_PORT = _mail.port or {"smtps": 465, "smtp+tls": 587}.get(_mail.scheme, 25)
    EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = unquote(_mail.username or ""), unquote(_mail.password or "")

# --- what a browser may do --------------------------------------------------------------------------------------------
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_HSTS_SECONDS = 365 * 86400 if SERVES_HTTPS else 0
X_FRAME_OPTIONS = "DENY"
if env.behind_proxy:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "manifest-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

# --- words, times, files ----------------------------------------------------------------------------------------------
USE_TZ = True
TIME_ZONE = "UTC"  # unset means America/Chicago, and Celery would plan in it
USE_I18N = True
LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("zh-hans", _("Simplified Chinese"))]
LOCALE_PATHS = [CHECKOUT / "locale"]
STATIC_URL = "/static/"
STATIC_ROOT = env.home / "static"
STATICFILES_DIRS = [CHECKOUT / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
WHITENOISE_KEEP_ONLY_HASHED_FILES = True

# --- REST -------------------------------------------------------------------------------------------------------------
API_REQUESTS_PER_MINUTE = env.api_requests_per_minute
TOKEN_DAYS_MOST = env.token_days_most
REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.SessionAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "URL_FORMAT_OVERRIDE": None,  # ?format= is a filter like any other, and an unknown one
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "ocenter",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_PATCH": False,
    "POSTPROCESSING_HOOKS": ["pools.api.schema.framed"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

# --- logs -------------------------------------------------------------------------------------------------------------
LOGGING_CONFIG = "ocenter.logs.configure"
LOGGING = logs.config(env.log_level)
DJANGO_STRUCTLOG_CELERY_ENABLED = True
# The end of a request or task says all that its start does.
DJANGO_STRUCTLOG_STATUS_START_LOG_LEVEL = logging.DEBUG
DJANGO_STRUCTLOG_CELERY_TASK_START_LOG_LEVEL = logging.DEBUG
