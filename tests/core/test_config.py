"""One frozen configuration from flags, files, the environment and defaults; every bad value stops the start."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spear import __version__
from spear._config_keys import KEYS, Key, keys_for
from spear._config_kinds import Value
from spear._config_sources import parser, shown
from spear.adapters.credentials import token_of
from spear.config import Address, Backend, Config, Credentials, Role, load, markdown, toml
from spear.errors import StartupError
from spear.logs import Format
from spear.ports import Level

ROOT = Path(__file__).parents[2]
NOBODY = Path("/nonexistent")
Write: TypeAlias = Callable[..., Path]

every_role = pytest.mark.parametrize("role", list(Role))


def told(*argv: str, environ: Mapping[str, str] | None = None, home: Path = NOBODY) -> Config:
    """Load with nothing but what the test says."""
    return load(argv, environ=environ or {}, home=home)


def refused(*argv: str, environ: Mapping[str, str] | None = None, home: Path = NOBODY) -> str:
    """The one line of the error that loading must end with."""
    with pytest.raises(StartupError) as caught:
        told(*argv, environ=environ, home=home)
    assert "\n" not in caught.value.message
    return caught.value.message


def other(key: Key) -> Value:
    """A good value that is not the default."""
    if key.name == "spearlet.llm.credentials":
        return [{"name": "c", "api_key_env": "NO_SUCH_KEY"}]
    if key.name == "spearlet.llm.backends":
        return [{"name": "b", "kind": "k", "base_url": "http://localhost/v1", "hosting": "local", "ops": []}]
    if isinstance(key.default, bool):
        return not key.default
    if isinstance(key.default, int):
        return key.default + 1
    texts = {
        "ADDR": "localhost:1",
        "PATH": "elsewhere",
        "LEVEL": "error",
        "FORMAT": "compact",
        "TEXT": "n",
        "NAMES": "n",
        "VARIABLES": "A=1",
        "PATHS": "/opt/agents",
        "TYPES": "wasm",
        "KIND": "none",
        "BUS": "tcp://localhost:1",
        "URL": "http://localhost:1",
    }
    texts["ORIGINS"] = "https://n"
    texts["SOCKET"] = "unix:///n"
    texts["WHEN"] = "missing"
    return texts.get(key.kind.metavar) or ("sqlite" if key.name == "database.db_type" else "rocksdb")


def values(config: Config) -> dict[str, Value]:
    """What the role reads, by TOML name."""
    return {setting.key.name: setting.value for setting in config.settings}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a TOML file below a temporary home."""

    def write(text: str, *, name: str = "given.toml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_without_any_source_both_roles_run_on_loopback() -> None:
    config = told()
    assert config.role is Role.ALL
    assert (str(config.grpc_addr), str(config.http_addr)) == ("127.0.0.1:50051", "127.0.0.1:8080")
    assert (config.heartbeat_timeout, config.cleanup_interval, config.node_removal_after) == (120, 300, 0)
    assert config.max_upload_bytes == config.max_object_size == 67108864
    assert (config.log.level, config.log.format, config.log.file) == (Level.INFO, Format.JSON, Path("logs/sms.log"))
    assert {setting.origin for setting in config.settings} == {"default"}


def test_a_spearlet_has_its_own_defaults() -> None:
    config = told("--role", "spearlet")
    assert (str(config.grpc_addr), str(config.http_addr)) == ("127.0.0.1:50052", "127.0.0.1:8081")
    assert (config.data_dir, config.log.format) == (Path("data/spearlet"), Format.PRETTY)


def test_default_log_files_move_with_the_data_directory_and_chosen_ones_stay() -> None:
    moved = told("--data-dir", "/srv/spear").log
    assert (moved.file, moved.tasks_dir) == (Path("/srv/spear/logs/sms.log"), Path("/srv/spear/logs/tasks"))
    assert told("--data-dir", "/srv/spear", "--log-file", "here.log").log.file == Path("here.log")
    assert told("--data-dir", "/srv/spear", "--log-file", "").log.file is None
    assert told("--role", "spearlet").log.file == Path("logs/spearlet.log")


def test_an_sms_and_a_spearlet_share_a_machine_by_default() -> None:
    sms, spearlet = told("--role", "sms"), told("--role", "spearlet")
    assert not {sms.grpc_addr, sms.http_addr, sms.bus_addr} & {
        spearlet.grpc_addr,
        spearlet.http_addr,
        spearlet.bus_addr,
    }
    assert sms.log_path != spearlet.log_path


def test_each_key_takes_its_highest_source(write: Write, tmp_path: Path) -> None:
    write("heartbeat_timeout = 2\ncleanup_interval = 2\nmax_upload_bytes = 2", name=".sms/config.toml")
    file = write("heartbeat_timeout = 3\ncleanup_interval = 3")
    names = ("SMS_HEARTBEAT_TIMEOUT", "SMS_CLEANUP_INTERVAL", "SMS_MAX_UPLOAD_BYTES", "SMS_NODE_REMOVAL_AFTER")
    config = told("--heartbeat-timeout", "4", "--config", str(file), environ=dict.fromkeys(names, "1"), home=tmp_path)
    found = {s.key.name: (s.value, s.origin) for s in config.settings}
    assert found["heartbeat_timeout"] == (4, "flag --heartbeat-timeout")
    assert found["cleanup_interval"] == (3, f"--config file {file}")
    assert found["max_upload_bytes"] == (2, f"home file {tmp_path}/.sms/config.toml")
    assert found["node_removal_after"] == (1, "environment SMS_NODE_REMOVAL_AFTER")
    assert found["database.pool_size"] == (10, "default")


@pytest.mark.parametrize(
    ("given", "read"), [("POD_IP", "pod"), ("SPEARLET_ADVERTISE_IP", "own"), ("POD_IP SPEARLET_ADVERTISE_IP", "own")]
)
def test_a_node_is_told_its_address_by_its_own_variable_or_by_kubernetes(given: str, read: str) -> None:
    texts = {"POD_IP": "pod", "SPEARLET_ADVERTISE_IP": "own"}
    environ = {name: texts[name] for name in given.split()}
    assert told("--role", "spearlet", environ=environ).spearlet.advertise_ip == read


@pytest.mark.parametrize(("role", "folder"), [("sms", ".sms"), ("all", ".sms"), ("spearlet", ".spear")])
def test_each_role_reads_its_own_home_file(write: Write, tmp_path: Path, role: str, folder: str) -> None:
    for wall_ms, name in enumerate((".sms", ".spear"), start=1):
        write(f"[executions]\nwall_ms = {wall_ms}", name=f"{name}/config.toml")
    assert told("--role", role, home=tmp_path).executions.wall_ms == (2 if folder == ".spear" else 1)


@every_role
def test_every_key_can_be_set_in_a_file(write: Write, role: Role) -> None:
    file = write("\n".join(f"{key.name} = {shown(other(key))}" for key in KEYS))
    config = told("--role", role, "-c", str(file))
    assert values(config) == {key.name: other(key) for key in keys_for(role) if key.reads(role)}


@every_role
def test_every_key_can_be_set_in_the_environment(role: Role) -> None:
    texts = [(key, json.dumps(value) if isinstance(value := other(key), list) else str(value)) for key in KEYS]
    environ = {name: text for key, text in texts for name in key.env.split()}
    environ = {name: text.lower() if text in ("True", "False") else text for name, text in environ.items()}
    config = told("--role", role, environ=environ)
    assert values(config) == {key.name: other(key) for key in keys_for(role) if key.reads(role)}


@every_role
def test_every_flag_sets_the_key_that_the_role_reads(role: Role) -> None:
    for key in (key for key in keys_for(role) if key.flags and key.reads(role)):
        for flag in key.flags.split():
            value: Value = not flag.startswith("--disable") if isinstance(key.default, bool) else other(key)
            argv = [flag] if isinstance(value, bool) else [flag, str(value)]
            setting = told("--role", role, *argv).setting(key.field)
            assert (setting.key.name, setting.value, setting.origin) == (key.name, value, f"flag {flag}")


@pytest.mark.parametrize(("role", "variable"), [("sms", "SPEARLET_AUTO_REGISTER"), ("spearlet", "SMS_DB_POOL_SIZE")])
def test_a_role_ignores_the_other_roles_variables(role: str, variable: str) -> None:
    assert told("--role", role, environ={variable: "x"}).settings == told("--role", role).settings


def test_role_all_takes_a_spearlets_own_keys_from_its_variables_and_shares_the_sms_ports() -> None:
    config = told(environ={"SPEARLET_NODE_NAME": "n1", "SPEARLET_GRPC_ADDR": "localhost:1"})
    assert (config.node_name, str(config.grpc_addr)) == ("n1", "127.0.0.1:50051")


def test_unknown_variables_are_ignored() -> None:
    assert told(environ={"SMS_NO_SUCH_KEY": "1", "SPEARLET_LLM": "x"}).settings == told().settings


@pytest.mark.parametrize("role", ["sms", "spearlet"])
def test_a_flag_that_the_role_does_not_read_is_refused(role: str) -> None:
    flag = "--node-name" if role == "sms" else "--web-admin-addr"
    assert f"flag {flag}: role: got '{role}', expected a role that reads " in refused("--role", role, flag, "x")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("grpc.addr = 5", "grpc.addr: got 5, expected host:port such as 127.0.0.1:8080"),
        ('grpc.addr = "nowhere"', "grpc.addr: got 'nowhere', expected host:port"),
        ('heartbeat_timeout = "120"', "heartbeat_timeout: got '120', expected a whole number from 1"),
        ("heartbeat_timeout = true", "heartbeat_timeout: got True, expected a whole number"),
        ("heartbeat_timeout = 1.5", "heartbeat_timeout: got 1.5, expected a whole number"),
        ("heartbeat_timeout = -1", "heartbeat_timeout: got -1, expected a whole number"),
        ("heartbeat_timeout = 0", "heartbeat_timeout: got 0, expected a whole number"),
        ("enable_swagger = 1", "enable_swagger: got 1, expected true or false"),
        ('log.level = "loud"', "log.level: got 'loud', expected one of trace, debug, info, warn, error"),
        ('database.db_type = "postgres"', "database.db_type: got 'postgres', expected one of sled, sqlite"),
        ('data_dir = ""', "data_dir: got '', expected a path"),
        ('spearlet.grpc.addr = ""', "spearlet.grpc.addr: got '', expected host:port"),
        ("heartbeat_timout = 5", "unknown key heartbeat_timout: got 5, expected heartbeat_timeout"),
        ("qqq = 5", "unknown key qqq: got 5, expected a key of docs/configuration.md"),
        ("grpc = 5", "unknown key grpc: got 5"),
        ('log.level = "info"\nlogging.level = "warn"', "logging.level: got 'warn', expected log.level only once"),
        ("this is no TOML", "expected TOML: "),
        ('[http]\nenable_tls = true\ncert_path = "c"', "http.enable_tls: got True, expected false, or cert_path and"),
        ("http.enable_tls = true", "http.enable_tls: got True, expected false, or cert_path and key_path as well"),
    ],
)
@pytest.mark.parametrize("name", ["given.toml", ".sms/config.toml"])
def test_a_bad_file_is_refused_with_its_name_and_key(
    write: Write, tmp_path: Path, name: str, text: str, complaint: str
) -> None:
    file = write(text, name=name)
    argv = ["-c", str(file)] if name == "given.toml" else []
    message = refused(*argv, home=tmp_path)
    assert f"file {file}: {complaint}" in message


