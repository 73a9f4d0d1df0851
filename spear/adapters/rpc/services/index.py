"""Instances and executions of the whole fleet, as the SMS shows them."""

from spear.adapters.rpc.calls import Asked, Message
from spear.adapters.rpc.checks import bare_instance_id, text
from spear.adapters.rpc.generated.sms import execution_pb2 as pb
from spear.adapters.rpc.paging import cursor, limit, token
from spear.adapters.rpc.services.executions import FUNCTION_NAME
from spear.errors import NotFound
from spear.projections import instances as views
from spear.projections.executions import ExecutionRow, list_executions
from spear.projections.instances import InstanceRow
from spear.services.platform import Platform
from spear.services.unit import as_uuid

_MOST_INSTANCES, _MOST_EXECUTIONS = 256, 1000


def instance_message(row: InstanceRow) -> Message:
    """An instance as the wire has it; times in milliseconds."""
    return pb.Instance(
        instance_id=row.instance_id,
        task_id=row.task_id,
        node_uuid=row.node_uuid,
        status=f"INSTANCE_STATUS_{row.status.upper()}",
        created_at_ms=row.created_at_us // 1000,
        updated_at_ms=row.updated_at_us // 1000,
        last_seen_ms=row.last_seen_us // 1000,
        current_execution_id=row.current_execution_id,
        metadata={"runtime": row.runtime, "sha256": row.sha256},
    )


def execution_message(row: ExecutionRow) -> Message:
    """An execution as the wire has it; times in milliseconds."""
    return pb.Execution(
        execution_id=row.execution_id,
        invocation_id=row.execution_id,
        task_id=row.task_id,
        function_name=FUNCTION_NAME,
        node_uuid=row.node_uuid,
        instance_id=row.instance_id,
        status=f"EXECUTION_STATUS_{row.status.upper()}",
        started_at_ms=row.started_at_us // 1000,
        completed_at_ms=row.completed_at_us // 1000,
        log_ref=pb.LogRef(
            backend="spear_log",
            uri_prefix=f"/api/v1/executions/{row.execution_id}/logs",
            content_type="application/x-ndjson",
        ),
        metadata={"error_message": row.error} if row.error else {},
        updated_at_ms=row.updated_at_us // 1000,
    )


def _instance_summary(row: InstanceRow) -> Message:
    return pb.InstanceSummary(
        instance_id=row.instance_id,
        node_uuid=row.node_uuid,
        status=f"INSTANCE_STATUS_{row.status.upper()}",
        last_seen_ms=row.last_seen_us // 1000,
        current_execution_id=row.current_execution_id,
    )


def _execution_summary(row: ExecutionRow) -> Message:
    return pb.ExecutionSummary(
        execution_id=row.execution_id,
        task_id=row.task_id,
        status=f"EXECUTION_STATUS_{row.status.upper()}",
        started_at_ms=row.started_at_us // 1000,
        completed_at_ms=row.completed_at_us // 1000,
        function_name=FUNCTION_NAME,
    )


class ExecutionIndexService:
    """`sms.ExecutionIndexService`."""

    DESCRIPTOR = pb.DESCRIPTOR.services_by_name["ExecutionIndexService"]

    def __init__(self, platform: Platform) -> None:
        self._platform, self._reader = platform, platform.reader

    def list_task_instances(self, request: Message, asked: Asked) -> Message:
        """The task's instances that are not terminated, newest first."""
        task = self._platform.tasks.get(text("task_id", request.task_id, most=64, least=1))
        most, after = limit(request.limit, _MOST_INSTANCES), cursor(request.page_token)
        page = views.live_instances(self._reader, task_id=task.task_id, after=after, limit=most)
        found = [_instance_summary(row) for row in page.rows]
        return pb.ListTaskInstancesResponse(instances=found, next_page_token=token(page.next_after))

    def list_instance_executions(self, request: Message, asked: Asked) -> Message:
        """What ran on the instance, newest first."""
        instance_id = text("instance_id", request.instance_id, most=64, least=1)
        row = views.get_instance(self._reader, str(as_uuid("instance", bare_instance_id(instance_id))))
        if row is None:
            raise NotFound.noun("instance", instance_id)
        most, after = limit(request.limit, _MOST_EXECUTIONS), cursor(request.page_token)
        page = list_executions(self._reader, instance_id=row.instance_id, after=after, limit=most)
        found = [_execution_summary(ran) for ran in page.rows]
        return pb.ListInstanceExecutionsResponse(executions=found, next_page_token=token(page.next_after))

    def get_execution(self, request: Message, asked: Asked) -> Message:
        """One execution, if there is one."""
        execution_id = text("execution_id", request.execution_id, most=64, least=1)
        try:
            row = self._platform.executions.get(execution_id)
        except NotFound:
            return pb.GetExecutionResponse(found=False)
        return pb.GetExecutionResponse(found=True, execution=execution_message(row))
