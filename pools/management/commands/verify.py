"""`manage.py verify`: are the logs what was sealed, do quotas count what is held, and one pool each card?

Ends with 0 when so, else with 1.
"""

from pathlib import Path
from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from pools.domain.verification import LogResult
from pools.management.commands import _edge
from pools.selectors import quota_counts, twins
from pools.selectors.quota_counts import Count
from pools.selectors.twins import Checked
from pools.services import checkpoints, seal_keys, verification


class Command(BaseCommand):
    help = (
        "Compute every row of the audit and the ledger anew, compare them with their signed seals, and name what was "
        "changed, deleted or inserted. Count what quotas say is used anew from the allocations, and name what differs. "
        "Name cards that two pools count, or have given out."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument(
            "--against", metavar="FILE", type=Path, help="prove as well that FILE's checkpoint still holds"
        )
        what.add_argument("--checkpoint", action="store_true", help="print a signed checkpoint, to be kept elsewhere")
        what.add_argument("--public-keys", action="store_true", help="print the ids and keys that verify seals")
        what.add_argument(
            "--after-restore", action="store_true", help="accept that seals made after the restored backup are gone"
        )

    def handle(
        self,
        *_args: Any,
        against: Path | None,
        checkpoint: bool,
        public_keys: bool,
        after_restore: bool,
        **_options: Any,
    ) -> None:
        now = timezone.now()
        with _edge.refusals():
            if checkpoint:
                self.stdout.write(msgspec.json.format(msgspec.json.encode(checkpoints.make(now=now))).decode())
                return
            if public_keys:
                for key_id, key in seal_keys.public_keys().items():
                    self.stdout.write(f"{key_id} {key}")
                return
            if after_restore:
                verification.accept_restore(actor=_edge.actor(), now=now)
            known = checkpoints.read(_content(against)) if against else {}
            result = verification.run(actor=_edge.actor(), now=now, known=known)
            count, shared = quota_counts.checked(), twins.checked()
        for stream in result.streams:
            self._tell(stream, now)
        self._tell_quotas(count)
        is_once = self._tell_twins(shared)
        wrong = [] if result.is_ok else ["The log is not what was sealed."]
        if count.miscounts:
            wrong.append("Quotas do not count what is held.")
        if not is_once:
            wrong.append("A card that two pools show is counted or given out by both.")
        if wrong:
            raise CommandError(" ".join(wrong))
        self.stdout.write("Everything that is sealed is unaltered.")

    def _tell(self, stream: LogResult, now: Any) -> None:
        head = f", up to seal {stream.head.number} with the root {stream.head.root}" if stream.head else ""
        self.stdout.write(f"{stream.stream}: {stream.rows:,} rows in {stream.seals:,} seals{head}.")
        if stream.gone_through:
            self.stdout.write(f"  Dropped when their time was over: all rows through {stream.gone_through:%Y-%m}.")
        if stream.unsealed_since_at:
            age = int((now - stream.unsealed_since_at).total_seconds())
            self.stdout.write(f"  Not sealed yet, so not proved: {stream.unsealed_rows:,}, the oldest of {age} s ago.")
        for finding in stream.findings:
            more = f" ({finding.count - 1:,} more of this kind)" if finding.count > 1 else ""
            self.stderr.write(f"  {finding.kind}: {finding.detail}{more}")

    def _tell_quotas(self, count: Count) -> None:
        self.stdout.write(f"quota: {count.rows:,} rows, {len(count.miscounts):,} wrong counters.")
        for wrong in count.miscounts:
            scope = " ".join(filter(None, [wrong.model or "compute units", wrong.profile]))
            self.stderr.write(
                f"  quota {wrong.quota_id} of {wrong.project} ({scope}): {wrong.counter} is {wrong.stored_milli}, "
                f"and {wrong.right_milli} is right."
            )

    def _tell_twins(self, shared: list[Checked]) -> bool:
        wrong = [card for card in shared if card.is_counted_twice or card.is_claimed_twice]
        self.stdout.write(f"device_twin: {len(shared):,} cards that two pools show, {len(wrong):,} counted twice.")
        for card in wrong:
            what = "given out" if card.is_claimed_twice else "counted"
            self.stderr.write(
                f'  card {card.name} ({card.model or "unknown model"}) is {what} by the pools "{card.one_pool}" and '
                f'"{card.other_pool}".'
            )
        return not wrong


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}.") from None
