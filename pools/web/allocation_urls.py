"""Addresses of allocations, the request form, the queue and fragmentation."""

from django.urls import path

from pools.web import allocation_actions, allocations, calendar, fragmentation, make_room, request_form

_ALLOCATION = "allocations/<uuid:allocation_id>/"

urlpatterns = [
    path("allocations/", allocations.index, name="allocations"),
    path("allocations/new/", request_form.new, name="allocation-new"),
    path("allocations/what-if/", request_form.what_if, name="allocation-what-if"),
    path("allocations/make-room/", make_room.for_request, name="allocation-make-room"),
    path("allocations/queue/", allocations.queue, name="queue"),
    path("calendar/", calendar.index, name="calendar"),
    path("fragmentation/", fragmentation.index, name="fragmentation"),
    path(_ALLOCATION, allocations.allocation, name="allocation"),
    path(f"{_ALLOCATION}live/", allocations.live, name="allocation-live"),
    path(f"{_ALLOCATION}confirm/", allocation_actions.confirm, name="allocation-confirm"),
    path(f"{_ALLOCATION}extend/", allocation_actions.extend, name="allocation-extend"),
    path(f"{_ALLOCATION}reveal/", allocation_actions.reveal, name="allocation-reveal"),
    path(f"{_ALLOCATION}retry/", allocation_actions.retry, name="allocation-retry"),
    path(f"{_ALLOCATION}saved/", allocation_actions.saved, name="allocation-saved"),
    path(f"{_ALLOCATION}make-room/", make_room.for_waiting, name="allocation-room"),
    path(f"{_ALLOCATION}gone/", allocation_actions.call_gone, name="allocation-gone"),
    path(f"{_ALLOCATION}release/", allocation_actions.release, name="allocation-release"),
]
