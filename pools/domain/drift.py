"""Drift: a target that does not carry on its platform what it shall."""

from typing import Final

# What is done about it by itself, by a pool's policy: told only; made again as ordered; what is gone given back.
POLICIES: Final = ("report", "repair", "adopt")
STATES: Final = ("open", "repairing", "ignored", "closed")
# It differs; nothing of it is there. Else the code of the platform's refusal, such as not_ours or stale_generation.
DIFFERS: Final = "differs"
GONE: Final = "gone"
# Why it is over: the platform has it as ordered again; a worker made it so; what was gone was given back; nothing is
# ordered any more.
OUTCOMES: Final = ("agrees", "repaired", "adopted", "over")

# A target is compared so often at most, and so many at once: the calls are the platform's time.
COMPARE_SECONDS: Final = 900
COMPARED_AT_ONCE: Final = 50
