"""Filters and tags of the console's templates. They only format: none of them can run a query."""

from datetime import datetime
from functools import cache

from django import template
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString

from pools.web import figures, words

register = template.Library()

register.filter("number", figures.number)
register.filter("devices", figures.devices)
register.filter("memory", figures.memory)
register.filter("size", figures.size)
register.filter("duration", figures.duration)
register.filter("instant", figures.instant)


@register.filter
def age(at: datetime | None) -> SafeString:
    """How long ago, with the exact time for the pointer."""
    return figures.age(at)


@register.simple_tag
def share(part: int, whole: int) -> str:
    """A share in percent."""
    return figures.percent(part, whole)


@register.simple_tag
@cache
def icon(name: str, label: str = "") -> SafeString:
    """A picture of the sprite; without a label it is decoration and readers skip it."""
    about = format_html('role="img" aria-label="{}"', label) if label else SafeString('aria-hidden="true"')
    return format_html('<svg class="icon" {}><use href="{}#{}"/></svg>', about, static("icons.svg"), name)


@register.simple_tag
def badge(vocabulary: str, value: str | None) -> SafeString:
    """A state as a word with a mark; the mark's shape differs by tone, so that colour is not needed."""
    return format_html(
        '<span class="badge {}">{}</span>', words.tone(vocabulary, value) or "plain", words.label(vocabulary, value)
    )


@register.simple_tag
def word(vocabulary: str, value: str | None) -> str:
    """A state as a word."""
    return words.label(vocabulary, value)
