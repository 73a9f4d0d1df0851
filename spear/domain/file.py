"""An uploaded file: immutable content under a random id."""

from uuid import UUID

from eventsourcing.domain import event

from spear.domain.base import Aggregate, topic
from spear.errors import NotFound


@topic("file")
class File(Aggregate):
    """An uploaded file."""

    class FileUploaded(Aggregate.Created):
        name: str
        content_type: str
        size: int
        sha256: str

    class FileDeleted(Aggregate.Event):
        reason: str

    @event(FileUploaded)
    def __init__(self, id: UUID, name: str, content_type: str, size: int, sha256: str) -> None:
        self.sha256 = sha256
        self.deleted = False

    def delete(self, reason: str) -> None:
        """The file can no longer be read; its history stays."""
        if self.deleted:
            raise NotFound.noun("file", self.id)
        self._deleted(reason)

    @event(FileDeleted)
    def _deleted(self, reason: str) -> None:
        self.deleted = True