def test_a_missing_config_file_is_refused_and_a_missing_home_file_is_fine(tmp_path: Path) -> None:
    assert (
        refused("--config", f"{tmp_path}/none.toml")
        == f"--config file {tmp_path}/none.toml: no such file, expected a TOML file"
    )
    assert told(home=tmp_path).settings == told().settings


def test_a_config_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    assert refused("--config", str(tmp_path)) == f"--config file {tmp_path}: cannot be read: Is a directory"


@pytest.mark.parametrize(
    ("variable", "text", "complaint"),
    [
        ("SMS_GRPC_ADDR", "x", "grpc.addr: got 'x', expected host:port"),
        ("SMS_ENABLE_SWAGGER", "yes", "enable_swagger: got 'yes', expected true or false"),
        ("SMS_CLEANUP_INTERVAL", "5s", "cleanup_interval: got '5s', expected a whole number"),
        (
            "SPEARLET_STORAGE_BACKEND",
            "etcd",
            "spearlet.storage.backend: got 'etcd', expected one of memory, sled, rocksdb",
        ),
        ("SMS_GRPC_ENABLE_TLS", "true", "grpc.enable_tls: got True, expected false, or cert_path and key_path"),
    ],
)
def test_a_bad_variable_is_refused_with_its_name(variable: str, text: str, complaint: str) -> None:
    assert f"environment {variable}: {complaint}" in refused(environ={variable: text})


