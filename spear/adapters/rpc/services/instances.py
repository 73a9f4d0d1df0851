"""Instances on this node."""

from spear.adapters.rpc.calls import Asked, Message
from spear.adapters.rpc.checks import text
from spear.adapters.rpc.generated.spearlet import instance_pb2 as pb
from spear.domain.execution import ExecutionStatus
from spear.domain.instance import InstanceStatus
from spear.errors import NotFound, Refused
from spear.projections import instances as views
from spear.projections.executions import list_executions
from spear.projections.instances import InstanceRow
from spear.services.platform import Platform
from spear.services.unit import as_uuid

_AT_ONCE = 1000


class InstanceService:
    """`spearlet.InstanceService`."""

    DESCRIPTOR = pb.DESCRIPTOR.services_by_name["InstanceService"]

    def __init__(self, platform: Platform) -> None:
        self._platform, self._reader = platform, platform.reader

    def destroy_instance(self, request: Message, asked: Asked) -> Message:
        """Take an instance out of use and end what runs on it."""
        row = self._known(request.instance_id)
        reason = text("reason", request.reason) or "destroyed by request"
        if row.status == InstanceStatus.TERMINATED:
            return pb.DestroyInstanceResponse(success=False, message=f"instance {row.instance_id} is gone already")
        if not self._platform.instances.has(row.instance_id):
            told = f"instance {row.instance_id} is not here: node {row.node_uuid} has it, so ask that one"
            return pb.DestroyInstanceResponse(success=False, message=told)
        self._platform.instances.stop(asked.origin, row.task_id, f"instance destroyed: {reason}")
        self._end_runs(row, asked, f"instance destroyed: {reason}")
        return pb.DestroyInstanceResponse(success=True, message="destroy requested")

    def _known(self, instance_id: str) -> InstanceRow:
        row = views.get_instance(self._reader, str(as_uuid("instance", instance_id)))
        if row is None:
            raise NotFound.noun("instance", instance_id)
        return row

    def _end_runs(self, row: InstanceRow, asked: Asked, reason: str) -> None:
        status = ExecutionStatus.RUNNING.value
        running = list_executions(self._reader, instance_id=row.instance_id, status=status, limit=_AT_ONCE)
        for execution in running.rows:
            try:
                self._platform.executions.terminate(asked.origin, execution.execution_id, reason)
            except Refused:
                continue  # it ended by itself meanwhile
