"""What was promised of the configuration before it was built, written out here so that our own table cannot drift from it."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spear.config import Config, load

NOBODY = Path("/nonexistent")
SMS = [  # key, default, environment, flag, another value
    ("grpc.addr", "127.0.0.1:50051", "SMS_GRPC_ADDR", "--grpc-addr", "127.0.0.1:50052"),
    ("http.addr", "127.0.0.1:8080", "SMS_HTTP_ADDR", "--http-addr", "127.0.0.1:8081"),
    ("grpc.enable_tls", False, "", "", ""),
    ("http.enable_tls", False, "", "", ""),
    ("enable_swagger", True, "SMS_ENABLE_SWAGGER", "", "false"),
    ("enable_web_admin", False, "SMS_ENABLE_WEB_ADMIN", "", "true"),
    ("web_admin.addr", "127.0.0.1:8081", "SMS_WEB_ADMIN_ADDR", "--web-admin-addr", "127.0.0.1:8090"),
    ("heartbeat_timeout", 120, "SMS_HEARTBEAT_TIMEOUT", "--heartbeat-timeout", "60"),
    ("cleanup_interval", 300, "SMS_CLEANUP_INTERVAL", "--cleanup-interval", "180"),
    ("database.db_type", "sled", "SMS_DB_TYPE", "", "sqlite"),
    ("database.path", "./data/sms.db", "SMS_DB_PATH", "", "/tmp/other.db"),
    ("database.pool_size", 10, "SMS_DB_POOL_SIZE", "", "11"),
    ("log.level", "info", "SMS_LOG_LEVEL", "--log-level", "debug"),
    ("log.format", "json", "SMS_LOG_FORMAT", "", "pretty"),
    ("log.file", "./logs/sms.log", "SMS_LOG_FILE", "", "./logs/other.log"),
]
SPEARLET = [
    ("node_name", "", "NODE_NAME", "--node-name", "n"),
    ("sms_grpc_addr", "127.0.0.1:50051", "SMS_GRPC_ADDR", "--sms-addr", "127.0.0.1:50055"),
    ("sms_http_addr", "127.0.0.1:8080", "SMS_HTTP_ADDR", "", "127.0.0.1:8088"),
    ("auto_register", False, "AUTO_REGISTER", "", "true"),
    ("heartbeat_interval", 30, "HEARTBEAT_INTERVAL", "", "31"),
    ("cleanup_interval", 300, "CLEANUP_INTERVAL", "", "301"),
    ("sms_connect_timeout_ms", 15000, "SMS_CONNECT_TIMEOUT_MS", "", "1"),
    ("sms_connect_retry_ms", 500, "SMS_CONNECT_RETRY_MS", "", "1"),
    ("reconnect_total_timeout_ms", 300000, "RECONNECT_TOTAL_TIMEOUT_MS", "", "1"),
    ("grpc.addr", "127.0.0.1:50052", "GRPC_ADDR", "--grpc-addr", "127.0.0.1:50062"),
    ("grpc.enable_tls", False, "", "", ""),
    ("http.cors_enabled", True, "", "", ""),
    ("http.swagger_enabled", True, "", "", ""),
    ("http.server.addr", "127.0.0.1:8081", "HTTP_ADDR", "--http-addr", "127.0.0.1:8091"),
    ("storage.backend", "memory", "STORAGE_BACKEND", "", "sled"),
    ("storage.data_dir", "./data/spearlet", "STORAGE_DATA_DIR", "", "./data/other"),
    ("storage.max_cache_size_mb", 512, "STORAGE_MAX_CACHE_MB", "", "1"),
    ("storage.compression_enabled", True, "STORAGE_COMPRESSION_ENABLED", "", "false"),
    ("storage.max_object_size", 67108864, "STORAGE_MAX_OBJECT_SIZE", "", "1"),
    ("logging.level", "info", "LOG_LEVEL", "--log-level", "debug"),
    ("logging.format", "pretty", "LOG_FORMAT", "", "json"),
    ("logging.file", "./logs/spearlet.log", "LOG_FILE", "", "./logs/other.log"),
]
PROMISES = [("sms", *row) for row in SMS] + [
    ("spearlet", f"spearlet.{key}", default, f"SPEARLET_{env}" * bool(env), flag, value)
    for key, default, env, flag, value in SPEARLET
]
SWITCHES = [
    ("enable_swagger", "SMS_ENABLE_SWAGGER", "--enable-swagger"),
    ("enable_web_admin", "SMS_ENABLE_WEB_ADMIN", "--enable-web-admin"),
]
EXAMPLES = {
    "sms": """
        [grpc]
        addr = "127.0.0.1:50061"
        enable_tls = false
        [http]
        addr = "127.0.0.1:8070"
        enable_tls = false
        enable_swagger = false
        [database]
        db_type = "sqlite"
        path = "./data/other.db"
        pool_size = 9
        [log]
        level = "debug"
        format = "pretty"
        file = "./logs/other.log"
    """,
    "spearlet": """
        [spearlet]
        node_name = "n"
        sms_grpc_addr = "127.0.0.1:50061"
        sms_http_addr = "127.0.0.1:8070"
        auto_register = true
        heartbeat_interval = 29
        cleanup_interval = 299
        sms_connect_timeout_ms = 14999
        sms_connect_retry_ms = 499
        reconnect_total_timeout_ms = 299999
        [spearlet.grpc]
        addr = "127.0.0.1:50062"
        enable_tls = false
        [spearlet.http]
        cors_enabled = false
        swagger_enabled = false
        [spearlet.http.server]
        addr = "127.0.0.1:8071"
        [spearlet.storage]
        backend = "sled"
        data_dir = "./data/other"
        max_cache_size_mb = 511
        compression_enabled = false
        max_object_size = 67108863
        [spearlet.logging]
        level = "debug"
        format = "json"
        file = "./logs/other.log"
    """,
}
every_promise = pytest.mark.parametrize(("role", "key", "default", "env", "flag", "value"), PROMISES)


def told(role: str, *argv: str, home: Path = NOBODY, **environ: str) -> Config:
    return load(["--role", role, *argv], environ=environ, home=home)


def value_of(config: Config, key: str) -> Any:
    [found] = [setting.value for setting in config.settings if setting.key.name == key]
    return found


def typed(default: Any, text: str) -> Any:
    """The text as a value of the default's type."""
    return text == "true" if isinstance(default, bool) else type(default)(text)


