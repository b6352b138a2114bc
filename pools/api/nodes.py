"""/nodes"""

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from pools.api import base, parsing, schema
from pools.domain.errors import NodeMissing
from pools.selectors import changes, nodes


class Nodes(base.View):
    """All nodes."""

    @schema.listing("nodes.list", "List nodes", nodes.NodeRow, nodes.FILTERS)
    def get(self, request: Request) -> Response:
        params, cursor, limit = parsing.listing(request)
        return base.listing(request, nodes.page(params=params, cursor=cursor, limit=limit, now=timezone.now()))


class Node(base.View):
    """One node."""

    @schema.operation("nodes.get", "Show a node", answer=nodes.NodeRow, refusals=(404,))
    def get(self, request: Request, node: str) -> Response:
        return Response(nodes.one(base.identified(node, NodeMissing), timezone.now()))


class NodeChanges(base.View):
    """The history of a node."""

    @schema.listing("nodes.changes", "List what syncs changed of a node", changes.ChangeRow, {})
    def get(self, request: Request, node: str) -> Response:
        node_id = base.identified(node, NodeMissing)
        params, cursor, limit = parsing.listing(request)
        nodes.one(node_id, timezone.now())
        return base.listing(request, changes.of_object(object_id=node_id, params=params, cursor=cursor, limit=limit))
