"""What the engine is told of a run: the least that a container needs, and nothing of the machine."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from spear.ports import RunSpec
from spear.services.tasks import CONTAINER_NETWORK

LEAST_MEMORY_BYTES = 6 * 1024 * 1024  # the engine refuses less
MOST_PROCESSES = 256
NOBODY = "65534:65534"
SERVER, EXECUTION, TASK = "spear.server", "spear.execution", "spear.task"  # the labels of a container


@dataclass(frozen=True, slots=True)
class Image:
    """An image as it was when the instance was prepared; `ident` never means another one."""

    name: str
    ident: str
    user: str
    volumes: tuple[str, ...]

    @classmethod
    def of(cls, name: str, told: Mapping[str, Any]) -> "Image":
        """What the engine says of an image."""
        config = told.get("Config") or {}
        return cls(name, str(told["Id"]), config.get("User") or NOBODY, tuple(config.get("Volumes") or ()))

    @property
    def sha256(self) -> str:
        """The digest that names it, in lower-case hex."""
        return self.ident.removeprefix("sha256:")


def described(image: Image, spec: RunSpec, *, server: str) -> dict[str, Any]:
    """The body of the request that makes the container of one run."""
    networked = spec.config.get(CONTAINER_NETWORK) == "true"
    command = {"Cmd": list(spec.args)} if spec.args else {}  # without arguments, the image's own command
    return command | {
        "Image": image.ident,
        "Env": [f"{name}={value}" for name, value in spec.environment.items()],
        "User": image.user,
        "Labels": {SERVER: server, EXECUTION: spec.execution_id, TASK: spec.task_id},
        "Tty": False,
        "OpenStdin": True,
        "StdinOnce": True,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "NetworkDisabled": not networked,
        "HostConfig": _confined(spec.limits.memory_bytes, networked, ("/tmp", *image.volumes)),
    }


def _confined(memory_bytes: int, networked: bool, writable: Iterable[str]) -> dict[str, Any]:
    return {
        "Init": True,  # reaps what the program leaves, and lets signals end it, which process 1 would not notice
        "NetworkMode": "default" if networked else "none",
        "IpcMode": "private",
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "PidsLimit": MOST_PROCESSES,
        "Memory": memory_bytes,
        "MemorySwap": memory_bytes,  # as much as memory: no swap
        "LogConfig": {"Type": "none"},  # what it writes goes to the execution alone, not to the engine's disk as well
        "Mounts": [_in_memory(path, memory_bytes) for path in dict.fromkeys(writable)],
    }


def _in_memory(path: str, size: int) -> dict[str, Any]:
    return {"Type": "tmpfs", "Target": path, "TmpfsOptions": {"SizeBytes": size, "Mode": 0o1777}}