def flat(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        yield from flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(prefix + name, value)]


@every_promise
def test_every_promised_key_has_its_default_its_variable_and_its_flag(
    role: str, key: str, default: Any, env: str, flag: str, value: str
) -> None:
    assert value_of(told(role), key) == default
    assert not env or value_of(told(role, **{env: value}), key) == typed(default, value)
    assert not flag or value_of(told(role, flag, value), key) == typed(default, value)


@pytest.mark.parametrize(("key", "env", "flag"), SWITCHES)
def test_a_promised_switch_is_a_flag_without_a_value(key: str, env: str, flag: str) -> None:
    assert value_of(told("sms", flag, **{env: "false"}), key) is True


@pytest.mark.parametrize("role", EXAMPLES)
def test_every_key_of_the_promised_files_is_read_from_the_home_file(role: str, tmp_path: Path) -> None:
    path = tmp_path / {"sms": ".sms", "spearlet": ".spear"}[role] / "config.toml"
    path.parent.mkdir()
    path.write_text(EXAMPLES[role])
    written = dict(flat(tomllib.loads(EXAMPLES[role])))
    config = told(role, home=tmp_path)
    assert {key: value_of(config, key.replace("http.enable_swagger", "enable_swagger")) for key in written} == written


def test_the_promised_short_options_are_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("heartbeat_timeout = 7")
    assert told("sms", "-c", str(tmp_path / "c.toml")).heartbeat_timeout == 7
    for flag in ("-h", "--help", "-V", "--version"):
        with pytest.raises(SystemExit) as ended:
            told("sms", flag)
        assert ended.value.code == 0
        assert "spear" in capsys.readouterr().out
