#!/usr/bin/env python3
"""The one server program: `python spear_server.py --role sms|spearlet|all`."""

from gevent import monkey

monkey.patch_all()

import logging  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

import gevent  # noqa: E402
from gevent.event import AsyncResult  # noqa: E402

from spear import config as configuration  # noqa: E402
from spear import logs  # noqa: E402
from spear.bootstrap import serving  # noqa: E402
from spear.errors import StartupError  # noqa: E402

log = logging.getLogger("spear.server")


def main() -> int:
    """Serve until a signal; 0 after an orderly stop, 1 when something that must live died, 2 when it cannot start."""
    sys.setswitchinterval(0.0005)
    stopped: AsyncResult[tuple[int, str]] = AsyncResult()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, stopped.set, (0, signal.Signals(number).name))
    try:
        config = configuration.load(sys.argv[1:], environ=os.environ, home=Path.home())
        if config.print_config:
            print(config.explained())
            return 0
        logs.configure(config.log.level, config.log.format, file=config.log.file)
        with serving(config, failed=lambda reason: stopped.set((1, reason))):
            log.info("ready: http %s, data %s", config.http_addr, config.data_dir)
            status, reason = stopped.get()
            log.log(logging.ERROR if status else logging.INFO, "stopping: %s", reason)
    except StartupError as error:
        print(f"spear_server: {error.message}", file=sys.stderr)
        return 2
    return status


if __name__ == "__main__":
    sys.exit(main())
