"""People and service accounts, and what a browser or an identity provider tells about them."""

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.db import models
from django.db.models.functions import Lower

from pools.domain import ids, roles
from pools.models.columns import one_of

USER_KINDS = ("person", "service")


class Users(BaseUserManager["User"]):
    """Makes users; what they may do is in role bindings only."""

    def create_user(self, username: str, email: str = "", password: str | None = None, **fields: object) -> "User":
        """Without a password nobody can log in with one."""
        user = self.model(username=username, email=self.normalize_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user


class User(AbstractBaseUser):
    """A person, or a service account of a project (or of the platform) that has tokens and no log-in."""

    id = models.UUIDField(primary_key=True, default=ids.new_id, editable=False)
    username = models.CharField(max_length=150, unique=True, validators=[UnicodeUsernameValidator()])
    email = models.EmailField(blank=True, default="")
    display_name = models.CharField(max_length=150, blank=True, default="")
    kind = models.CharField(max_length=8, default="person")
    project = models.ForeignKey("Project", on_delete=models.PROTECT, null=True, related_name="service_accounts")
    language = models.CharField(max_length=16, blank=True, default="")
    time_zone = models.CharField(max_length=64, blank=True, default="")
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    generation = models.BigIntegerField(default=1)

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS = ["email"]
    objects = Users()

    class Meta:
        db_table = "app_user"  # "user" is a word of SQL
        constraints = [
            models.UniqueConstraint(Lower("username"), name="app_user_username_unique"),
            one_of("kind", USER_KINDS, "app_user_kind_known"),
            models.CheckConstraint(
                condition=models.Q(kind="service") | models.Q(project=None), name="app_user_project_of_service"
            ),
        ]
        indexes = [models.Index(Lower("email"), name="app_user_email")]

    def __str__(self) -> str:
        return self.username


class SsoGroup(models.Model):
    """Who is in this group at the identity provider has this role, in a project or on the platform."""

    id = models.UUIDField(primary_key=True, default=ids.new_id, editable=False)
    name = models.CharField(max_length=255)
    project = models.ForeignKey("Project", on_delete=models.CASCADE, null=True, related_name="+")
    role = models.CharField(max_length=8)
    created_at = models.DateTimeField()

    class Meta:
        db_table = "sso_group"
        constraints = [
            models.UniqueConstraint(fields=["name", "project", "role"], nulls_distinct=False, name="sso_group_unique"),
            models.CheckConstraint(
                condition=models.Q(project=None, role__in=roles.PLATFORM_ROLES)
                | models.Q(project__isnull=False, role__in=roles.PROJECT_ROLES),
                name="sso_group_role_fits",
            ),
        ]
