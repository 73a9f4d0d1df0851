"""Whose an execution is: a client ends what its own token requested, and nothing else."""

from spear.domain.token import Token, TokenRole
from spear.errors import Forbidden
from spear.events.log import EventLog
from spear.projections.executions import ExecutionRow
from spear.services.tokens import Caller

ANOTHER_CLIENT = "ANOTHER_CLIENT"
_DOORS = ("rest", "grpc")


def check_owner(log: EventLog, caller: Caller, row: ExecutionRow) -> None:
    """Raise `Forbidden` for a client's token that did not request the execution, through whichever door.

    Another token that bore the same name before did not do it for this one.
    """
    if caller.role is not TokenRole.CLIENT:
        return
    actors = [fact.actor for fact in log.stream(row.execution_id, limit=1) if fact.position == row.seq]
    issued = log.last(log.head, streams=(str(Token.ident(caller.name)),), topics=(Token.TokenIssued.TOPIC,))
    if row.seq < issued or actors not in [[caller.actor(door)] for door in _DOORS]:
        text = f"token {caller.name!r} did not request execution {row.execution_id}, and a client ends its own alone"
        raise Forbidden(text, code=ANOTHER_CLIENT, details={"token": caller.name, "execution_id": row.execution_id})
