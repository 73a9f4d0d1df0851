"""How a node waits before it asks its SMS again."""

from itertools import islice

from spear.roles.spearlet import growing


def test_pauses_double_up_to_the_longest() -> None:
    assert list(islice(growing(500, longest_s=5), 6)) == [0.5, 1, 2, 4, 5, 5]
    assert list(islice(growing(9000, longest_s=5), 2)) == [5, 5]
