"""The one way the admin sees the platform: its REST interface, live or as of a position."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias
from urllib.parse import quote

from spear.errors import SpearError

Api: TypeAlias = Callable[[str, Mapping[str, str | int]], tuple[int, Any]]
Row: TypeAlias = dict[str, Any]
PAGE = 1000


class Refusal(SpearError):
    """What REST refused, with its own status, code and words."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        super().__init__(body["message"], code=body["error"], details=body["details"])
        self.http_status = status


class Client:
    """GET on REST; everything read through one client is live, or as of one position."""

    def __init__(self, api: Api, *, as_of: int | None = None) -> None:
        self._api, self.as_of = api, as_of

    def get(self, *path: str, **query: str | int) -> Any:
        """The JSON at /api/v1/<path>; raises `Refusal` for any answer but 200."""
        past = {} if self.as_of is None else {"as_of": self.as_of}
        status, body = self._api("/api/v1/" + "/".join(quote(part, safe="") for part in path), {**past, **query})
        if status != 200:
            raise Refusal(status, body)
        return body

    def find(self, *path: str, **query: str | int) -> Any:
        """The same for one thing, or None when there is no such thing."""
        try:
            return self.get(*path, **query)
        except Refusal as refusal:
            if refusal.http_status == 404:
                return None
            raise

    def every(self, collection: str) -> Iterator[Row]:
        """All rows of a collection, oldest first, asked for page by page."""
        page = self.get(collection, limit=PAGE)
        yield from page[collection]
        while page["next_after"]:
            page = self.get(collection, limit=PAGE, after=page["next_after"])
            yield from page[collection]

    def total(self, collection: str, **filters: str) -> int:
        """How many rows of a collection match."""
        return int(self.get(collection, limit=1, **filters)["total_count"])

    def newest(self, collection: str, limit: int) -> Row:
        """The last `limit` rows of a collection that REST lists oldest first, newest first, and how many there are."""
        page = self.get(collection, limit=limit, offset=max(0, self.total(collection) - limit))
        return {"rows": page[collection][::-1], "total": page["total_count"]}

    def head(self) -> int:
        """The last position of the log, whatever `as_of` says."""
        return int(self.get("events", limit=1)["head"])

    def events(self, *, after: int = 0, limit: int, **filters: str) -> list[Row]:
        """Up to `limit` events beyond `after`, oldest first, none later than `as_of`."""
        found: list[Row] = self.get("events", after=after, limit=limit, **filters)["events"]
        return [event for event in found if self.as_of is None or event["position"] <= self.as_of]
