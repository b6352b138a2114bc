"""/devices"""

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from pools.api import auth, base, parsing, schema
from pools.domain.errors import DeviceMissing
from pools.selectors import changes, devices, telemetry
from pools.services import twins


class Devices(base.View):
    """All devices."""

    rights = {"GET": ("device", "read")}

    @schema.listing("devices.list", "List devices", devices.DeviceRow, devices.FILTERS)
    def get(self, request: Request) -> Response:
        params, cursor, limit = parsing.listing(request)
        return base.listing(
            request,
            devices.page(params=params, cursor=cursor, limit=limit, now=timezone.now(), access=auth.access(request)),
        )


class Device(base.View):
    """One device."""

    rights = {"GET": ("device", "read")}
    missing = DeviceMissing

    @schema.operation("devices.get", "Show a device", answer=devices.DeviceRow, refusals=(404,))
    def get(self, request: Request, device: str) -> Response:
        return Response(devices.one(base.identified(device, DeviceMissing), timezone.now(), auth.access(request)))


class DeviceChanges(base.View):
    """The history of a device."""

    rights = {"GET": ("device", "read")}
    missing = DeviceMissing

    @schema.listing("devices.changes", "List what syncs changed of a device", changes.ChangeRow, {})
    def get(self, request: Request, device: str) -> Response:
        device_id = base.identified(device, DeviceMissing)
        params, cursor, limit = parsing.listing(request)
        devices.one(device_id, timezone.now(), auth.access(request))
        return base.listing(request, changes.of_object(object_id=device_id, params=params, cursor=cursor, limit=limit))


class DeviceUsage(base.View):
    """How busy a device was."""

    rights = {"GET": ("device", "read")}
    missing = DeviceMissing

    @schema.listing("devices.usage", "List how busy a device was, by hour", telemetry.UsageRow, telemetry.FILTERS)
    def get(self, request: Request, device: str) -> Response:
        device_id = base.identified(device, DeviceMissing)
        params, cursor, limit = parsing.listing(request)
        devices.one(device_id, timezone.now(), auth.access(request))
        return base.listing(request, telemetry.usage(device_id=device_id, params=params, cursor=cursor, limit=limit))


class GiveOut(base.View):
    """Which of the pools that show a card gives it out."""

    rights = {"POST": ("device", "operate")}
    missing = DeviceMissing

    @schema.operation(
        "devices.give_out",
        "Let the pool of this device give out a card that other pools show too",
        body=parsing.Nothing,
        answer=devices.DeviceRow,
        refusals=(400, 404, 409, 413, 415, 422),
    )
    def post(self, request: Request, device: str) -> Response:
        found = devices.one(base.identified(device, DeviceMissing), timezone.now(), auth.access(request))
        parsing.body(parsing.Nothing, request)
        twins.give_out(device_id=found.id, actor=auth.actor(request), now=timezone.now())
        return Response(devices.one(found.id, timezone.now(), auth.access(request)))
