"""Each runtime is told what is configured for it, and all of the configuration, in one place."""

import hashlib
from pathlib import Path

import pytest

from spear.adapters.hub import HubBell
from spear.adapters.runtimes.config import RuntimeConfig
from spear.adapters.runtimes.table import RUNTIMES
from spear.adapters.system import SystemClock
from spear.config import Config, load
from spear.errors import StartupError
from spear.ports import Artifact, End, RunSpec
from tests.server import ROOT


class NoLines:
    """Takes no log lines."""

    def write(self, *said: object) -> None:
        """Forget it."""

    written_bytes = 0


def configured(folder: Path, variables: str) -> Config:
    environ = {"SPEARLET_EXECUTIONS_GLOBAL_ENVIRONMENT": variables, "SPEARLET_EXECUTIONS_MAX_CONCURRENT": "2"}
    flags = ("--role", "spearlet", "--data-dir", str(folder), "--sms-addr", "sms.example:50051")
    return load(flags, environ=environ, home=folder / "nobody")


def test_a_runtime_is_told_its_type_its_settings_the_pool_and_the_whole_configuration(tmp_path: Path) -> None:
    config = configured(tmp_path, "REGION=eu, TIER=a=b")
    told = RuntimeConfig.of("wasm", config)
    assert (told.runtime_type, told.resource_pool.max_workers) == ("wasm", 2)
    assert told.settings == {"cache_dir": str(tmp_path / "cache" / "wasm")}
    assert told.global_environment == {"REGION": "eu", "TIER": "a=b"}
    assert told.spearlet_config is config
    assert str(told.spearlet_config.spearlet.sms_grpc_addr) == "sms.example:50051"


def test_every_run_gets_the_global_environment_under_its_own(tmp_path: Path) -> None:
    content = (ROOT / "samples" / "build" / "env_args.wasm").read_bytes()
    with HubBell() as bell:
        told = RuntimeConfig.of("wasm", configured(tmp_path, "REGION=eu,WHO=everybody"))
        runtime = RUNTIMES["wasm"](told, clock=SystemClock(), bell=bell)
        try:
            instance = runtime.prepare(Artifact(lambda: (content, hashlib.sha256(content).hexdigest())))
            outcome = instance.start(RunSpec("test", environment={"WHO": "me"}), NoLines()).result()
        finally:
            runtime.close()
    said = outcome.output.decode().splitlines()
    assert outcome.end is End.COMPLETED
    assert [line for line in said if line.startswith("environment")] == ["environment REGION=eu", "environment WHO=me"]


@pytest.mark.parametrize("variables", ["REGION", "1A=b", "A B=c", "=x"])
def test_what_is_no_variable_is_refused_by_name(tmp_path: Path, variables: str) -> None:
    with pytest.raises(StartupError, match=r"SPEARLET_EXECUTIONS_GLOBAL_ENVIRONMENT.*NAME=value pairs"):
        configured(tmp_path, variables)
