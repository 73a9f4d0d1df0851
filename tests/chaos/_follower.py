"""Some followers over one transport: `TRANSPORT COUNT HTTP GRPC BUS CUT SEED`.

Each line of standard input is answered with how many events they heard; one that is a number says where they may end. Each follower is cut off after up to CUT events, again and again, and every third one is slow. Prints a line of JSON
for each: the gaps that it was told, the first and the last position that it heard, how many, and how often it was cut.
"""

import json
import sys
import threading
import time
from contextlib import closing
from dataclasses import asdict, dataclass, field
from itertools import islice
from random import Random

from tests.chaos._transports import TRANSPORTS, Away, Follow, Gap, Heard, Where

_SLOW_EVERY, _SLOW_S, _AGAIN_S = 100, 0.05, 0.3


@dataclass
class Account:
    """What one follower was told; a broken promise is written down and ends it."""

    gaps: list[tuple[int, int]] = field(default_factory=list)
    first: int = 0
    last: int = 0
    count: int = 0
    cuts: int = 0
    broken: str = ""

    def gap(self, gap: Gap) -> None:
        """The server said what it cannot say."""
        if gap.first != self.last + 1:
            self.broken = f"after {self.last} it was told of a gap {gap}"
        self.gaps.append((gap.first, gap.last))
        self.last = gap.last

    def event(self, heard: Heard) -> None:
        """The next event, which must be that."""
        gone = self.gaps[-1][1] if self.gaps else 0
        expected = self.last if self.last > gone else heard.previous  # below a gap, nobody knows what was before
        if heard.position != self.last + 1 or heard.previous not in (None, expected):
            self.broken = f"after {self.last} it was told {heard}"
        self.first, self.last, self.count = self.first or heard.position, heard.position, self.count + 1


class End:
    """How far the followers have to come, once that is known."""

    position = 2**62


def follow(transport: Follow, where: Where, account: Account, random: Random, *, cut: int, slow: bool) -> None:
    """Follow to the end, over everything that happens on the way."""
    token = ""
    while not account.broken and account.last < End.position:
        try:
            with closing(transport(where, token)) as events:
                for heard in islice(events, random.randint(1, cut)):
                    account.event(heard)
                    token = heard.token
                    if account.broken or account.last >= End.position:
                        return
                    if slow and account.count % _SLOW_EVERY == 0:
                        time.sleep(_SLOW_S)
            account.cuts += 1
        except Gap as gap:
            account.gap(gap)
            token = gap.token
        except Away:
            account.cuts += 1
            time.sleep(_AGAIN_S)


def main(name: str, count: int, where: Where, cut: int, seed: int) -> None:
    """Run the followers, and tell what each was told."""
    accounts = [Account() for _ in range(count)]
    threads = []
    for number, account in enumerate(accounts):
        settings = {"cut": cut, "slow": number % 3 == 0}
        arguments = (TRANSPORTS[name].follow, where, account, Random(f"{name} {seed} {number}"))
        threads.append(threading.Thread(target=follow, args=arguments, kwargs=settings))
        threads[-1].start()
    for line in sys.stdin:
        print(sum(account.count for account in accounts), flush=True)
        if line.strip().isdigit():
            End.position = int(line)
            break
    for thread in threads:
        thread.join()
    for account in accounts:
        print(json.dumps(asdict(account)))


if __name__ == "__main__":
    transport, *numbers = sys.argv[1:]
    many, http, grpc, bus, up_to, seeded = map(int, numbers)
    main(transport, many, Where(http, grpc, bus), up_to, seeded)
