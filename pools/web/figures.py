"""Numbers, sizes and times as people read them. What is not known is said to be unknown and never shown as 0."""

from datetime import datetime

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

MINUTE, HOUR, DAY = 60, 3_600, 86_400


def number(value: float | None) -> str:
    """Return 12,345. Chinese groups by three in figures as English does (CLDR), so one form serves both."""
    return _("unknown") if value is None else f"{value:,}"


def devices(milli: int | None) -> str:
    """Return thousandths of a device as devices: 1,477 or 12.25."""
    if milli is None:
        return _("unknown")
    whole, rest = divmod(milli, 1000)
    return f"{whole:,}" if not rest else f"{milli / 1000:,.3f}".rstrip("0")


def percent(part: int, whole: int) -> str:
    """Return a share such as 73.9%; of nothing it is a dash."""
    if not whole:
        return "–"
    share = 100 * part / whole
    # 99.97 is not 100 and 0.02 is not 0: somebody would believe it.
    rounded = min(share, 99.9) if part < whole else share
    return f"{max(rounded, 0.1) if part else 0:.1f}%".replace(".0%", "%")


def memory(mib: int | None) -> str:
    """Return a memory size: 80 GiB, 512 MiB."""
    if mib is None:
        return _("unknown")
    if mib >= 1 << 20:
        return f"{mib / (1 << 20):,.1f} TiB".replace(".0 ", " ")
    if mib >= 1 << 10:
        return f"{mib / (1 << 10):,.1f} GiB".replace(".0 ", " ")
    return f"{mib:,} MiB"


def size(byte_count: int | None) -> str:
    """Return a size in bytes: 1.4 MB."""
    if byte_count is None:
        return _("unknown")
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if byte_count >= factor:
            return f"{byte_count / factor:,.1f} {unit}"
    return f"{byte_count} B"


def duration(seconds: float | None) -> str:
    """Return a length of time: 420 ms, 4.2 s, 42 s, 12 min, 3 h, 5 d."""
    if seconds is None:
        return _("unknown")
    if seconds < 1:
        return _("%(number)s ms") % {"number": round(1000 * seconds)}
    if seconds < 10:
        return _("%(number)s s") % {"number": f"{seconds:.2f}".rstrip("0").rstrip(".")}
    if seconds < 2 * MINUTE:
        return _("%(number)s s") % {"number": round(seconds)}
    if seconds < 2 * HOUR:
        return _("%(number)s min") % {"number": round(seconds / MINUTE)}
    if seconds < 2 * DAY:
        return _("%(number)s h") % {"number": round(seconds / HOUR)}
    return _("%(number)s d") % {"number": f"{round(seconds / DAY):,}"}


def instant(at: datetime) -> str:
    """Return the exact time in the zone of whoever looks."""
    return f"{timezone.localtime(at):%Y-%m-%d %H:%M:%S} {zone(at)}"


def zone(at: datetime) -> str:
    """Return how far the zone of whoever looks is from UTC at that time, such as ``UTC+08:00``."""
    shown = timezone.localtime(at)
    offset = shown.strftime("%z")
    return f"UTC{offset[:3]}:{offset[3:5]}" if shown.utcoffset() else "UTC"


def age(at: datetime | None, now: datetime | None = None) -> SafeString:
    """Return a ``<time>`` that says how long ago it was, with the exact time for the pointer."""
    if at is None:
        return format_html('<span class="muted">{}</span>', _("never"))
    seconds = ((now or timezone.now()) - at).total_seconds()
    if abs(seconds) < 1:
        words = _("just now")
    elif seconds > 0:
        words = _("%(duration)s ago") % {"duration": duration(int(seconds))}
    else:
        words = _("in %(duration)s") % {"duration": duration(int(-seconds))}
    return format_html('<time datetime="{}" title="{}">{}</time>', at.isoformat(), instant(at), words)
