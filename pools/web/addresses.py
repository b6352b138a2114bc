"""How projects stand in addresses."""

from django.urls import register_converter
from django.urls.converters import StringConverter


class ProjectConverter(StringConverter):
    """A project's path (``acme/vision``) or its id. Words that follow one in an address are no names of projects."""

    regex = r"[a-z0-9-]{1,63}(?:/[a-z0-9-]{1,63}){0,7}"


register_converter(ProjectConverter, "project")
