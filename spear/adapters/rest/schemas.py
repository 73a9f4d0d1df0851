"""What requests may say and what answers look like; the message of every field says what was expected."""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import partial, wraps
from http import HTTPStatus
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args
from uuid import UUID

from flask_smorest import Blueprint
from marshmallow import EXCLUDE, Schema, ValidationError, fields, pre_load, validate

from spear.adapters.rest.requests import query_values, read_json
from spear.errors import Invalid

V = TypeVar("V", bound=Callable[..., Any])
TEXTS = dict[str, str]
_MISSING = object()
_MARKS = ("_schema", "key", "value")  # marshmallow's own steps in the path to a problem
_KEYS = ("required", "null", "invalid", "too_large", "special", "validator_failed")


def saying(expected: str) -> dict[str, str | list[Any] | dict[Any, Any]]:
    """The messages of a field whose every problem has the same remedy."""
    return dict.fromkeys(_KEYS, expected)


class Taken(Schema):
    """What a request may say: unknown fields are ignored, and null means that the field was left out."""

    class Meta:
        unknown = EXCLUDE

    @pre_load
    def _without_nulls(self, data: Any, **_: Any) -> Any:
        if isinstance(data, dict) and None in data.values():
            return {name: value for name, value in data.items() if value is not None}
        return data


def _passing(test: Callable[[str], bool], expected: str) -> Callable[[str], None]:
    def check(text: str) -> None:
        if not test(text):
            raise ValidationError(expected)

    return check


class Text(fields.String):
    """Text of bounded length without NUL, which neither a path nor an environment can hold."""

    def __init__(self, most: int = 1024, *, least: int = 0, **kwargs: Any) -> None:
        expected = f"text of {f'{least} to' if least else 'at most'} {most} characters without NUL"
        length = validate.Length(min=least or None, max=most, error=expected)
        super().__init__(
            validate=[length, _passing(lambda text: "\x00" not in text, expected)],
            error_messages=saying(expected),
            metadata={"pattern": r"^[^\x00]*$"},
            **kwargs,
        )


class TextOrNumber(fields.Field[str]):
    """Text as `Text`, or a number, which is taken as it is written."""

    def __init__(self, most: int, **kwargs: Any) -> None:
        expected = f"text of at most {most} characters without NUL, or a number"
        clean = _passing(lambda text: len(text) <= most and "\x00" not in text, expected)
        text = {"type": "string", "maxLength": most, "pattern": r"^[^\x00]*$"}
        either = {"oneOf": [text, {"type": "number"}]}
        super().__init__(validate=clean, error_messages=saying(expected), metadata=either, **kwargs)

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:
        if isinstance(value, str):
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        raise self.make_error("invalid")


class Ident(fields.String):
    """A UUID in any spelling, handed on in the usual one; or "" for none."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(error_messages=saying('a UUID or ""'), **kwargs)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, *args, **kwargs)
        try:
            return str(UUID(text)) if text else ""
        except ValueError:
            raise self.make_error("invalid") from None


class Reason(Taken):
    """Why; may be left out."""

    reason = Text(1024)


def whole(low: int, high: int, *, strict: bool = True, **kwargs: Any) -> fields.Integer:
    """A whole number within bounds; not `strict` takes the digits of a query string."""
    expected = f"a whole number from {low} to {high}"
    bounds = validate.Range(low, high, error=expected)
    return fields.Integer(strict=strict, validate=bounds, error_messages=saying(expected), **kwargs)


def number(low: float, high: float, **kwargs: Any) -> fields.Float:
    """A number within bounds."""
    expected = f"a number from {low:g} to {high:g}"
    bounds = validate.Range(low, high, error=expected)
    return fields.Float(validate=bounds, error_messages=saying(expected), **kwargs)


def choice(kind: type[StrEnum], *also: str, **kwargs: Any) -> fields.String:
    """One of the enum's words, or of `also`."""
    words = [*also, *(member.value for member in kind)]
    expected = f"one of {', '.join(word or repr(word) for word in words)}"
    one = validate.OneOf(words, error=expected)
    return fields.String(validate=one, error_messages=saying(expected), **kwargs)


def matching(pattern: str, expected: str, **kwargs: Any) -> fields.String:
    """Text that matches a regular expression as a whole."""
    matches = _passing(lambda text: re.fullmatch(pattern, text) is not None, expected)
    documented = {"pattern": f"^(?:{pattern})$"}
    return fields.String(validate=matches, error_messages=saying(expected), metadata=documented, **kwargs)


def text_list(most: int, **kwargs: Any) -> fields.List[str]:
    """A list of at most 256 texts of bounded length."""
    expected = "a list of at most 256 texts"
    bound = validate.Length(max=256, error=expected)
    return fields.List(Text(most), validate=bound, error_messages=saying(expected), **kwargs)


def text_map(most: int = 64, *, values: type[Text | TextOrNumber] = Text, **kwargs: Any) -> fields.Dict:
    """A map of text to text with a bounded number of entries."""
    expected = f"an object of at most {most} texts by name"
    bound = validate.Length(max=most, error=expected)
    said = saying(expected)
    return fields.Dict(keys=Text(256), values=values(8192), validate=bound, error_messages=said, **kwargs)


