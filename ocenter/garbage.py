"""How a process that serves for long looks for garbage."""

import gc
from typing import Final

_NEW_OBJECTS_MOST: Final = 50_000  # until it is looked for; a thousand allocations make some fewer


def settle() -> None:
    """Let stay what is there by now: whoever looks for garbage among it with every large request only loses time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS_MOST)
