"""The model backends of a configuration: tables of TOML, checked as a whole; no value of theirs is told again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec

from spear.domain.secret import check_url
from spear.errors import Invalid

Name: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"\A[!-~]{1,256}\Z")]
Variable: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z_][A-Za-z0-9_]{0,127}\Z")]
Model: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"\A[ -~]{0,256}\Z")]
Word: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"\A[!-~]{1,64}\Z")]
Words: TypeAlias = Annotated[tuple[Word, ...], msgspec.Meta(max_length=32)]
T = TypeVar("T", bound="LlmCredential | LlmBackend")

CHAT = "chat_completions"
OPERATIONS = (CHAT, "embeddings", "image_generation", "speech_to_text", "text_to_speech", "realtime_voice")
_MOST = 256


class LlmCredential(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a key is found: in an environment variable, never in a file of ours."""

    name: Name
    api_key_env: Variable
    kind: Literal["env"] = "env"


class LlmBackend(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model backend that this node can reach; a `model` binds it to that one."""

    name: Name
    kind: Word
    base_url: Annotated[str, msgspec.Meta(max_length=2048)]
    hosting: Literal["local", "remote"]
    model: Model = ""
    credential_ref: str = ""
    weight: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 100
    priority: Annotated[int, msgspec.Meta(ge=-(2**31), lt=2**31)] = 0
    ops: tuple[Literal[OPERATIONS], ...] = (CHAT,)  # type: ignore[valid-type]
    features: Words = ()
    transports: Words = ("http",)
    max_concurrent: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 32


@dataclass(frozen=True, slots=True)
class Llm:
    """The model backends of this node; `keys` holds what the environment said, by credential."""

    credentials: tuple[LlmCredential, ...]
    backends: tuple[LlmBackend, ...]
    keys: Mapping[str, str] = field(repr=False)

    def variable(self, backend: LlmBackend) -> str:
        """The environment variable with the backend's key, "" for a backend that needs none."""
        return next((one.api_key_env for one in self.credentials if one.name == backend.credential_ref), "")


def tables_of(kind: type[T], key: str) -> Callable[[Any], tuple[T, ...]]:
    """What makes a list of tables into `kind`; that raises `Invalid`, which names the field and what was expected."""

    def make(tables: list[Any]) -> tuple[T, ...]:
        if len(tables) > _MOST:
            raise Invalid(f"{key}: expected at most {_MOST} tables")
        try:
            made = tuple(msgspec.convert(tables, list[kind]))  # type: ignore[valid-type]
        except msgspec.ValidationError as error:
            raise Invalid(f"{key}: {error}") from None
        _check(key, made)
        return made

    return make


def _check(key: str, tables: tuple[LlmCredential | LlmBackend, ...]) -> None:
    names = [table.name for table in tables]
    for number, table in enumerate(tables):
        if table.name in names[:number]:
            raise Invalid.field(f"{key}.{number}.name", table.name, "a name that no other has")
        if isinstance(table, LlmBackend):
            check_url(f"{key}.{number}.base_url", table.base_url)
            if "?" in table.base_url or "#" in table.base_url:
                raise Invalid(f"{key}.{number}.base_url: expected a URL without a query")
