"""Prints how often a second /bin/true can be spawned and waited for, one after the other."""

import os
import sys
from time import perf_counter


def main() -> None:
    """Measure once."""
    seconds, count, began = float(sys.argv[1]), 0, perf_counter()
    while perf_counter() - began < seconds:
        pid = os.posix_spawn("/bin/true", ["true"], {})
        if os.waitpid(pid, 0)[1]:
            raise SystemExit("unexpected end of /bin/true")
        count += 1
    print(count / (perf_counter() - began))


if __name__ == "__main__":
    main()
