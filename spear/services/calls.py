"""What a caller asks of a task."""

from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256

import msgspec

from spear.services.endings import OUTPUT_CONTENT_TYPE


class Mode(StrEnum):
    """Whether the caller waits for the end."""

    SYNC = "sync"
    ASYNC = "async"


@dataclass(frozen=True, slots=True)
class Call:
    """What somebody asks a task to do; `timeout_ms` 0 means the task's own limit, `execution_id` "" any new one."""

    input: bytes = b""
    input_content_type: str = OUTPUT_CONTENT_TYPE
    args: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    mode: Mode = Mode.SYNC
    timeout_ms: int = 0
    node_uuid: str = ""
    idempotency_key: str = ""
    output_content_type: str = OUTPUT_CONTENT_TYPE
    execution_id: str = ""

    @property
    def once(self) -> bool:
        """Whether asking twice means the same execution."""
        return bool(self.idempotency_key or self.execution_id)

    @property
    def fingerprint(self) -> str:
        """What tells apart two requests that mean the same execution; empty where asking twice means two."""
        if not self.once:
            return ""
        asked = (
            self.input,
            self.input_content_type,
            self.args,
            sorted(self.environment.items()),
            self.mode,
            self.timeout_ms,
        )
        return sha256(msgspec.msgpack.encode(asked)).hexdigest()
