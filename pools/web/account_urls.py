"""Addresses of log-in and of what belongs to it. allauth looks for its names, so they are allauth's."""

from allauth.account import views as account
from allauth.mfa.base import views as mfa
from allauth.mfa.recovery_codes import views as recovery
from allauth.mfa.totp import views as totp
from allauth.socialaccount import views as social
from django.urls import path, re_path

from pools.web import profile, second_factors, session, single_sign_on

_RESET = "account/password/reset/"
_FACTORS = "account/second-factor/"

urlpatterns = [
    path("login/", session.LogIn.as_view(), name="login"),
    path("login/", session.LogIn.as_view(), name="account_login"),
    path("login/code/", mfa.authenticate, name="mfa_authenticate"),
    path("logout/", session.log_out, name="logout"),
    path("logout/", session.log_out, name="account_logout"),
    path("preferences/", session.preferences, name="preferences"),
    path("oidc/<slug:provider_id>/login/", single_sign_on.begin, name="openid_connect_login"),
    path("oidc/<slug:provider_id>/login/callback/", single_sign_on.end, name="openid_connect_callback"),
    path("oidc/cancelled/", social.login_cancelled, name="socialaccount_login_cancelled"),
    path("account/inactive/", account.account_inactive, name="account_inactive"),
    path("account/confirm/", account.reauthenticate, name="account_reauthenticate"),
    path("account/confirm/code/", mfa.reauthenticate, name="mfa_reauthenticate"),
    path("account/password/change/", session.ChangePassword.as_view(), name="account_change_password"),
    path(_RESET, session.ForgotPassword.as_view(), name="account_reset_password"),
    path(f"{_RESET}sent/", account.password_reset_done, name="account_reset_password_done"),
    path(f"{_RESET}done/", account.password_reset_from_key_done, name="account_reset_password_from_key_done"),
    re_path(
        rf"^{_RESET}key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>[\w-]+)/$",
        account.password_reset_from_key,
        name="account_reset_password_from_key",
    ),
    path(_FACTORS, second_factors.index, name="mfa_index"),
    path(f"{_FACTORS}app/", second_factors.noted(totp.activate_totp), name="mfa_activate_totp"),
    path(f"{_FACTORS}app/remove/", second_factors.noted(totp.deactivate_totp), name="mfa_deactivate_totp"),
    path(f"{_FACTORS}codes/", second_factors.noted(second_factors.ReadCodes.as_view()), name="mfa_view_recovery_codes"),
    path(
        f"{_FACTORS}codes/make/",
        second_factors.noted(recovery.generate_recovery_codes),
        name="mfa_generate_recovery_codes",
    ),
    path("profile/", profile.profile, name="profile"),
    path("profile/sessions/<int:session_id>/end/", profile.end_session, name="session-end"),
    path("profile/sessions/end/", profile.end_others, name="sessions-end"),
]
