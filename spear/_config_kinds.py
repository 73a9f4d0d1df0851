"""What configuration values are: roles, addresses, and each kind with what it accepts."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeAlias

from spear._config_llm import LlmBackend, LlmCredential, tables_of
from spear.domain.task import ExecutableType
from spear.logs import Format
from spear.ports import Level

Table: TypeAlias = dict[str, Any]
Value: TypeAlias = str | int | bool | list[Table]


class Role(StrEnum):
    """What one process does."""

    SMS = "sms"
    SPEARLET = "spearlet"
    ALL = "all"


class Backend(StrEnum):
    """The key-value stores that a configuration may name."""

    MEMORY = "memory"
    SLED = "sled"
    ROCKSDB = "rocksdb"


class Pull(StrEnum):
    """When a container's image is fetched from its registry."""

    NEVER = "never"
    MISSING = "missing"


class SandboxKind(StrEnum):
    """What keeps agents that are processes away from the machine."""

    BWRAP = "bwrap"
    NONE = "none"


class DatabaseType(StrEnum):
    """The names of the event log's database; both mean the embedded one."""

    SLED = "sled"
    SQLITE = "sqlite"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a socket listens or connects; port 0 is any free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read `host:port` or `[ipv6]:port`; raises ValueError."""
        found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})", text)
        if found is None or int(found[3]) > 65535:
            raise ValueError(text)
        return cls(found[1] or found[2], int(found[3]))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return self.host == "localhost" or ip_address(self.host).is_loopback
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class Kind:
    """What a key accepts: its TOML type, a constructor that raises ValueError (or `Invalid`), and words for people."""

    type: type[str] | type[int] | type[bool] | type[list[Any]]
    make: Callable[[Any], object]
    expected: str
    metavar: str = ""


def whole(least: int, *, metavar: str, most: int = 2**31 - 1) -> Kind:
    """A whole number within bounds."""

    def make(value: int) -> int:
        if not least <= value <= most:
            raise ValueError(value)
        return value

    return Kind(int, make, f"a whole number from {least} to {most}", metavar)


def _text(make: Callable[[str], object], expected: str, *, metavar: str, empty: bool = True) -> Kind:
    def checked(value: str) -> object:
        if not value.isprintable() or not (value or empty):
            raise ValueError(value)
        return make(value)

    return Kind(str, checked, expected, metavar)


_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|[0-9a-f:.]+")
_ORIGIN = re.compile(r"https?://[a-z0-9_.:\[\]-]+")


def _list_of(pattern: re.Pattern[str]) -> Callable[[str], tuple[str, ...]]:
    def parts(text: str) -> tuple[str, ...]:
        found = tuple(part.strip().lower() for part in text.split(",") if part.strip())
        if not all(map(pattern.fullmatch, found)):
            raise ValueError(text)
        return found

    return parts


def _folders(text: str) -> tuple[Path, ...]:
    found = tuple(Path(part.strip()) for part in text.split(",") if part.strip())
    if not all(path.is_absolute() and path != Path("/") for path in found):
        raise ValueError(text)
    return found


def _types(text: str) -> tuple[str, ...]:
    found = _list_of(_NAME)(text)
    if not set(found) <= set(ExecutableType) - {ExecutableType.NONE}:
        raise ValueError(text)
    return found


_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)")


def _variables(text: str) -> dict[str, str]:
    found = [_VARIABLE.fullmatch(part.strip()) for part in text.split(",") if part.strip()]
    if not all(found):
        raise ValueError(text)
    return {one[1]: one[2] for one in found if one}


def _socket(text: str) -> Path | None:
    path = Path(text.removeprefix("unix://"))
    if text and (path.as_posix() == text or not path.is_absolute()):
        raise ValueError(text)
    return path if text else None


def _one_of(choices: type[StrEnum], *, metavar: str) -> Kind:
    return Kind(str, choices, "one of " + ", ".join(choices), metavar)


def _endpoint(text: str) -> str:
    found = re.fullmatch(r"https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?/?", text)
    if text and (found is None or int((found[2] or ":0")[1:]) > 65535):
        raise ValueError(text)
    return text.rstrip("/")


BOOL = Kind(bool, bool, "true or false")
TEXT = _text(str, "printable text", metavar="TEXT")
PATH = _text(Path, "a path", metavar="PATH", empty=False)
PATH_OR_NONE = _text(lambda value: Path(value) if value else None, "a path, or nothing", metavar="PATH")
ADDRESS = Kind(str, Address.parse, "host:port such as 127.0.0.1:8080", "ADDR")
BUS_OR_NONE = _text(
    lambda value: Address.parse(value.removeprefix("tcp://")) if value else None,
    "tcp://host:port, or nothing",
    metavar="BUS",
)
ENDPOINT_OR_NONE = _text(_endpoint, "an origin such as https://s3.example:9000, or nothing", metavar="URL")
ENGINE_OR_NONE = _text(_socket, "unix:///path, or nothing", metavar="SOCKET")
SECONDS, SECONDS_OR_0 = whole(1, metavar="SECONDS"), whole(0, metavar="SECONDS")
MILLISECONDS, MILLISECONDS_OR_0 = whole(1, metavar="MS"), whole(0, metavar="MS")
NAMES = _text(_list_of(_NAME), "host names separated by commas", metavar="NAMES")
ORIGINS = _text(_list_of(_ORIGIN), "origins such as https://a.example separated by commas", metavar="ORIGINS")
VARIABLES = _text(_variables, "NAME=value pairs separated by commas, or nothing", metavar="VARIABLES")
FOLDERS = _text(_folders, "paths of directories below /, separated by commas, or nothing", metavar="PATHS")
TYPES = _text(
    _types, "types of executables (wasm, process, binary, script, container), or nothing for all", metavar="TYPES"
)
COUNT, COUNT_OR_0 = whole(1, metavar="N"), whole(0, metavar="N")
PORT = whole(0, metavar="PORT", most=65535)
BYTES = whole(1, metavar="BYTES", most=2**53)
PULL = _one_of(Pull, metavar="WHEN")
SANDBOX = _one_of(SandboxKind, metavar="KIND")
LEVEL, FORMAT = _one_of(Level, metavar="LEVEL"), _one_of(Format, metavar="FORMAT")
BACKEND, DATABASE = _one_of(Backend, metavar="NAME"), _one_of(DatabaseType, metavar="NAME")
LLM_CREDENTIALS = Kind(list, tables_of(LlmCredential, "spearlet.llm.credentials"), "a list of tables")
LLM_BACKENDS = Kind(list, tables_of(LlmBackend, "spearlet.llm.backends"), "a list of tables")