_PLAIN: dict[Any, Callable[..., fields.Field[Any]]] = {
    str: fields.String,
    int: fields.Integer,
    float: fields.Float,
    bool: fields.Boolean,
    TEXTS: lambda **kwargs: fields.Dict(keys=fields.String(), values=fields.String(), **kwargs),
}


def answer(name: str, /, **kinds: Any) -> type[Schema]:
    """A schema for documenting answers: each field is always there, unless it is given as a marshmallow field.

    `X | None` may be null, `[X]` is a list of X, `TEXTS` maps text to text, and an enum lists its words.
    """
    return Schema.from_dict({field: _described(kind) for field, kind in kinds.items()}, name=name)


def _described(kind: Any, **options: Any) -> fields.Field[Any]:
    options = {"required": True, **options}
    if isinstance(kind, fields.Field):
        return kind
    if isinstance(kind, UnionType):
        return _described(next(one for one in get_args(kind) if one is not NoneType), allow_none=True)
    if isinstance(kind, list):
        return fields.List(_described(kind[0]), **options)
    if kind in _PLAIN:
        return _PLAIN[kind](**options)
    if issubclass(kind, StrEnum):
        return fields.String(validate=validate.OneOf([member.value for member in kind]), **options)
    return fields.Nested(kind, **options)


AT_THE_DOOR = (401, 403)  # what any route may answer
ErrorBody = answer("ErrorBody", error=str, message=str, details=fields.Dict(required=True))


ServerSentEvent = answer(
    "ServerSentEvent", id=fields.String(), event=fields.String(), data=fields.String(required=True)
)


class Resource(Blueprint):  # type: ignore[misc]
    """Routes of one noun. Bodies and queries are checked by our rules; answers are documented and never dumped."""

    def register_views_in_doc(self, api: Any, *about: Any, **more: Any) -> None:
        """Called for each document that has these routes."""
        api.put_off(partial(super().register_views_in_doc, api, *about, **more))

    def body(self, schema: type[Schema], *, required: bool = True) -> Callable[[V], V]:
        """Hand the checked JSON body to the view; an absent one counts as {}."""
        content = {"application/json": {"schema": schema}}
        documented = self.doc(
            requestBody={"required": required, "content": content}, responses=errors(400, 413, 415, 422)
        )
        return _handing_on(schema(), read_json, documented)

    def query(self, schema: type[Schema]) -> Callable[[V], V]:
        """Hand the checked query to the view."""
        documented = self.doc(parameters=[{"in": "query", "schema": schema}], responses=errors(422))
        return _handing_on(schema(), query_values, documented)

    def answers(
        self,
        schema: type[Schema],
        *,
        status: int = 200,
        also: tuple[int, ...] = (),
        refuses: tuple[int, ...] = (),
        streams: bool = False,
    ) -> Callable[[V], V]:
        """Document what the view returns, with which success statuses, and which errors it may end in."""
        content: dict[str, Any] = {"application/json": {"schema": schema}}
        if streams:
            content["text/event-stream"] = {"schema": ServerSentEvent}
        good = {code: {"description": HTTPStatus(code).phrase, "content": content} for code in (status, *also)}
        documented: Callable[[V], V] = self.doc(responses={**good, **errors(*AT_THE_DOOR, *refuses)})
        return documented


def errors(*statuses: int) -> dict[int, str]:
    """How the errors of a route are documented: each by the shared description of its status."""
    return {status: HTTPStatus(status).name for status in statuses}


def _handing_on(schema: Schema, read: Callable[[], object], documented: Callable[[Any], Any]) -> Callable[[V], V]:
    def decorate(view: V) -> V:
        @wraps(view)
        def asked(*args: Any, **path: Any) -> Any:
            return view(*args, checked(schema, read()), **path)

        found: V = documented(asked)
        return found

    return decorate


def checked(schema: Schema, data: object) -> dict[str, Any]:
    """The data as the schema understands it; raises `Invalid` for its first problem."""
    try:
        found: dict[str, Any] = schema.load(data)  # type: ignore[arg-type]
    except ValidationError as error:
        raise _problem(error.messages, data) from None
    return found


def _problem(messages: Any, found: Any) -> Invalid:
    path, name = [], ""
    while isinstance(messages, Mapping):
        name, messages = next(iter(messages.items()))
        if name not in _MARKS or (isinstance(found, Mapping) and name in found):
            path.append(str(name))
            found = _inside(found, name)
    field, expected = ".".join(path) or "body", "a JSON object" if name == "_schema" else str(messages[0])
    if found is _MISSING:
        return Invalid(f"{field}: missing, expected {expected}", details={"field": field})
    return Invalid.field(field, found, expected)


def _inside(found: Any, name: Any) -> Any:
    if isinstance(found, Mapping):
        return found.get(name, _MISSING)
    return found[name] if isinstance(found, list) and isinstance(name, int) else _MISSING
