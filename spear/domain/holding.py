"""What a node says that it has of an object."""

from dataclasses import dataclass, field
from uuid import UUID

from eventsourcing.domain import event

from spear.domain.base import Aggregate, named, topic


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldingReport:
    """An object as the node that has it describes it."""

    bucket: str
    key: str
    version: int
    sha256: str
    size: int
    content_type: str
    metadata: dict[str, str] = field(default_factory=dict)


@topic("holding")
class Holding(Aggregate):
    """One object of one node; the stream outlives the object, so that old news is known as such."""

    class HoldingReported(Aggregate.Event):
        node_uuid: str
        bucket: str
        key: str
        object_version: int
        sha256: str
        size: int
        content_type: str
        metadata: dict[str, str]
        reported_at_us: int

    class HoldingEnded(Aggregate.Event):
        node_uuid: str
        reported_at_us: int

    def begin(self) -> None:
        """The node said nothing of it."""
        self.seen: HoldingReport | None = None
        self.reported_at_us = 0

    @staticmethod
    def ident(node_uuid: str, object_id: UUID) -> UUID:
        """The id of what this node has of this object."""
        return named("holding", f"{node_uuid}/{object_id}")

    def report(self, node_uuid: str, seen: HoldingReport | None, *, at_us: int, result: bool = False) -> bool:
        """Take over what the node had at this time, None for nothing; False for old news.

        Of a `result` that it has no more it did not tell before: its execution did.
        """
        if at_us < self.reported_at_us:
            return False
        if seen is None and (self.seen or result):
            self._ended(node_uuid, at_us)
        elif seen and seen != self.seen:
            self._reported(
                node_uuid, seen.bucket, seen.key, seen.version, seen.sha256, seen.size, seen.content_type,
                seen.metadata, at_us,
            )  # fmt: skip
        return True

    @event(HoldingReported)
    def _reported(
        self,
        node_uuid: str,
        bucket: str,
        key: str,
        object_version: int,
        sha256: str,
        size: int,
        content_type: str,
        metadata: dict[str, str],
        reported_at_us: int,
    ) -> None:
        self.reported_at_us = reported_at_us
        self.seen = HoldingReport(
            bucket=bucket, key=key, version=object_version, sha256=sha256, size=size, content_type=content_type,
            metadata=metadata,
        )  # fmt: skip

    @event(HoldingEnded)
    def _ended(self, node_uuid: str, reported_at_us: int) -> None:
        self.seen, self.reported_at_us = None, reported_at_us
