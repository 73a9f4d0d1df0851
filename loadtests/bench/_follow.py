"""Prints how many events a second one reader hears over a transport, from the first: `TRANSPORT EVENTS HTTP GRPC BUS`."""

import sys
from contextlib import closing
from itertools import islice
from time import perf_counter

from tests.chaos._transports import TRANSPORTS, Where


def main(name: str, events: int, where: Where) -> None:
    """Measure once, from the first event on: a program's start is not what is measured."""
    with closing(TRANSPORTS[name].follow(where, "")) as follow:
        next(follow)
        began = perf_counter()
        last = 1
        for heard in islice(follow, events - 1):
            last = heard.position
        if last != events:
            raise SystemExit(f"expected {events} events, the last one was {last}")
        print((events - 1) / (perf_counter() - began))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Where(*map(int, sys.argv[3:])))
