"""Where values come from: the command line, TOML files, the environment, defaults; each layer keyed by TOML name."""

import argparse
import json
import tomllib
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Any, NoReturn, cast

from spear import __version__
from spear._config_keys import KEYS, Key, canonical, keys_for
from spear._config_kinds import BOOL, Role, Table, Value
from spear.domain.secret import is_secret
from spear.domain.token import TokenRole
from spear.errors import Invalid, StartupError

TOKEN_VARIABLE = "SPEARLET_SMS_TOKEN"
DESCRIPTION = """Run SPEAR as SMS, as SPEARlet or as both. Of every key the highest source counts: flag, --config file,
home file (~/.sms/config.toml, for role spearlet ~/.spear/config.toml), environment, default. After each option, in
brackets: its TOML key, default and environment variable, first for roles sms and all, then for role spearlet."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One value that counts: as written, as the program uses it, and where it came from."""

    key: Key
    value: Value
    made: object
    origin: str

    def refused(self, expected: str) -> StartupError:
        """The error for a value that its kind accepts but its surroundings do not."""
        return refused(self.origin, self.key.name, self.value, expected=expected)

    @property
    def from_flag(self) -> bool:
        """Whether somebody gave it on the command line."""
        return self.origin.startswith("flag ")


@dataclass(frozen=True, slots=True)
class AboutTokens:
    """What the command line asks about tokens instead of serving: a new one, a list, an end to one."""

    new: str | None
    role: str
    revoke: str | None


@dataclass(frozen=True, slots=True)
class Options:
    """The command line as it was read: `given` maps a field to the flag and its text."""

    role: Role
    about_tokens: AboutTokens | None
    config: Path | None
    print_config: bool
    insecure: bool
    given: Mapping[str, tuple[str, str]]


def settle(options: Options, environ: Mapping[str, str], home: Path) -> list[Setting]:
    """One setting for each field; raises `StartupError` for the first bad value in any source."""
    role = options.role
    home_file = home / (".spear" if role is Role.SPEARLET else ".sms") / "config.toml"
    defaults = {key.name: _setting(key, key.default_in(role), origin="default") for key in keys_for(role)}
    layers = ChainMap[str, Setting](
        _from_flags(options),
        _from_file(options.config, origin="--config file") if options.config else {},
        _from_file(home_file, origin="home file", optional=True),
        _from_environ(environ, role),
        defaults,
    )
    return [(layers if key.reads(role) else defaults)[key.name] for key in keys_for(role)]


@dataclass(frozen=True, slots=True)
class AwsKeys:
    """As whom buckets are read; no keys means as anybody."""

    access_key_id: str = ""
    secret_access_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    region: str = "us-east-1"


def aws_keys(environ: Mapping[str, str]) -> AwsKeys:
    """The keys in the standard variables; raises `StartupError` for half of a pair or for what no header can hold."""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    ident, secret, session = (environ.get(name, "") for name in names)
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or AwsKeys().region
    whole = f"{ident}{secret}{session}{region}"
    if bool(ident) != bool(secret) or not whole.isascii() or not whole.isprintable():
        raise StartupError("environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: expected both, printable ASCII")
    return AwsKeys(ident, secret, session, region)


def sms_token(environ: Mapping[str, str], path: Setting) -> str:
    """The token for the SMS in the environment, "" for none; refused beside a file of its own."""
    given = environ.get(TOKEN_VARIABLE, "")
    if given and path.value:
        raise path.refused(f"it or the environment's {TOKEN_VARIABLE}, not both")
    return given


def refused(origin: str, name: str, value: object, *, expected: str) -> StartupError:
    """The one message for a bad value: where it came from, what it is, and what was expected."""
    return StartupError(f"{origin}: {Invalid.field(name, value, expected).message}")


def _setting(key: Key, value: Value, *, origin: str) -> Setting:
    try:
        if type(value) is not key.kind.type:
            raise ValueError(value)
        return Setting(key, value, key.kind.make(value), origin)
    except Invalid as error:
        raise StartupError(f"{origin}: {error.message}") from None
    except ValueError:
        raise refused(origin, key.name, value, expected=key.kind.expected) from None


def _setting_from_text(key: Key, text: str, *, origin: str) -> Setting:
    value: Value = text
    if key.kind is BOOL:
        value = {"true": True, "false": False}.get(text, text)
    elif key.kind.type is int:
        value = int(text) if text.removeprefix("-").isdecimal() and len(text) < 20 else text
    elif key.kind.type is list:
        value = _tables(key, text, origin=origin)
    return _setting(key, value, origin=origin)


def _tables(key: Key, text: str, *, origin: str) -> list[Table]:
    try:
        return cast(list[Table], json.loads(text))
    except (ValueError, RecursionError):
        raise StartupError(f"{origin}: {key.name}: expected a list of tables, as JSON") from None


def _from_flags(options: Options) -> dict[str, Setting]:
    layer = {}
    for key in keys_for(options.role):
        flag, text = options.given.get(key.field, ("", ""))
        if flag and not key.reads(options.role):
            raise refused(f"flag {flag}", "role", options.role.value, expected=f"a role that reads {key.name}")
        if flag:
            layer[key.name] = _setting_from_text(key, text, origin=f"flag {flag}")
    return layer


def _from_environ(environ: Mapping[str, str], role: Role) -> dict[str, Setting]:
    return {
        key.name: _setting_from_text(key, environ[given], origin=f"environment {given}")
        for key in keys_for(role)
        if key.reads(role) and (given := next((name for name in key.variables(role) if name in environ), ""))
    }


