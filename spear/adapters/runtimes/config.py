"""What a runtime is told when it is made."""

from collections.abc import Mapping
from dataclasses import dataclass

from spear.config import Config


@dataclass(frozen=True, slots=True)
class ResourcePool:
    """What a runtime may take of the machine: `max_workers` runs at once."""

    max_workers: int


@dataclass(frozen=True, slots=True)
class RuntimeConfig:
    """Everything that is configured for one runtime: its type, its own settings, and what holds for the whole process.

    `global_environment` is given to every run, under the task's and the call's own. Addresses are read from
    `spearlet_config` and from nowhere else.
    """

    runtime_type: str
    settings: Mapping[str, str]
    global_environment: Mapping[str, str]
    spearlet_config: Config
    resource_pool: ResourcePool

    @classmethod
    def of(cls, runtime_type: str, config: Config) -> "RuntimeConfig":
        """What `config` says for runtimes of this type."""
        return cls(
            runtime_type=runtime_type,
            settings={"cache_dir": str(config.data_dir / "cache" / runtime_type)},
            global_environment=config.executions.global_environment,
            spearlet_config=config,
            resource_pool=ResourcePool(config.executions.max_concurrent),
        )
