"""How the end of an execution becomes facts: its final event, and its output kept as an object."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from spear.domain.base import Aggregate
from spear.domain.execution import Execution
from spear.domain.object import RESULTS_BUCKET, Object, result_key
from spear.ports import End, Outcome
from spear.projections.tasks import TaskRow
from spear.services.content import Content, Contents
from spear.services.unit import Unit

OUTPUT_CONTENT_TYPE = "application/octet-stream"


class Taken(Protocol):
    """An execution that this process has in hand; `result_taken` is set once its result was made."""

    task: TaskRow
    output_content_type: str
    result_taken: bool

    @property
    def execution_id(self) -> str:
        """The execution's id."""
        ...


class Endings:
    """Ends executions, wherever they ran."""

    def __init__(self, unit: Unit, contents: Contents) -> None:
        self._unit, self._contents = unit, contents

    @contextmanager
    def of(
        self, execution: Execution, taken: Taken, outcome: Outcome, *, duration_us: int
    ) -> Iterator[Sequence[Aggregate]]:
        """What changes when the run ended like this, to be saved within the `with`."""
        if outcome.end is not End.COMPLETED:
            _record_failure(execution, outcome, duration_us)
            yield [execution]
            return
        with self._contents.keep_bytes(outcome.output) as kept:
            execution.complete(
                exit_code=outcome.exit_code or 0,
                sha256=kept.sha256,
                size=kept.size,
                content_type=taken.output_content_type,
                duration_us=duration_us,
            )
            yield [execution, self._result(taken, kept)]

    def _result(self, taken: Taken, kept: Content) -> Object:
        key = result_key(taken.task.task_id, taken.execution_id)
        ident = Object.ident(RESULTS_BUCKET, key)
        result = self._unit.blank_or_loaded(Object, ident) if taken.result_taken else Object.blank(ident)
        taken.result_taken = True  # if somebody put an object there before, the commit clashes and this is tried again
        content_type = taken.output_content_type
        result.put(
            RESULTS_BUCKET, key, sha256=kept.sha256, size=kept.size, inline=kept.inline, content_type=content_type
        )
        return result


def _record_failure(execution: Execution, outcome: Outcome, duration_us: int) -> None:
    if outcome.end is End.CANCELLED:
        execution.cancel(outcome.error, last_action=outcome.last_action, duration_us=duration_us)
    elif outcome.end is End.TIMEOUT:
        execution.time_out(outcome.error, last_action=outcome.last_action, duration_us=duration_us)
    else:
        execution.fail(
            outcome.error,
            code=outcome.code,
            reason=outcome.reason,
            last_action=outcome.last_action,
            exit_code=outcome.exit_code,
            duration_us=duration_us,
        )
