"""The tree of projects, who has which role where, and which pools a project may use."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Q

from pools.domain import ids, roles, states
from pools.models.columns import one_of

DEPTH_MOST = 8
BINDING_SOURCES = ("hand", "sso")


class Project(models.Model):
    """A node of the tenancy tree; a root is a tenant.

    ``lineage`` are the ids from the root down to itself and never change; ``path`` are their names with slashes
    between and change when one is renamed. An archived project has given its name back.
    """

    id = models.UUIDField(primary_key=True, default=ids.new_id, editable=False)
    name = models.CharField(max_length=63)
    parent = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="children")
    lineage = ArrayField(models.UUIDField())
    path = models.CharField(max_length=511)  # 8 names of 63 and 7 slashes
    display_name = models.CharField(max_length=150, blank=True, default="")
    labels = models.JSONField(default=dict)
    # How its requests are placed unless they say otherwise: {"policy": name, "pools": [name, ...] in order}.
    placement = models.JSONField(default=dict)
    state = models.CharField(max_length=9, default="active")
    generation = models.BigIntegerField(default=1)
    created_at = models.DateTimeField()
    archived_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "project"
        constraints = [
            models.UniqueConstraint(fields=["path"], condition=~Q(state="archived"), name="project_path_unique"),
            one_of("state", states.PROJECT_STATES, "project_state_known"),
            models.CheckConstraint(
                condition=Q(lineage__len__gte=1, lineage__len__lte=DEPTH_MOST), name="project_depth"
            ),
            models.CheckConstraint(
                condition=Q(state="archived", archived_at__isnull=False) | (~Q(state="archived") & Q(archived_at=None)),
                name="project_archived_at_matches",
            ),
        ]
        indexes = [GinIndex(fields=["lineage"], name="project_lineage")]

    def __str__(self) -> str:
        return self.path


class RoleBinding(models.Model):
    """A user's role in a project and all below, or on the platform. ``sso`` ones follow the provider's groups."""

    id = models.UUIDField(primary_key=True, default=ids.new_id, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="bindings")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, null=True, related_name="bindings")
    role = models.CharField(max_length=8)
    source = models.CharField(max_length=4, default="hand")
    created_at = models.DateTimeField()

    class Meta:
        db_table = "role_binding"
        constraints = [
            models.UniqueConstraint(
                fields=["user", "project", "role", "source"], nulls_distinct=False, name="role_binding_unique"
            ),
            one_of("source", BINDING_SOURCES, "role_binding_source_known"),
            # In a project one role by hand: the higher has all that the lower has.
            models.UniqueConstraint(
                fields=["user", "project"], condition=Q(source="hand", project__isnull=False), name="role_binding_one"
            ),
            models.CheckConstraint(
                condition=Q(project=None, role__in=roles.PLATFORM_ROLES)
                | Q(project__isnull=False, role__in=roles.PROJECT_ROLES),
                name="role_binding_role_fits",
            ),
        ]


class PoolGrant(models.Model):
    """A project and all below may use the pool. A pool without grants is used by nobody."""

    id = models.UUIDField(primary_key=True, default=ids.new_id, editable=False)
    pool = models.ForeignKey("Pool", on_delete=models.CASCADE, related_name="grants")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="grants")
    created_at = models.DateTimeField()

    class Meta:
        db_table = "pool_grant"
        constraints = [models.UniqueConstraint(fields=["pool", "project"], name="pool_grant_unique")]


class Invitation(models.Model):
    """A role that waits for somebody to come with the link. Only the link's hash is kept; it is used once."""

    id = models.UUIDField(primary_key=True, default=ids.new_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, null=True, related_name="invitations")
    email = models.EmailField()
    role = models.CharField(max_length=8, blank=True, default="")  # empty: an account and nothing more
    hash = models.BinaryField(max_length=32, unique=True)
    invited_by = models.CharField(max_length=255)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)  # accepted or withdrawn
    accepted_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")

    class Meta:
        db_table = "invitation"