def test_a_bad_variable_is_refused_although_a_flag_outranks_it() -> None:
    assert "SMS_GRPC_ADDR" in refused("--grpc-addr", "localhost:1", environ={"SMS_GRPC_ADDR": "x"})


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["--grpc-addr", "x"], "flag --grpc-addr: grpc.addr: got 'x', expected host:port"),
        (["--cleanup-interval", "-5"], "flag --cleanup-interval: cleanup_interval: got -5, expected a whole number"),
        (["--cleanup-interval", "9" * 5000], "expected a whole number"),
        (["--role", "king"], "command line: argument --role: got 'king', expected one of sms, spearlet, all"),
        (["--grpc"], "command line: unrecognized arguments: --grpc"),
        (["--http-addr"], "command line: argument --http-addr: expected one argument"),
        (["--enable-swagger", "--disable-swagger"], "not allowed with argument --enable-swagger"),
    ],
)
def test_a_bad_command_line_is_refused_with_the_flag(argv: list[str], complaint: str) -> None:
    assert complaint in refused(*argv)


@pytest.mark.parametrize("address", ["127.0.0.1:0", "127.8.9.1:1", "localhost:1", "[::1]:1"])
def test_a_loopback_address_needs_no_leave(address: str) -> None:
    assert str(told("--http-addr", address).http_addr) == address


