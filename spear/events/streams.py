"""Reading a few streams by position: what that costs depends on what is read, never on how long a stream is."""

from collections.abc import Sequence

from spear.events.record import Recorded
from spear.events.recorder import ApswRecorder

_NUMBERED = "originator_id = ? AND version > 0"


def page_of(
    recorder: ApswRecorder, bounds: tuple[int, int, int], *, streams: Sequence[str], topics: Sequence[str]
) -> list[Recorded]:
    """The first events of these streams (and topics, if any) in `(after, until]`, up to a limit, by position."""
    after, until, limit = bounds
    numbered = f"WHERE {_NUMBERED} AND version > ?{_of(topics)} AND position <= ? ORDER BY version LIMIT ?"
    found = [
        fact
        for stream in streams
        for fact in [
            *recorder.query(numbered, (stream, version_at(recorder, stream, after), *topics, until, limit)),
            *recorder.observations(stream, after=after, until=until, where=_of(topics), values=topics, limit=limit),
        ]
    ]
    return sorted(found, key=lambda fact: fact.position)[:limit]


def last_of(recorder: ApswRecorder, until: int, *, streams: Sequence[str], topics: Sequence[str]) -> int:
    """The last position up to `until` of these streams (and topics, if any); 0 if there is none."""
    numbered = f"WHERE {_NUMBERED} AND version <= ?{_of(topics)} ORDER BY version DESC LIMIT 1"
    found = [
        fact.position
        for stream in streams
        for fact in [
            *recorder.query(numbered, (stream, version_at(recorder, stream, until), *topics)),
            *recorder.observations(stream, until=until, where=_of(topics), values=topics, newest_first=True, limit=1),
        ]
    ]
    return max(found, default=0)


def version_at(recorder: ApswRecorder, stream: str, position: int) -> int:
    """The last version that the stream's writer gave at or before `position`, 0 if there is none; the end is found fastest."""
    newest = recorder.value(f"SELECT max(version) FROM events WHERE {_NUMBERED}", (stream,)) or 0
    low, high, step = newest, newest + 1, 1
    while low and _beyond(recorder, stream, low, position):
        low, high, step = max(low - step, 0), low, step * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _beyond(recorder, stream, middle, position) else (middle, high)
    return low


def _beyond(recorder: ApswRecorder, stream: str, version: int, position: int) -> bool:
    found = recorder.value(f"SELECT position FROM events WHERE {_NUMBERED} AND version = ?", (stream, version))
    return (found or 0) > position  # what the log no longer holds, was before


def _of(topics: Sequence[str]) -> str:
    return f" AND topic IN ({','.join('?' * len(topics))})" if topics else ""
