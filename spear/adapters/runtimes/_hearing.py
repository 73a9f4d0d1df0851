"""What a program outside this process wrote, within its limits."""

from spear.adapters.runtimes._guest import Lines
from spear.ports import Level, Limits, LogSink, Stream


class Heard:
    """The output and the log lines of one run; what is over a limit is dropped."""

    def __init__(self, limits: Limits, logs: LogSink) -> None:
        self.output, self.last_line = bytearray(), ""
        self._limits, self._logs, self._logged = limits, logs, 0
        self._lines = Lines(self._line)

    def stdout(self, data: bytes) -> bool:
        """Keep bytes of the output; False when that went over the limit."""
        room = self._limits.output_bytes - len(self.output)
        self.output += data[:room]
        return len(data) <= room

    def stderr(self, data: bytes) -> bool:
        """Log the lines that these bytes complete; False when that went over the limit."""
        room = self._limits.log_bytes - self._logged
        self._logged += len(data)
        self._lines.feed(data[: max(0, room)])
        return len(data) <= room

    def _line(self, line: str) -> None:
        self.last_line = line or self.last_line
        self._logs.write(Stream.STDERR, Level.INFO, line)

    def close(self) -> None:
        """Log the last line although its end never came."""
        self._lines.flush()
