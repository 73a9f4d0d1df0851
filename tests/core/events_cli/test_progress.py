import io

from spear.cli._progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def drawn(stream: io.StringIO, *, seconds: float, total: int = 200) -> str:
    clock = Clock()
    with Progress("work", stream=stream, clock=clock) as progress:
        clock.now = seconds
        progress(50, total)
        progress(51, total)
        return stream.getvalue()


def test_a_bar_is_drawn_only_after_a_second_and_only_on_a_terminal():
    assert drawn(Terminal(), seconds=0.9) == ""
    assert drawn(io.StringIO(), seconds=5) == ""
    assert "work [#######" in drawn(Terminal(), seconds=1.1)


def test_a_bar_is_not_redrawn_for_every_event_and_is_gone_at_the_end():
    stream = Terminal()
    text = drawn(stream, seconds=2)
    assert "25% 50 of 200" in text and "51" not in text
    assert stream.getvalue().endswith("\r\x1b[K") and not text.endswith("\r\x1b[K")


def test_progress_without_a_known_end_counts():
    assert "work 50" in drawn(Terminal(), seconds=2, total=0)