def test_the_web_admins_address_does_not_matter_while_it_is_off() -> None:
    assert not told("--disable-web-admin", "--web-admin-addr", "0.0.0.0:1").enable_web_admin


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["--new-token", "a"], "--role: got None, expected one of admin, operator, node, client with --new-token"),
        (["--new-token", "a", "--role", "sms"], "--role: got 'sms', expected one of admin, operator, node, client"),
        (["--role", "admin"], "--role: got 'admin', expected one of sms, spearlet, all"),
        (["--list-tokens", "--role", "sms"], "--role: not allowed with --list-tokens or --revoke-token"),
        (["--list-tokens", "--new-token", "a"], "argument --new-token: not allowed with argument --list-tokens"),
    ],
)
def test_the_role_of_a_token_and_the_role_of_a_process_are_not_mixed_up(argv: list[str], complaint: str) -> None:
    assert complaint in refused(*argv)


def test_a_command_line_about_tokens_says_what_is_asked() -> None:
    asked = told("--new-token", "a", "--role", "node", "--data-dir", "/x").about_tokens
    assert asked is not None
    assert (asked.new, asked.role, asked.revoke) == ("a", "node", None)
    assert told("--role", "sms").about_tokens is None


def test_names_and_origins_are_lists_separated_by_commas() -> None:
    http = told(environ={"SMS_HTTP_HOSTS": "A.example, b", "SMS_HTTP_ORIGINS": "https://A.example,"}).http
    assert (http.hosts, http.origins) == (("a.example", "b"), ("https://a.example",))
    assert "http.origins: got 'a.example'" in refused(environ={"SMS_HTTP_ORIGINS": "a.example"})
    assert "http.hosts: got 'http://a'" in refused(environ={"SMS_HTTP_HOSTS": "http://a"})


@pytest.mark.parametrize(
    ("role", "door"), [("sms", "http"), ("sms", "grpc"), ("spearlet", "grpc"), ("spearlet", "http")]
)
def test_a_client_ca_without_tls_is_refused(role: str, door: str) -> None:
    environ = {f"{role.upper()}_{door.upper()}_TLS_CLIENT_CA_PATH": "ca.pem"}
    assert f"{door}.client_ca_path: got 'ca.pem'" in refused("--role", role, environ=environ)


@pytest.mark.parametrize("given", ["CA CERT", "CA KEY", "CERT KEY"])
@pytest.mark.parametrize("peer", ["spearlet.sms_", "nodes."])
def test_a_certificate_for_another_server_needs_its_key_and_a_ca(peer: str, given: str) -> None:
    stem = {"spearlet.sms_": "SPEARLET_SMS", "nodes.": "SPEARLET_NODES"}[peer]
    told_of = refused("--role", "spearlet", environ={f"{stem}_{name}_PATH": "x" for name in given.split()})
    assert f"expected nothing, or {peer}ca_path, {peer}cert_path and {peer}key_path together" in told_of


