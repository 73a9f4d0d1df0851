"""One frozen `Config`, read once from flags, files and the environment, and passed down as values."""

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from spear._config_keys import KEYS, Key
from spear._config_kinds import BACKEND, Address, Backend, DatabaseType, Pull, Role, SandboxKind
from spear._config_llm import CHAT, Llm, LlmBackend, LlmCredential
from spear._config_sources import (
    AboutTokens,
    AwsKeys,
    Options,
    Setting,
    aws_keys,
    read_options,
    refused,
    settle,
    shown,
    sms_token,
)
from spear.logs import Format
from spear.ports import Level

__all__ = [
    "CHAT",
    "Address",
    "AwsKeys",
    "Backend",
    "Config",
    "DatabaseType",
    "LlmBackend",
    "Pull",
    "Role",
    "SandboxKind",
    "load",
]


@dataclass(frozen=True, slots=True)
class Tls:
    """Whether a listener encrypts, and with which PEM files."""

    enabled: bool
    cert_path: Path | None
    key_path: Path | None
    client_ca_path: Path | None = None


@dataclass(frozen=True, slots=True)
class Http:
    """Whom HTTP answers, as which host and to pages of which origins, and how much of whom it bears."""

    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    max_connections: int = 800
    max_headers: int = 96
    max_header_bytes: int = 32768
    idle_timeout_s: int = 75
    request_timeout_s: int = 20
    min_bytes_per_s: int = 1024


@dataclass(frozen=True, slots=True)
class Grpc:
    """How much of whom gRPC bears."""

    max_message_bytes: int = 4194304
    max_connections: int = 4096
    max_streams: int = 4096


@dataclass(frozen=True, slots=True)
class Database:
    """What the configuration calls the event log's database; the file itself is `Config.log_path`."""

    db_type: DatabaseType
    path: Path
    pool_size: int


@dataclass(frozen=True, slots=True)
class Log:
    """What is logged, how it looks, and a file besides stderr."""

    level: Level
    format: Format
    file: Path | None
    tasks_dir: Path


@dataclass(frozen=True, slots=True)
class Executions:
    """Limits on running agents: `_ms` milliseconds, `_s` seconds, `_bytes` bytes."""

    max_concurrent: int
    max_concurrent_per_task: int
    queue_limit: int
    max_forwarded: int
    wall_ms: int
    memory_bytes: int
    output_bytes: int
    log_bytes: int
    grace_ms: int
    instance_idle_s: int
    global_environment: dict[str, str]
    runtimes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Processes:
    """What keeps agents that are processes away from the machine, and what they may read of it all the same."""

    sandbox: SandboxKind
    readable: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Containers:
    """The socket of the engine that runs containers, if there is one, and when it fetches images."""

    host: Path | None
    pull: Pull


@dataclass(frozen=True, slots=True)
class Credentials:
    """What is shown to another server: a token or the file that holds it, and PEM files; without a CA nothing is encrypted."""

    token: str = field(default="", repr=False)
    token_path: Path | None = None
    ca_path: Path | None = None
    cert_path: Path | None = None
    key_path: Path | None = None


@dataclass(frozen=True, slots=True)
class Spearlet:
    """How a node finds its SMS and keeps objects; `heartbeat_interval` in seconds."""

    sms_grpc_addr: Address
    sms_http_addr: Address
    sms: Credentials
    auto_register: bool
    advertise_ip: str
    connect: bool
    heartbeat_interval: int
    sms_connect_timeout_ms: int
    sms_connect_retry_ms: int
    reconnect_total_timeout_ms: int
    storage_backend: Backend
    max_cache_size_mb: int
    compression_enabled: bool


