"""Everything that can be asked of one process, in one place for the doors that ask."""

from dataclasses import dataclass

from spear.config import Config
from spear.events.log import EventLog
from spear.ports import BlobStore, Clock, LogStore
from spear.projections.reader import Reader
from spear.projections.timeline import Timeline
from spear.services.content import Contents
from spear.services.endpoints import Endpoints
from spear.services.executions import Executions
from spear.services.files import Files
from spear.services.following import Following
from spear.services.forwards import Forwards
from spear.services.instances import Instances
from spear.services.models import Models
from spear.services.nodes import Nodes
from spear.services.objects import Objects
from spear.services.passes import Passes
from spear.services.placements import Placements
from spear.services.registries import Registries
from spear.services.reports import Reports
from spear.services.runs import Runs
from spear.services.sessions import Sessions
from spear.services.streams import Streams
from spear.services.tasks import Tasks
from spear.services.tokens import Tokens


@dataclass(frozen=True)
class Platform:
    """The services of one process, its log and the views of it."""

    config: Config
    log: EventLog
    reader: Reader
    timeline: Timeline
    clock: Clock
    blobs: BlobStore
    contents: Contents
    logs: LogStore
    nodes: Nodes
    tasks: Tasks
    files: Files
    objects: Objects
    instances: Instances
    models: Models
    placements: Placements
    runs: Runs
    forwards: Forwards | None
    executions: Executions
    reports: Reports
    tokens: Tokens
    passes: Passes
    registries: Registries
    streams: Streams
    sessions: Sessions
    endpoints: Endpoints
    following: Following | None = None  # of a read-only standby
