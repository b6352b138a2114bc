"""Addresses under /api/v1/; those of the description stand in pools.api.docs."""

from django.urls import path, re_path

from pools.api import base, devices, kinds, me_sessions, models, nodes, pools, sync_runs, tokens

urlpatterns = [
    path("kinds", kinds.Kinds.as_view()),
    path("kinds/<str:kind>", kinds.OneKind.as_view()),
    path("pools", pools.Pools.as_view()),
    path("pools/<str:pool>", pools.Pool.as_view(), name="api-pool"),
    path("pools/<str:pool>/activate", pools.Activate.as_view()),
    path("pools/<str:pool>/pause", pools.Pause.as_view()),
    path("pools/<str:pool>/resume", pools.Resume.as_view()),
    path("pools/<str:pool>/drain", pools.Drain.as_view()),
    path("pools/<str:pool>/maintenance", pools.Maintenance.as_view()),
    path("pools/<str:pool>/credential", pools.Credential.as_view()),
    path("pools/<str:pool>/check", pools.Check.as_view()),
    path("pools/<str:pool>/sync", pools.Sync.as_view()),
    path("sync-runs", sync_runs.SyncRuns.as_view()),
    path("sync-runs/<str:run>", sync_runs.SyncRun.as_view(), name="api-sync-run"),
    path("sync-runs/<str:run>/changes", sync_runs.Changes.as_view()),
    path("sync-runs/<str:run>/approve", sync_runs.Approve.as_view()),
    path("sync-runs/<str:run>/reject", sync_runs.Reject.as_view()),
    path("nodes", nodes.Nodes.as_view()),
    path("nodes/<str:node>", nodes.Node.as_view()),
    path("nodes/<str:node>/changes", nodes.NodeChanges.as_view()),
    path("devices", devices.Devices.as_view()),
    path("devices/<str:device>", devices.Device.as_view()),
    path("devices/<str:device>/changes", devices.DeviceChanges.as_view()),
    path("models", models.Models.as_view()),
    path("models/<str:model>", models.Model.as_view()),
    path("me/sessions", me_sessions.MySessions.as_view()),
    path("me/sessions/<str:session>", me_sessions.MySession.as_view()),
    path("users/<str:user>/sessions", me_sessions.UserSessions.as_view()),
    path("users/<str:user>/password-reset", me_sessions.PasswordReset.as_view()),
    path("tokens", tokens.Tokens.as_view()),
    path("tokens/<str:token>", tokens.Token.as_view(), name="api-token"),
    path("tokens/<str:token>/rotate", tokens.Rotate.as_view()),
    re_path(r"^.*$", base.Nowhere.as_view()),
]
