"""What a process can run: every runtime that its role and its machine allow."""

import logging
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack

from spear.abilities import Abilities
from spear.adapters.runtimes.config import RuntimeConfig
from spear.adapters.runtimes.table import RUNTIMES
from spear.config import Config, Role
from spear.errors import Unavailable
from spear.ports import Bell, Clock, Runtime

log = logging.getLogger(__name__)


def made_for(config: Config, *, clock: Clock, bell: Bell, abilities: Abilities, stack: ExitStack) -> dict[str, Runtime]:
    """The runtimes by the executable type that they run; `stack` closes them. None on an SMS, else those that are allowed.

    One that says that it cannot work here is left out, and a line of the server's log says why.
    """
    made: dict[str, Runtime] = {}
    for runtime, kinds in _wanted(config).items():
        try:
            one = runtime(RuntimeConfig.of(kinds[0], config), clock=clock, bell=bell, abilities=abilities)
        except Unavailable as error:
            log.info("this node runs no %s executables: %s", ", ".join(kinds), error.message)
        else:
            stack.callback(one.close)
            made |= dict.fromkeys(kinds, one)
    return made


def _wanted(config: Config) -> dict[Callable[..., Runtime], list[str]]:
    wanted = defaultdict(list)
    for kind, runtime in RUNTIMES.items() if config.role is not Role.SMS else ():
        if not config.executions.runtimes or kind in config.executions.runtimes:
            wanted[runtime].append(kind)
    return wanted
