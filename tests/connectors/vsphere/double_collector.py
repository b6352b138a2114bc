"""The double's property collector: what a filter selects, pages of it, and what changed since a version."""

import uuid
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from msgspec import Struct
from pyVmomi import vim, vmodl
from pyVmomi.VmomiSupport import F_OPTIONAL, Array

from tests.connectors.vsphere.double_soap import xml_of

Query = vmodl.query.PropertyCollector
Shown = Callable[[Any], dict[str, Any]]
"""Returns the properties of an object by their first names, or what makes them. Raises ManagedObjectNotFound."""
Hidden = Callable[[Any, str], bool]
"""Tells whether the account may not read a property of an object."""


class View(Struct):
    """A container view: what is below a folder, of some types."""

    members: Callable[[], list[Any]]


class Session(Struct):
    """What a log-in has: a key, views, collectors with their filters, and pages not fetched yet, by their ids."""

    key: str
    user: str
    views: dict[str, View] = {}
    collectors: dict[str, "Collector"] = {}
    pages: dict[str, list[Any]] = {}

    def page(self, found: list[Any], limit: int) -> Any:
        """Return as much as goes into one answer, and keep the rest under a token."""
        token = None
        if len(found) > limit:
            token = uuid.uuid4().hex
            self.pages[token] = found[limit:]
        return Query.RetrieveResult(objects=found[:limit], token=token)


class Collector:
    """A collector for updates. ``known`` is what its client was told of each object, by filter."""

    def __init__(self) -> None:
        self.filters: dict[str, Any] = {}
        self.version = 0
        self.is_cancelled = False
        self.waiting: list[Any] = []
        self.known: dict[str, dict[Any, dict[str, str]]] = {}

    def forget(self) -> None:
        """Begin anew, as an empty version asks."""
        self.waiting, self.known = [], {}

    def gather(self, shown: Shown, hidden: Hidden, resolve: Callable[[Any], Any]) -> None:
        """Add what changed since the last look to what is waiting."""
        for name, spec in self.filters.items():
            before = self.known.setdefault(name, {})
            now = {content.obj: content for content in contents(spec, shown, hidden, resolve)}
            updates = [Query.ObjectUpdate(kind="leave", obj=ref) for ref in [ref for ref in before if ref not in now]]
            for update in updates:
                del before[update.obj]
            for ref, content in now.items():
                values = {prop.name: prop.val for prop in content.propSet}
                texts = {path: xml_of(value) for path, value in values.items()}
                told = before.get(ref)
                changed = [path for path in texts if told is None or told.get(path) != texts[path]]
                unset = [path for path in told or {} if path not in texts]
                if told is None or changed or unset:
                    changes = [Query.Change(name=path, op="assign", val=values.get(path)) for path in changed + unset]
                    kind = "enter" if told is None else "modify"
                    updates.append(
                        Query.ObjectUpdate(kind=kind, obj=ref, changeSet=changes, missingSet=content.missingSet)
                    )
                before[ref] = texts
            self.waiting += [(name, update) for update in updates]

    def update_set(self, limit: int) -> Any:
        """Return as many of the waiting updates as go into one answer."""
        told, self.waiting = self.waiting[:limit], self.waiting[limit:]
        self.version += 1
        sets = [
            Query.FilterUpdate(
                filter=Query.Filter(name, None), objectSet=[update for other, update in told if other == name]
            )
            for name in dict.fromkeys(name for name, _ in told)
        ]
        return Query.UpdateSet(version=str(self.version), filterSet=sets, truncated=bool(self.waiting) or None)


def contents(spec: Any, shown: Shown, hidden: Hidden, resolve: Callable[[Any], Any]) -> list[Any]:
    """Return what a filter selects, each object once. ``resolve`` makes views and other targets of traversal known."""
    found: dict[Any, Any] = {}
    for start in spec.objectSet:
        for ref in _reached(start, shown, resolve):
            paths = [path for wanted in spec.propSet if isinstance(ref, wanted.type) for path in wanted.pathSet]
            if ref not in found and any(isinstance(ref, wanted.type) for wanted in spec.propSet):
                found[ref] = _content(ref, paths, shown, hidden)
    return list(found.values())


def value_at(ref: Any, path: str, first: Callable[[str], Any]) -> Any:
    """Return the value of a path like ``config.graphicsInfo``, of its declared type; None when there is none.

    An optional list without entries has no value. Raises InvalidProperty when the type has no such property.
    """
    kind: Any = type(ref)
    value: Any = None
    for depth, name in enumerate(path.split(".")):
        try:
            info = kind._GetPropertyInfo(name)
        except AttributeError:
            raise vmodl.query.InvalidProperty(name=path, msg=f"no property {path}") from None
        kind, value = info.type, first(name) if depth == 0 else getattr(value, name, None)
    if value is None or (isinstance(value, list) and not value and info.flags & F_OPTIONAL):
        return None
    if issubclass(kind, Array):
        return kind(value)
    return value if isinstance(value, kind) or kind is object else kind(value)


def once(properties: dict[str, Any]) -> Callable[[str], Any]:
    """Return what gives a property by its first name, made at most once."""

    @cache
    def first(name: str) -> Any:
        value = properties.get(name)
        return value() if callable(value) else value

    return first


def _content(ref: Any, paths: list[str], shown: Shown, hidden: Hidden) -> Any:
    first = once(shown(ref))
    content = Query.ObjectContent(obj=ref)
    for path in paths:
        if hidden(ref, path):
            fault = vim.fault.NoPermission(object=ref, privilegeId="System.Read", msg="no permission")
            content.missingSet.append(Query.MissingProperty(path=path, fault=fault))
        elif (value := value_at(ref, path, first)) is not None:
            content.propSet.append(vmodl.DynamicProperty(name=path, val=value))
    return content


def _reached(start: Any, shown: Shown, resolve: Callable[[Any], Any]) -> Iterator[Any]:
    ref = resolve(start.obj)
    if not start.skip:
        yield ref
    named: dict[Any, Any] = {each.name: each for each in _all(start.selectSet) if isinstance(each, Query.TraversalSpec)}
    yield from _selected(ref, start.selectSet, named, shown)


def _selected(ref: Any, specs: list[Any], named: dict[Any, Any], shown: Shown) -> Iterator[Any]:
    for spec in specs:
        traversal = spec if isinstance(spec, Query.TraversalSpec) else named[spec.name]
        if not isinstance(ref, traversal.type):
            continue
        targets = once(shown(ref))(traversal.path) or []
        for target in targets if isinstance(targets, list) else [targets]:
            if not traversal.skip:
                yield target
            yield from _selected(target, traversal.selectSet, named, shown)


def _all(specs: list[Any]) -> Iterator[Any]:
    for spec in specs:
        yield spec
        yield from _all(getattr(spec, "selectSet", []))
