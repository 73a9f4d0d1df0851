"""What a process can run: every runtime that its role and its machine allow."""

import logging
from contextlib import ExitStack

from spear.abilities import Abilities
from spear.adapters.runtimes.config import RuntimeConfig
from spear.adapters.runtimes.table import RUNTIMES
from spear.config import Config, Role
from spear.errors import Unavailable
from spear.ports import Bell, Clock, Runtime

log = logging.getLogger(__name__)


def made_for(config: Config, *, clock: Clock, bell: Bell, abilities: Abilities, stack: ExitStack) -> dict[str, Runtime]:
    """The runtimes by the executable type that they run; `stack` closes them. None on an SMS.

    One that says that it cannot work here is left out, and a line of the server's log says why.
    """
    made: dict[str, Runtime] = {}
    for kind, runtime in RUNTIMES.items() if config.role is not Role.SMS else ():
        try:
            made[kind] = runtime(RuntimeConfig.of(kind, config), clock=clock, bell=bell, abilities=abilities)
        except Unavailable as error:
            log.info("this node runs no %s executables: %s", kind, error.message)
        else:
            stack.callback(made[kind].close)
    return made
