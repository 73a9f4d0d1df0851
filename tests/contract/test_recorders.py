from pathlib import Path
from tempfile import TemporaryDirectory

from eventsourcing.tests.persistence import ApplicationRecorderTestCase, NonInterleavingNotificationIDsBaseCase

from spear.events.recorder import ApswRecorder


class OnApsw:
    """Gives the library's contract a recorder on a file of its own."""

    def create_recorder(self) -> ApswRecorder:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        recorder = ApswRecorder(Path(folder.name) / "log.db")
        self.addCleanup(recorder.close)
        return recorder


class TestApswRecorderKeepsTheLibrarysContract(OnApsw, ApplicationRecorderTestCase):
    pass


class TestApswRecorderNeverInterleavesCommits(OnApsw, NonInterleavingNotificationIDsBaseCase):
    pass


# Imported names would be collected as tests of their own.
del ApplicationRecorderTestCase, NonInterleavingNotificationIDsBaseCase
