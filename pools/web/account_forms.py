"""Forms of allauth where ocenter asks for something else."""

from typing import Any

from allauth.account.forms import LoginForm, ResetPasswordForm

from pools.selectors import logins


class LogInForm(LoginForm):
    """Asks for ``username``, which may be an e-mail address, and ``password``."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.fields["username"] = self.fields.pop("login")
        self.fields["username"].max_length = 254
        self.order_fields(["username", "password"])

    def clean(self) -> Any:
        self.cleaned_data["login"] = self.cleaned_data.get("username", "").strip()
        return super().clean()


class AskForResetForm(ResetPasswordForm):
    """Takes any address and never says whether it is somebody's."""

    def clean_email(self) -> str:
        email = str(self.cleaned_data["email"])
        self.users = logins.with_email(email)
        return email