def test_the_token_for_the_sms_comes_from_a_file_or_from_the_environment_and_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("spear_secret\n")
    for environ in ({"SPEARLET_SMS_TOKEN_PATH": str(tmp_path / "token")}, {"SPEARLET_SMS_TOKEN": "spear_secret"}):
        config = told("--role", "spearlet", environ=environ)
        assert token_of(config.spearlet.sms, "spearlet.sms_") == "spear_secret"
        assert "spear_secret" not in repr(config) + config.explained()
    assert told("--role", "sms", environ={"SPEARLET_SMS_TOKEN": "spear_secret"}).spearlet.sms.token == ""


@pytest.mark.parametrize("text", [b"spear_a spear_b", b"", "spear_é".encode(), b"x" * 5000, b"spear_\0"])
def test_a_token_for_the_sms_that_is_none_is_refused_and_not_repeated(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "token").write_bytes(text)
    with pytest.raises(StartupError, match="spearlet.sms_token_path: .* expected one token") as caught:
        token_of(Credentials(token_path=tmp_path / "token"), "spearlet.sms_")
    assert "spear_" not in caught.value.message


def test_a_token_for_the_sms_from_two_places_is_refused(tmp_path: Path) -> None:
    environ = {"SPEARLET_SMS_TOKEN_PATH": str(tmp_path / "token"), "SPEARLET_SMS_TOKEN": "spear_secret"}
    message = refused("--role", "spearlet", environ=environ)
    assert "not both" in message and "spear_secret" not in message


@given(st.text(max_size=30))
def test_an_address_is_refused_or_says_itself_again(text: str) -> None:
    try:
        address = Address.parse(text)
    except ValueError:
        return
    assert Address.parse(str(address)) == address
    assert 0 <= address.port <= 65535


