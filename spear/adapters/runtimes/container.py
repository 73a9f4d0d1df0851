"""Container agents: one fresh container of the Docker Engine for each run, removed when it ended."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import gevent
from gevent.lock import Semaphore

from spear.abilities import Abilities
from spear.adapters.runtimes._confinement import SERVER, Image
from spear.adapters.runtimes._contained import ContainerRun, Ward
from spear.adapters.runtimes._docker import Docker
from spear.adapters.runtimes._sweeper import Sweeper
from spear.adapters.runtimes.config import RuntimeConfig
from spear.config import Pull
from spear.errors import Invalid, InvalidConfiguration, NotFound, Refused, Unavailable
from spear.ports import Artifact, Bell, Clock, LogSink, RunSpec
from spear.protocols.image import image_of


class ContainerInstance:
    """An image that the engine has; its runs share nothing else."""

    def __init__(self, runtime: "ContainerRuntime", image: Image) -> None:
        self._runtime, self._image, self.sha256 = runtime, image, image.sha256
        self._runs: set[ContainerRun] = set()
        self._closed = False

    def start(self, spec: RunSpec, logs: LogSink) -> ContainerRun:
        """Start one run as soon as there is a place; raise `Unavailable` after close."""
        if self._closed:
            raise Unavailable("the instance is closed")
        return self._runtime.start(self._image, self._runs, spec=spec, logs=logs)

    def close(self) -> None:
        """Stop its runs and wait until nothing is left of them; may be called twice."""
        self._closed = True
        _stop_all(self._runs, "its instance closes")


class ContainerRuntime:
    """Runs images of one engine, up to `most` containers at once; `server` is in the label of each.

    Each run gets `environment` under its own. What an earlier process of the same server left is removed first. Raises
    `Unavailable` when the engine does not answer.
    """

    def __init__(
        self,
        engine: Docker,
        *,
        server: str,
        bell: Bell,
        most: int,
        pull: Pull = Pull.NEVER,
        environment: Mapping[str, str] = {},
        recorded: Callable[[str], None] = lambda _: None,
    ) -> None:
        engine.greet()
        sweeper = Sweeper(engine, f"{SERVER}={server}")
        self._ward = Ward(engine, server, bell, Semaphore(most), sweeper, recorded)
        self._environment, self._pull = environment, pull
        self._runs: set[ContainerRun] = set()
        self._closed = False
        sweeper.sweep()

    @classmethod
    def configured(
        cls, config: RuntimeConfig, *, clock: Clock, bell: Bell, abilities: Abilities | None = None
    ) -> "ContainerRuntime":
        """The runtime that `config` describes; raises `Unavailable` where there is no engine."""
        whole = config.spearlet_config
        if whole.containers.host is None:
            raise Unavailable("containers.host names no engine")
        engine, pull = Docker(str(whole.containers.host)), whole.containers.pull
        server = _identity(whole.data_dir / "container_owner")
        most, environment = config.resource_pool.max_workers, config.global_environment
        more = {"recorded": abilities.recorded} if abilities else {}
        return cls(engine, server=server, bell=bell, most=most, pull=pull, environment=environment, **more)

    def prepare(self, artifact: Artifact) -> ContainerInstance:
        """Look the image up, blocking only the caller, and fetch it if that is configured.

        Raise `InvalidConfiguration` when it is not there, and `Unavailable` when it cannot be fetched.
        """
        self._check_open()
        try:
            image = self._image(image_of(artifact.uri))
        except (Invalid, NotFound) as error:
            raise InvalidConfiguration(error.message) from None
        if artifact.sha256.lower() not in ("", image.sha256):
            raise InvalidConfiguration(f"image {image.name} is sha256:{image.sha256}, not sha256:{artifact.sha256}")
        return ContainerInstance(self, image)

    def _image(self, name: str) -> Image:
        engine = self._ward.engine
        try:
            return Image.of(name, engine.image(name))
        except NotFound:
            if self._pull is Pull.NEVER:
                raise NotFound(f"{engine} has no image {name}; pull it there, or set containers.pull") from None
        try:
            engine.pull(name)
            return Image.of(name, engine.image(name))
        except (NotFound, Refused) as error:  # engines do not tell a wrong name from a registry that is away
            raise Unavailable(f"{engine} cannot fetch image {name}: {error.message}") from None

    def start(self, image: Image, siblings: set[ContainerRun], *, spec: RunSpec, logs: LogSink) -> ContainerRun:
        """Start one run and keep it among its `siblings` until nothing of it is left; raise `Unavailable` after close."""
        self._check_open()
        if self._environment:
            spec = replace(spec, environment={**self._environment, **spec.environment})
        run = ContainerRun(self._ward, image, spec, logs)
        for runs in (self._runs, siblings):
            runs.add(run)
            run.greenlet.link(lambda _, runs=runs: runs.discard(run))
        return run

    def close(self) -> None:
        """Stop every run, and wait until nothing is left of them; may be called twice."""
        self._closed = True
        _stop_all(self._runs, "the runtime closes")
        self._ward.sweeper.close()

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("the container runtime is closed")


def _stop_all(runs: set[ContainerRun], reason: str) -> None:
    stopping = list(runs)
    for run in stopping:
        run.stop(reason)
    gevent.joinall([run.greenlet for run in stopping])


def _identity(path: Path) -> str:
    """What tells the containers of this data directory from everybody else's."""
    with suppress(FileNotFoundError):
        return path.read_text().strip()
    path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_suffix(".new")
    made.write_text(uuid4().hex)
    made.replace(path)
    return path.read_text()
