"""The revision of each registry: the position of its last change."""

import msgspec

from spear.events.record import Recorded
from spear.projections.reader import Reader
from spear.projections.tables import Sheets, Table


class RevisionRow(msgspec.Struct, gc=False):
    """Which noun's registry, and where it changed last."""

    noun: str
    revision: int


REVISIONS = Table("revisions", RevisionRow)


def revise(sheets: Sheets, fact: Recorded) -> None:
    """The registry of the fact's noun changed."""
    sheets[REVISIONS][fact.noun] = RevisionRow(fact.noun, fact.position)


def revision_of(reader: Reader, noun: str) -> int:
    """The revision of a noun's registry; 0 before its first change."""
    row = reader.get(REVISIONS, noun)
    return row.revision if row else 0