@pytest.mark.parametrize("text", ["a:65536", ":1", "a:", "a b:1", "::1:1", "http://a:1", "a:1\n", "a:١"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Address.parse(text)


def test_the_web_admin_is_on_in_role_all_only_unless_somebody_says_otherwise() -> None:
    assert [told("--role", role).enable_web_admin for role in ("sms", "spearlet", "all")] == [False, False, True]
    assert told("--role", "sms", "--enable-web-admin").enable_web_admin
    assert not told(environ={"SMS_ENABLE_WEB_ADMIN": "false"}).enable_web_admin


def test_the_documented_spellings_mean_the_same_key(write: Write) -> None:
    file = write('http.enable_swagger = false\nlogging.level = "warn"\nspearlet.log.level = "error"')
    config = told("-c", str(file))
    assert (config.enable_swagger, config.log.level) == (False, Level.WARN)
    assert told("--role", "spearlet", "-c", str(file)).log.level is Level.ERROR


@pytest.mark.parametrize(
    ("argv", "path"),
    [
        ([], "data/sms.db"),
        (["--data-dir", "/x"], "/x/sms.db"),
        (["--role", "spearlet"], "data/spearlet/spearlet.db"),
        (["--role", "spearlet", "--data-dir", "/x"], "/x/spearlet.db"),
    ],
)
@pytest.mark.parametrize("shipped", [[], ["--config", str(ROOT / "config.toml")]])
def test_the_log_lies_in_the_data_directory(argv: list[str], path: str, shipped: list[str]) -> None:
    assert told(*argv, *shipped).log_path == Path(path)


def test_a_database_path_of_its_own_stays_where_it_is() -> None:
    environ = {"SMS_DB_PATH": "/y/events.db"}
    assert told("--data-dir", "/x", environ=environ).log_path == Path("/y/events.db")
    assert told("--data-dir", "/x", "--role", "spearlet", environ=environ).log_path == Path("/x/spearlet.db")


def test_a_spearlet_connects_when_told_an_sms_by_flag_or_to_register() -> None:
    connects = [
        told("--role", "spearlet", *argv).spearlet.connect
        for argv in ([], ["--sms-addr", "127.0.0.1:50051"], ["--sms-grpc-addr", "a:1"], ["--auto-register"])
    ]
    assert connects == [False, True, True, True]
    assert not told("--role", "spearlet", environ={"SPEARLET_SMS_GRPC_ADDR": "a:1"}).spearlet.connect


def test_the_key_value_store_comes_from_its_variables() -> None:
    environ = {
        "KV_STORE_BACKEND": "sled",
        "KV_STORE_PATH": "/kv",
        "KV_STORE_CACHE_SIZE": "5000",
        "KV_STORE_DEBUG": "true",
    }
    store = told(environ=environ).kv_store
    assert (store.backend, store.path, dict(store.params)) == (
        Backend.SLED,
        "/kv",
        {"cache_size": "5000", "debug": "true"},
    )
    assert told().kv_store.backend is Backend.MEMORY


BUCKETS = {"SMS_ARTIFACTS_S3_ENDPOINT": "https://127.0.0.1:9000/"}


def test_who_reads_buckets_comes_from_the_standard_variables_and_no_secret_is_shown() -> None:
    keys = {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "hidden-1", "AWS_SESSION_TOKEN": "hidden-2"}
    config = told(environ={**BUCKETS, **keys, "AWS_REGION": "eu-west-1"})
    assert (config.s3_endpoint, config.aws.access_key_id) == ("https://127.0.0.1:9000", "me")
    assert (config.aws.secret_access_key, config.aws.session_token) == ("hidden-1", "hidden-2")
    assert config.aws.region == "eu-west-1"
    assert "hidden" not in repr(config) + config.explained() + config.chosen()
    assert told(environ={**BUCKETS, "AWS_DEFAULT_REGION": "x"}).aws.region == "x"
    assert (told(environ=BUCKETS).aws.region, told(environ=BUCKETS).aws.access_key_id) == ("us-east-1", "")


@pytest.mark.parametrize("keys", [{"ACCESS_KEY_ID": "me"}, {"SECRET_ACCESS_KEY": "s"}, {"SESSION_TOKEN": "a\nb"}])
def test_half_a_pair_of_keys_is_refused_where_buckets_are_read(keys: dict[str, str]) -> None:
    environ = {f"AWS_{name}": text for name, text in keys.items()}
    assert "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: expected both" in refused(environ=environ | BUCKETS)
    assert told(environ=environ).aws.access_key_id == ""


@pytest.mark.parametrize("text", ["s3.example", "ftp://a", "http://", "http://a:70000", "http://a/b", "http://a b"])
def test_an_endpoint_of_buckets_is_an_http_origin(text: str) -> None:
    assert "expected an origin such as" in refused(environ={"SMS_ARTIFACTS_S3_ENDPOINT": text})


def test_an_unknown_key_value_store_is_refused() -> None:
    message = "environment: KV_STORE_BACKEND: got 'etcd', expected one of memory, sled, rocksdb"
    assert refused(environ={"KV_STORE_BACKEND": "etcd"}) == message


def test_the_configuration_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        told().node_name = "x"  # type: ignore[misc]


@every_role
def test_what_print_config_shows_is_a_file_that_says_the_same(write: Write, role: Role) -> None:
    config = told("--role", role, "--cleanup-interval", "7", "--print-config")
    assert config.print_config and "cleanup_interval = 7  # flag --cleanup-interval\n" in config.explained()
    assert values(told("--role", role, "-c", str(write(config.explained())))) == values(config)


@pytest.mark.parametrize(("flag", "said"), [("-h", "usage: "), ("--help", "--sms-addr ADDR"), ("-V", __version__)])
def test_help_and_version_are_printed_and_end_with_0(capsys: pytest.CaptureFixture[str], flag: str, said: str) -> None:
    with pytest.raises(SystemExit) as caught:
        told(flag)
    assert caught.value.code == 0 and said in capsys.readouterr().out


def test_short_help_is_shorter_and_detailed_help_explains_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    texts = []
    for flag in ("-h", "--help"):
        with pytest.raises(SystemExit):
            told(flag)
        texts.append(" ".join(capsys.readouterr().out.split()))
    assert len(texts[0]) < len(texts[1]) / 2
    assert all(key.meaning in texts[1] and key.name in texts[1] for key in KEYS if key.flags)


@every_role
def test_the_shipped_file_holds_every_default(role: Role) -> None:
    assert (ROOT / "config.toml").read_text(encoding="utf-8") == toml()
    assert values(told("--role", role, "-c", str(ROOT / "config.toml"))) == values(told("--role", role))
    uncommented = re.sub(r"(?m)^# (?=\w+ = )", "", toml())
    assert tomllib.loads(uncommented) == tomllib.loads("\n".join(f"{key.name} = {shown(key.default)}" for key in KEYS))


def test_the_documentation_has_every_key_and_every_option() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert text.endswith(markdown())
    for option in parser()._option_string_actions:
        assert re.search(rf"`{option}\b", text), option


@pytest.mark.parametrize("arguments", [(), ("yaml",), ("toml", "markdown")])
def test_printing_the_keys_in_no_known_form_is_one_line(arguments: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "spear.config", *arguments]
    told = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert (told.returncode, told.stdout, told.stderr) == (1, "", "usage: python -m spear.config toml|markdown\n")


def test_no_two_keys_share_a_name_or_a_variable() -> None:
    names, variables = [key.name for key in KEYS], [name for key in KEYS for name in key.env.split()]
    assert len(names) == len(set(names)) and len(variables) == len(set(variables))


BACKENDS = """
[[spearlet.llm.credentials]]
name = "mine"
api_key_env = "MY_KEY"

[[spearlet.llm.backends]]
name = "one"
kind = "openai_chat_completion"
base_url = "http://localhost:1/v1"
hosting = "remote"
credential_ref = "mine"
"""


def test_a_backends_key_comes_from_the_environment_and_is_not_shown(write: Write) -> None:
    config = told("-c", str(write(BACKENDS)), environ={"MY_KEY": "sk-secret"})
    (backend,) = config.llm.backends
    assert (backend.ops, backend.transports, backend.weight) == (("chat_completions",), ("http",), 100)
    assert (config.llm.variable(backend), config.llm.keys["mine"]) == ("MY_KEY", "sk-secret")
    assert "sk-secret" not in repr(config) + config.explained() + config.chosen()


@pytest.mark.parametrize(
    ("was", "given", "complaint"),
    [
        ('"MY_KEY"', '"sk-secret"', "spearlet.llm.credentials: Expected `str` matching regex"),
        ('name = "mine"', 'name = "mine"\napi_key = "sk-secret"', "unknown field `api_key`"),
        ('name = "mine"', 'name = "other"', "spearlet.llm.backends.0.credential_ref: got 'mine', expected a name of"),
        ('"remote"', '"moon"', "spearlet.llm.backends: Invalid enum value 'moon' - at `$[0].hosting`"),
        ('"remote"', '"remote"\nweight = -1', "Expected `int` >= 0 - at `$[0].weight`"),
        ("http://localhost:1", "http://a:sk-secret@localhost:1", "backends.0.base_url: got a user and password in"),
        ("localhost:1/v1", "localhost:1/v1?api_key=sk-secret", "backends.0.base_url.api_key: got a secret in"),
        ("localhost:1/v1", "localhost:1/v1?a=b", "backends.0.base_url: expected a URL without a query"),
        ("http://", "ftp://", "backends.0.base_url: expected an http:// or https:// URL"),
        ("[[spearlet.llm.backends]]", BACKENDS.partition("\n\n")[2] + "[[spearlet.llm.backends]]", "a name that no"),
        (
            "[[spearlet",
            '[spearlet.llm]\napi_key = "sk-secret"\n[[spearlet',
            "unknown key spearlet.llm.api_key: got 'what",
        ),
        ("[[spearlet.llm.backends]]", "[spearlet.llm.backends]", "unknown key spearlet.llm.backends.name"),
    ],
)
def test_a_bad_backend_is_refused_and_its_secrets_are_not_repeated(
    write: Write, was: str, given: str, complaint: str
) -> None:
    message = refused("-c", str(write(BACKENDS.replace(was, given, 1))))
    assert complaint in message and "sk-secret" not in message


@pytest.mark.parametrize("text", ["sk-secret", "[" * 100_000])
def test_backends_in_the_environment_that_are_no_json_are_refused(text: str) -> None:
    complaint = "environment SPEARLET_LLM_BACKENDS: spearlet.llm.backends: expected a list of tables, as JSON"
    assert refused(environ={"SPEARLET_LLM_BACKENDS": text}) == complaint


@pytest.mark.parametrize("host", ["/var/run/docker.sock", "unix://run/docker.sock", "tcp://127.0.0.1:2375", "unix://"])
def test_an_engine_is_a_socket_of_this_machine(host):
    assert "containers.host: got" in refused(environ={"SMS_CONTAINERS_HOST": host})


def test_an_engine_may_be_none():
    assert told(environ={"SMS_CONTAINERS_HOST": ""}).containers.host is None
    assert str(told(environ={"SMS_CONTAINERS_HOST": "unix:///run/x.sock"}).containers.host) == "/run/x.sock"
