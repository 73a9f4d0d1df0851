"""A log for tests of runtimes, in memory."""

from spear.ports import Level, Stream


class Lines:
    """A log that keeps its lines in a list."""

    def __init__(self) -> None:
        self.lines: list[tuple[Stream, Level, str]] = []

    def write(self, stream: Stream, level: Level, message: str) -> None:
        self.lines.append((stream, level, message))

    @property
    def messages(self) -> list[str]:
        """What the lines say."""
        return [message for _, _, message in self.lines]

    @property
    def written_bytes(self) -> int:
        return sum(map(len, self.messages))