@dataclass(frozen=True, slots=True)
class KvStore:
    """The key-value store that the KV_STORE_* variables ask for; `path` is empty for memory."""

    backend: Backend
    path: str
    params: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that one process was told; intervals in seconds."""

    role: Role
    insecure: bool
    about_tokens: AboutTokens | None
    print_config: bool
    node_name: str
    http_addr: Address
    grpc_addr: Address
    web_admin_addr: Address
    bus_addr: Address
    bus_notices_port: int
    bus_max_connections: int
    http_tls: Tls
    grpc_tls: Tls
    grpc: Grpc
    http: Http
    enable_web_admin: bool
    enable_swagger: bool
    cors_enabled: bool
    data_dir: Path
    follow: Address | None
    follow_key: str
    follow_token_path: Path | None
    log_path: Path
    database: Database
    log: Log
    heartbeat_timeout: int
    cleanup_interval: int
    node_removal_after: int
    content_retention: int
    snapshot_every: int
    max_upload_bytes: int
    max_object_size: int
    executions: Executions
    s3_endpoint: str
    aws: AwsKeys
    containers: Containers
    processes: Processes
    nodes: Credentials
    spearlet: Spearlet
    llm: Llm
    kv_store: KvStore
    settings: tuple[Setting, ...]

    def listening(self, *, http_port: int, grpc_port: int) -> "Config":
        """The same, with the ports that were got where any free one was asked for."""
        http, grpc = Address(self.http_addr.host, http_port), Address(self.grpc_addr.host, grpc_port)
        return replace(self, http_addr=http, grpc_addr=grpc)

    @property
    def door(self) -> Path:
        """The local socket of whoever serves the data directory; who may open it, its owner, is an admin."""
        return self.data_dir / "door"

    def setting(self, field: str) -> Setting:
        """The setting that filled `field`, with its TOML name and origin."""
        return next(setting for setting in self.settings if setting.key.field == field)

    def chosen(self) -> str:
        """Every value that is not the default, as TOML with its origin, in one line."""
        settings = [f"{s.key.name} = {shown(s.value)} ({s.origin})" for s in self.settings if s.origin != "default"]
        return ", ".join(settings) or "nothing"

    def explained(self) -> str:
        """Every value that this role reads, as TOML with each origin in a comment."""
        kv = self.kv_store
        head = [f"# role = {self.role}", f"# insecure = {shown(self.insecure)}", f"# log_path = {self.log_path}"]
        head += [f"# log files = {self.log.file}, {self.log.tasks_dir}/<node>/<task>/<execution>.log"]
        head += [f"# kv_store = {kv.backend} {kv.path}".rstrip()]
        head += ["# sms token = not shown, from the environment"] if self.spearlet.sms.token else []
        return "\n".join(head + [f"{s.key.name} = {shown(s.value)}  # {s.origin}" for s in self.settings])


def load(argv: Sequence[str], *, environ: Mapping[str, str], home: Path) -> Config:
    """Read flags, files and environment; raises `StartupError` for the first bad value, SystemExit after --help."""
    options = read_options(argv)
    settings = {setting.key.field: setting for setting in settle(options, environ, home)}
    for listener in ("grpc_tls", "http_tls"):
        _refuse_half_tls(listener, settings)
        _refuse_client_ca_alone(listener, settings)
    for peer in ("spearlet.sms_", "nodes."):
        _refuse_half_credentials(peer, settings)
    token = "" if options.role is Role.SMS else sms_token(environ, settings["spearlet.sms_token_path"])
    aws = aws_keys(environ) if settings["s3_endpoint"].value else AwsKeys()
    return replace(_assembled(options, settings, _kv_store(environ), token, _llm(settings, environ)), aws=aws)


def _assembled(options: Options, settings: Mapping[str, Setting], kv_store: KvStore, token: str, llm: Llm) -> Config:
    sections: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for filled, setting in settings.items():
        section, _, name = filled.rpartition(".")
        sections[section][name] = setting.made
    spearlet = sections["spearlet"]
    shown_to_sms = Credentials(token, *(spearlet.pop(f"sms_{name}_path") for name in ("token", "ca", "cert", "key")))
    wants_sms = settings["spearlet.sms_grpc_addr"].from_flag or settings["spearlet.auto_register"].value is True
    return Config(
        **sections[""],
        role=options.role,
        insecure=options.insecure,
        about_tokens=options.about_tokens,
        print_config=options.print_config,
        log_path=_log_path(options.role, sections[""]["data_dir"], settings["database.path"]),
        grpc_tls=Tls(**sections["grpc_tls"]),
        http_tls=Tls(**sections["http_tls"]),
        http=Http(**sections["http"]),
        grpc=Grpc(**sections["grpc"]),
        database=Database(**sections["database"]),
        log=Log(**sections["log"] | _moved_logs(settings)),
        executions=Executions(**sections["executions"]),
        containers=Containers(**sections["containers"]),
        processes=Processes(**sections["processes"]),
        nodes=Credentials(**sections["nodes"]),
        spearlet=Spearlet(**spearlet, sms=shown_to_sms, connect=wants_sms),
        aws=AwsKeys(),
        llm=llm,
        kv_store=kv_store,
        settings=tuple(setting for setting in settings.values() if setting.key.reads(options.role)),
    )


def _log_path(role: Role, data_dir: Path, database_path: Setting) -> Path:
    if role is Role.SPEARLET:
        return data_dir / "spearlet.db"
    path = Path(str(database_path.value))
    return data_dir / "sms.db" if path == Path(str(database_path.key.default)) else path


def _moved_logs(settings: Mapping[str, Setting]) -> dict[str, Path]:
    data_dir = settings["data_dir"]
    if data_dir.value == data_dir.key.default:
        return {}
    untouched = [s for s in (settings["log.file"], settings["log.tasks_dir"]) if s.value == s.key.default]
    return {s.key.field.rpartition(".")[2]: Path(str(data_dir.value)) / str(s.value) for s in untouched}


def _refuse_half_tls(listener: str, settings: Mapping[str, Setting]) -> None:
    enabled, cert, key = (settings[f"{listener}.{name}"] for name in ("enabled", "cert_path", "key_path"))
    if enabled.value and not (cert.value and key.value):
        raise enabled.refused("false, or cert_path and key_path as well")


def _refuse_client_ca_alone(listener: str, settings: Mapping[str, Setting]) -> None:
    client_ca, enabled = settings[f"{listener}.client_ca_path"], settings[f"{listener}.enabled"]
    if client_ca.value and not enabled.value:
        raise client_ca.refused(f"nothing, or {enabled.key.name} as well")


def _refuse_half_credentials(peer: str, settings: Mapping[str, Setting]) -> None:
    names = [f"{peer}{name}_path" for name in ("ca", "cert", "key")]
    ca, cert, key = (settings[name] for name in names)
    if bool(cert.value) != bool(key.value) or (cert.value and not ca.value):
        raise (cert if cert.value else key).refused("nothing, or {}, {} and {} together".format(*names))


def _llm(settings: Mapping[str, Setting], environ: Mapping[str, str]) -> Llm:
    credentials, backends = (settings[f"llm.{name}"] for name in ("credentials", "backends"))
    known = cast(tuple[LlmCredential, ...], credentials.made)
    wanted = cast(tuple[LlmBackend, ...], backends.made)
    for number, backend in enumerate(wanted):
        if backend.credential_ref not in ("", *(one.name for one in known)):
            name = f"{backends.key.name}.{number}.credential_ref"
            raise refused(backends.origin, name, backend.credential_ref, expected=f"a name of {credentials.key.name}")
    return Llm(known, wanted, {one.name: environ.get(one.api_key_env, "") for one in known})


def _kv_store(environ: Mapping[str, str]) -> KvStore:
    prefix = "KV_STORE_"
    given = {name.removeprefix(prefix).lower(): text for name, text in environ.items() if name.startswith(prefix)}
    backend, path = given.pop("backend", "memory"), given.pop("path", "")
    try:
        return KvStore(Backend(backend), path, MappingProxyType(given))
    except ValueError:
        raise refused("environment", "KV_STORE_BACKEND", backend, expected=BACKEND.expected) from None


def toml() -> str:
    """The shipped config.toml: every key with its default and its meaning."""
    lines = ["# Every key of SPEAR with its default; what each role reads is in docs/configuration.md."]
    for table, keys in groupby(KEYS, key=lambda key: key.name.rpartition(".")[0]):
        lines += ["", f"[{table}]"] if table else [""]
        lines += [_toml_line(key) for key in keys]
    return "\n".join(lines) + "\n"


def _toml_line(key: Key) -> str:
    line = f"{key.name.rpartition('.')[2]} = {shown(key.default)}  # {key.meaning}"
    if isinstance(key.default, list):
        return f"# {line}"  # so that tables of that name can be written
    return line if key.in_all is None else f"# {line} Role all: {shown(key.in_all)}."


def markdown() -> str:
    """The table of docs/configuration.md: every key with each way to set it."""
    rows = ["| Key | Default | Environment | Flag | Meaning |", "|---|---|---|---|---|"]
    return "\n".join(rows + [_markdown_row(key) for key in KEYS]) + "\n"


def _markdown_row(key: Key) -> str:
    default = f"`{shown(key.default)}`" + (f", role all: `{shown(key.in_all)}`" if key.in_all is not None else "")
    env, flags = (", ".join(f"`{name}`" for name in names.split()) for names in (key.env, key.flags))
    return f"| `{key.name}` | {default} | {env} | {flags} | {key.meaning} |"


if __name__ == "__main__":
    _SHOWN = {"toml": toml, "markdown": markdown}
    if len(sys.argv) != 2 or sys.argv[1] not in _SHOWN:
        sys.exit("usage: python -m spear.config toml|markdown")
    sys.stdout.write(_SHOWN[sys.argv[1]]())