def _from_file(path: Path, *, origin: str, optional: bool = False) -> dict[str, Setting]:
    known = {key.name: key for key in KEYS}
    origin, layer = f"{origin} {path}", dict[str, Setting]()
    for written, value in _flat(_table(path, origin=origin, optional=optional)):
        name = canonical(written)
        if name not in known:
            near = next(iter(get_close_matches(written, known, n=1)), "a key of docs/configuration.md")
            told = "what is not repeated here" if is_secret(written) else value
            raise refused(origin, f"unknown key {written}", told, expected=near)
        if name in layer:
            raise refused(origin, written, value, expected=f"{name} only once")
        layer[name] = _setting(known[name], value, origin=origin)
    return layer


def _table(path: Path, *, origin: str, optional: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if optional:
            return {}
        raise StartupError(f"{origin}: no such file, expected a TOML file") from None
    except OSError as error:
        raise StartupError(f"{origin}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise StartupError(f"{origin}: expected TOML: {error}") from None


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise StartupError(f"command line: {message}; --help explains every option")


class _Keep(argparse.Action):
    """Keeps the flag as it was spelled, with its text."""

    def __call__(
        self, _: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        setattr(namespace, self.dest, (option_string, self.const or values))


class _Usage(argparse.Action):
    """Prints the usage alone and exits 0."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        parser.print_usage()
        parser.exit()


def read_options(argv: Sequence[str]) -> Options:
    """Read the command line; raises `StartupError`; answers -h, --help and --version itself and raises SystemExit."""
    found = vars(parser().parse_args(argv))
    config, print_config, insecure = (found.pop(name) for name in ("config", "print_config", "insecure"))
    role, about = _role_and_tokens(*(found.pop(name) for name in ("role", "new_token", "list_tokens", "revoke_token")))
    given = {field: flag_and_text for field, flag_and_text in found.items() if flag_and_text}
    return Options(role, about, config=config, print_config=print_config, insecure=insecure, given=given)


def _role_and_tokens(
    role: str | None, new: str | None, listed: bool, revoke: str | None
) -> tuple[Role, AboutTokens | None]:
    """What the process is, and what it is asked about tokens; `--role` speaks of the new token where there is one."""
    if new is None and not listed and revoke is None:
        return Role(_role(role or Role.ALL, Role)), None
    if new is None and role is not None:
        raise StartupError("command line: argument --role: not allowed with --list-tokens or --revoke-token")
    return Role.ALL, AboutTokens(new, "" if new is None else _role(role, TokenRole), revoke)


def _role(given: str | None, words: type[StrEnum]) -> str:
    if given not in set(words):
        with_token = " with --new-token" if words is TokenRole else ""
        raise StartupError(
            f"command line: argument --role: got {given!r}, expected one of {', '.join(words)}{with_token}"
        )
    return given


def parser() -> argparse.ArgumentParser:
    """The command line of `spear_server.py`."""
    made = _Parser(prog="spear_server.py", description=DESCRIPTION, add_help=False, allow_abbrev=False)
    made.add_argument("-h", action=_Usage, nargs=0, default=argparse.SUPPRESS, help="Show the usage in short and exit.")
    made.add_argument("--help", action="help", default=argparse.SUPPRESS, help="Show this explanation and exit.")
    made.add_argument(
        "-V", "--version", action="version", version=f"spear {__version__}", help="Show the version and exit."
    )
    made.add_argument(
        "--role",
        metavar="{" + ",".join(Role) + "}",
        help="What this process does; default all. With --new-token, what its holder may do: "
        + ", ".join(TokenRole)
        + ".",
    )
    made.add_argument("-c", "--config", metavar="FILE", type=Path, help="A TOML file that outranks the home file.")
    tokens = made.add_mutually_exclusive_group()
    tokens.add_argument(
        "--new-token", metavar="NAME", help="Issue a token, print it this once, and exit; needs --role."
    )
    tokens.add_argument("--list-tokens", action="store_true", help="Print who has a token, and exit.")
    tokens.add_argument("--revoke-token", metavar="NAME", help="End a token and exit.")
    made.add_argument("--print-config", action="store_true", help="Print every value and where it came from, and exit.")
    made.add_argument(
        "--insecure", action="store_true", help="Serve anybody who can reach an address that is not loopback."
    )
    for filled in dict.fromkeys(key.field for key in KEYS if key.flags):
        _add_field(made, [key for key in KEYS if key.field == filled])
    return made


def _add_field(made: argparse.ArgumentParser, keys: Sequence[Key]) -> None:
    key, explained = keys[0], _explained(keys)
    if key.kind is not BOOL:
        made.add_argument(*key.flags.split(), dest=key.field, action=_Keep, metavar=key.kind.metavar, help=explained)
        return
    group, flags = made.add_mutually_exclusive_group(), key.flags.split()
    words = (explained, f"The opposite of {flags[0]}.")
    for flag, text, meaning in zip(flags, ("true", "false"), words, strict=False):
        group.add_argument(flag, dest=key.field, action=_Keep, nargs=0, const=text, help=meaning)


def _explained(keys: Sequence[Key]) -> str:
    ways = [f"{key.name} = {shown(key.default)}, {key.env}" for key in keys]
    return f"{keys[0].meaning} [{'; '.join(ways)}]"


def shown(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, list):
        return f"[{', '.join(map(shown, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(name)} = {shown(one)}' for name, one in value.items())}}}"
    return json.dumps(value, ensure_ascii=False)
