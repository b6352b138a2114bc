"""Who may log in and what is noted of it: ocenter's rules for django-allauth, which does the log-in itself."""

from threading import Thread
from typing import Any

import structlog
from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.stagekit import clear_login
from allauth.account.signals import password_changed, user_logged_in
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.signals import user_logged_out
from django.dispatch import receiver
from django.forms import ValidationError
from django.http import HttpRequest
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext_lazy as _

from pools.domain import actors
from pools.domain.access import NOBODY
from pools.domain.actors import Actor
from pools.selectors import access, logins
from pools.selectors.sessions import KEPT_IN_SESSION
from pools.services import passwords, sessions, sso
from pools.web import pages

log = structlog.get_logger(__name__)


class Backend(ModelBackend):
    """Name or e-mail address with a password. Service accounts and those who were switched off have no session."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **_same: Any
    ) -> Any:
        if not username or not password:
            return None
        found = logins.of(username)
        for user in found:
            if user.check_password(password) and self.user_can_authenticate(user):
                return user
        if not found:
            get_user_model()().set_password(password)  # takes as long as checking one
        return None

    def user_can_authenticate(self, user: Any) -> bool:
        return super().user_can_authenticate(user) and user.kind == "person"


class Accounts(DefaultAccountAdapter):
    """No sign-up, one answer for whatever is wrong with a log-in, and an audit row for each."""

    error_messages = DefaultAccountAdapter.error_messages | {
        "username_password_mismatch": _("This name and password do not fit together."),
        "email_password_mismatch": _("This name and password do not fit together."),
        "too_many_login_attempts": _("Too many wrong tries. Wait five minutes and try again."),
        "rate_limited": _("Too many wrong tries. Wait five minutes and try again."),
        "incorrect_password": _("This is not your password."),
        "enter_current_password": _("This is not your password."),
        "invalid_password_reset": _("This link was used already, has expired or is not whole."),
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def is_safe_url(self, url: str) -> bool:
        here = {self.request.get_host()}
        return url_has_allowed_host_and_scheme(url, allowed_hosts=here, require_https=self.request.is_secure())

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        try:
            super().pre_authenticate(request, **credentials)
        except ValidationError:
            self._refused(request, "throttled", credentials)
            raise

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        self._refused(request, "password", credentials)

    def pre_login(self, request: HttpRequest, user: Any, **about: Any) -> Any:
        if Backend().user_can_authenticate(user):
            return super().pre_login(request, user, **about)
        clear_login(request)
        refused(request, user, "switched_off")
        return self.respond_user_inactive(request, user)

    def set_password(self, user: Any, password: str) -> None:
        """Called for a change by somebody who is logged in, and for a reset by a link."""
        is_reset = not self.request.user.is_authenticated
        who = Actor(name=user.username, request_id=actors.request_id()) if is_reset else pages.actor(self.request)
        user.password = passwords.change(
            user_id=user.pk, password=password, is_reset=is_reset,
            keeps=self.request.session.get(KEPT_IN_SESSION), actor=who, now=pages.now(),
        )  # fmt: skip

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Send it aside: how long an answer takes must not tell whether there was somebody to write to."""
        message = self.render_mail(template_prefix, email, context)
        Thread(target=_send, args=(message,), daemon=True).start()

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        """Wrong tries count by account: by whichever name, and by whichever of our host names they come."""
        login = credentials.get("username") or ""
        found = logins.of(login)
        return str(found[0].pk) if found else login.strip().lower()

    def _refused(self, request: HttpRequest, because: str, credentials: dict[str, Any]) -> None:
        found = logins.of(credentials.get("username") or "")
        refused(request, found[0] if found else None, because)


def refused(request: HttpRequest, user: Any, because: str) -> None:
    """Note a log-in that was refused; ``user`` is None when it is nobody's."""
    anonymous = Actor(name="anonymous", request_id=actors.request_id())
    address = Accounts().get_client_ip(request)
    sessions.refused(user=user, because=because, address=address, actor=anonymous, now=pages.now())


def _send(message: Any) -> None:
    try:
        message.send()
    except OSError as error:  # smtplib's are too
        log.warning("mail_not_sent", error=type(error).__name__)


@receiver(user_logged_in)
def _began(request: HttpRequest, user: Any, sociallogin: Any = None, **_signal: Any) -> None:
    rights = access.of_user(user.pk) or NOBODY
    who = Actor(name=user.username, request_id=actors.request_id(), access=rights)
    if sociallogin is not None:
        groups = sociallogin.account.extra_data.get("groups", ())
        sso.follow(user_id=user.pk, groups=groups, actor=who, now=pages.now())
    request.session.save()  # allauth forgets sessions that it does not find stored
    request.session[KEPT_IN_SESSION] = sessions.began(
        session_key=str(request.session.session_key),
        user_id=user.pk,
        method="sso" if sociallogin is not None else "password",
        address=Accounts().get_client_ip(request),
        user_agent=request.headers.get("User-Agent", ""),
        actor=who,
        now=pages.now(),
    )


@receiver(password_changed)
def _rekeyed(request: HttpRequest, **_signal: Any) -> None:
    if (session_id := request.session.get(KEPT_IN_SESSION)) is not None:
        request.session.save()
        sessions.rekeyed(session_id=session_id, session_key=str(request.session.session_key))


@receiver(user_logged_out)
def _ended(request: HttpRequest, user: Any, **_signal: Any) -> None:
    if user is not None and request.session.session_key:
        sessions.logged_out(session_key=request.session.session_key, actor=pages.actor(request), now=pages.now())
