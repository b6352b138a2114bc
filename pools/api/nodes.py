"""/nodes"""

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from pools.api import auth, base, parsing, schema
from pools.domain.errors import NodeMissing
from pools.selectors import changes, nodes


class Nodes(base.View):
    """All nodes."""

    rights = {"GET": ("node", "read")}

    @schema.listing("nodes.list", "List nodes", nodes.NodeRow, nodes.FILTERS)
    def get(self, request: Request) -> Response:
        params, cursor, limit = parsing.listing(request)
        return base.listing(
            request,
            nodes.page(params=params, cursor=cursor, limit=limit, now=timezone.now(), access=auth.access(request)),
        )


class Node(base.View):
    """One node."""

    rights = {"GET": ("node", "read")}
    missing = NodeMissing

    @schema.operation("nodes.get", "Show a node", answer=nodes.NodeRow, refusals=(404,))
    def get(self, request: Request, node: str) -> Response:
        return Response(nodes.one(base.identified(node, NodeMissing), timezone.now(), auth.access(request)))


class NodeChanges(base.View):
    """The history of a node."""

    rights = {"GET": ("node", "read")}
    missing = NodeMissing

    @schema.listing("nodes.changes", "List what syncs changed of a node", changes.ChangeRow, {})
    def get(self, request: Request, node: str) -> Response:
        node_id = base.identified(node, NodeMissing)
        params, cursor, limit = parsing.listing(request)
        nodes.one(node_id, timezone.now(), auth.access(request))
        return base.listing(request, changes.of_object(object_id=node_id, params=params, cursor=cursor, limit=limit))
