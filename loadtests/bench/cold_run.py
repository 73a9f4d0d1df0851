"""A cold run of the hello agent in SPEAR's runtime against the plain wasmtime-py calls."""

from loadtests.bench._common import alternate, child, show_times


def main() -> None:
    """Print one line."""
    pair = alternate(lambda: child("_our_runs.py"), lambda: child("_plain_runs.py"), rounds=5)
    show_times("cold run of hello", pair, against="plain wasmtime-py", at_most=2)


if __name__ == "__main__":
    main()
