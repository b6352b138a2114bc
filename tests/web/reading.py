"""What a page holds, as a browser would see it."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

_READ_ALOUD = ("title", "aria-label", "placeholder", "alt")


@dataclass
class Page(HTMLParser):
    """The words of a page, its links and what a strict content security policy would refuse."""

    address: str = "/"
    texts: list[str] = field(default_factory=list)
    links: set[str] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)

    def __post_init__(self):
        super().__init__(convert_charrefs=True)
        self._inside: list[str] = []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self._inside.append(tag)
        if given.get("lang") and tag != "html":
            self._inside[-1] = "foreign"
        self.texts += [given[name] for name in _READ_ALOUD if given.get(name) and self._inside[-1] != "foreign"]
        for name in ("href", "hx-get", "action", "src"):
            target = given.get(name)
            if target and not (name == "action" and given.get("method") == "post"):
                self.links.add(urljoin(self.address, target))
        for name, value in given.items():
            if name == "style" or name.startswith("on") or (value or "").strip().lower().startswith("javascript:"):
                self.refused.append(f"<{tag} {name}>")
        if tag == "style" or (tag == "script" and "src" not in given):
            self.refused.append(f"<{tag}>")
        if tag in ("meta", "input", "link", "br", "hr", "img"):
            self._inside.pop()

    def handle_endtag(self, tag):
        if self._inside:
            self._inside.pop()

    def handle_data(self, data):
        if data.strip() and not {"foreign", "script"} & set(self._inside):
            self.texts.append(" ".join(data.split()))

    @property
    def own_links(self):
        """Addresses of this console, without their fragments."""
        parts = [urlsplit(link) for link in self.links]
        own = [part for part in parts if not part.scheme and not part.netloc and part.path]
        return {f"{part.path}?{part.query}".rstrip("?") for part in own}


def read(address, content):
    """Parse a page."""
    page = Page(address=address)
    page.feed(content.decode() if isinstance(content, bytes) else content)
    return page
