"""No container outlives its run for long, whatever happens to the engine or to this process."""

import logging
from contextlib import suppress

import gevent

from spear.adapters.runtimes._docker import Docker
from spear.errors import SpearError

log = logging.getLogger(__name__)
_PAUSE_S = 2.0


class Sweeper:
    """Removes containers with one label; what cannot be removed now is tried again until it is gone."""

    def __init__(self, engine: Docker, label: str) -> None:
        self._engine, self._label = engine, label
        self._used: set[str] = set()
        self._again: gevent.Greenlet | None = None

    def use(self, name: str) -> None:
        """A container of this name is about to be made; it stays until it is removed."""
        self._used.add(name)

    def remove(self, name: str) -> None:
        """Leave nothing of it: now, or as soon as the engine can."""
        self._used.discard(name)
        try:
            self._engine.remove(name)
        except SpearError as error:
            log.warning("container %s is not removed yet: %s", name, error.message)
            self.sweep_later()

    def sweep(self) -> None:
        """Remove every container with the label that nobody uses; raises what the engine says against it."""
        for name in self._engine.labelled(self._label):
            if name not in self._used:
                self._engine.remove(name)
                log.info("removed container %s, which no run uses", name)

    def sweep_later(self) -> None:
        """Sweep in a while, and go on until that succeeds."""
        if self._again is None:
            self._again = gevent.spawn_later(_PAUSE_S, self._keep_sweeping)

    def close(self) -> None:
        """Try no more; the next start sweeps first."""
        if self._again is not None:
            self._again.kill()
            with suppress(SpearError):
                self.sweep()

    def _keep_sweeping(self) -> None:
        while True:
            try:
                self.sweep()
                self._again = None
                return
            except SpearError:
                gevent.sleep(_PAUSE_S)
