"""Why a place was chosen: whose room it takes, what was not chosen, and what the platform promises of it."""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from pools.domain.board import Board
from pools.domain.decisions import Alternative, Explanation, Loss
from pools.domain.gangs import Site, Step
from pools.domain.knowledge import Best
from pools.domain.lanes import Score
from pools.domain.policies import Policy
from pools.domain.shapes import Shape

_TOLD = 3  # kinds that lose most, and places that come next


def explain(
    board: Board, policy: Policy, rank: int, site: Site, steps: Sequence[Step], sites: Sequence[Site]
) -> Explanation:
    """Return the explanation of a decision: the steps were taken in one of the sites of the choice with that rank."""
    return Explanation(
        policy=policy.name,
        promised=site.group.pool.grain,
        losses=_losses(board, [(step.state, step.best) for step in steps]),
        chosen_over=_chosen_over(board, site, steps, sites),
        prices_version=board.view.prices_version,
        rank=rank,
    )


@lru_cache(maxsize=256)
def brief(policy: str, promised: str, prices_version: int, rank: int) -> Explanation:
    """Return only what costs nothing to tell. It is the same for most decisions of a batch."""
    return Explanation(policy=policy, promised=promised, prices_version=prices_version, rank=rank)


def words(shape: Shape) -> str:
    """Name a kind of request: ``8 x nvidia-h100-80gb``, ``1 x 0.25 of any model``."""
    models = ", ".join(sorted(shape.models)) or "any model"
    part = "" if shape.milli in (0, 1000) else f"{shape.milli / 1000:g} of "
    return f"{shape.devices} x {part}{models}" if shape.devices else "CPU only"


def sentence(loss: Loss) -> str:
    """Say one loss: ``would take 2.1 % of the room of 8 x nvidia-h100-80gb``."""
    return f"would take {100 * loss.share:.2g} % of the room of {loss.kind}"


def _losses(board: Board, steps: Sequence[tuple[int, Best]]) -> tuple[Loss, ...]:
    """The shares of their own room that kinds lose, those first whose loss weighs most in the score."""
    weighed: dict[Shape, float] = {}
    taken: dict[Shape, float] = {}
    for (before, after), count in Counter((state, best.after) for state, best in steps).items():
        for shape, loss in board.known.prices.losses(board.known.seen_as(before), board.known.seen_as(after)):
            weighed[shape] = weighed.get(shape, 0.0) + loss * count
            taken[shape] = taken.get(shape, 0.0) + loss * count / board.known.prices.shares[shape]
    most = sorted(weighed, key=lambda shape: -weighed[shape])[:_TOLD]
    return tuple(Loss(kind=words(shape), share=taken[shape]) for shape in most)


def _chosen_over(board: Board, site: Site, steps: Sequence[Step], sites: Sequence[Site]) -> tuple[Alternative, ...]:
    """The best of every other pool and model, and of the chosen one the best nodes that are in another state."""
    found = []
    for other in sites:
        if other is site:
            best = other.lane().runner_up([step.slot for step in steps], {step.state for step in steps})
        else:
            top = other.lane().best()
            best = top and top[:2]
        if best is not None:
            found.append(_alternative(board, other, *best))
    return tuple(sorted(found, key=lambda other: other.score)[:_TOLD])


def _alternative(board: Board, site: Site, score: Score, number: int) -> Alternative:
    """A place of a site and the nodes that are like it."""
    group, state = site.group, board.slots[number].state
    slots = [board.slots[slot] for slot in group.slots]
    return Alternative(
        pool_id=group.pool.id,
        model=group.model or None,
        nodes=sum(slot.candidate.alike for slot in slots if slot.state == state),
        score=sum(score),
        price_per_hour=group.price_per_hour,
    )
