"""Time and identity from the operating system."""

import os
import secrets
import socket
import time
from pathlib import Path
from uuid import UUID

import psutil

from spear.config import Address


class SystemClock:
    """The wall clock of this machine; it may step when the machine's time is set."""

    def now_us(self) -> int:
        """Microseconds since the Unix epoch."""
        return time.time_ns() // 1000


class SystemIds:
    """Random identity from the operating system's entropy."""

    def new(self) -> UUID:
        """A fresh UUIDv7 (RFC 9562): random, but what is made together lies together in an index."""
        milliseconds = time.time_ns() // 1_000_000
        value = (milliseconds & (2**48 - 1)) << 80 | int.from_bytes(os.urandom(10))
        return UUID(int=value & ~(0xF << 76) & ~(0x3 << 62) | 7 << 76 | 2 << 62)


def new_session_token() -> str:
    """256 random bits as the 43 characters that a URL may carry."""
    return secrets.token_urlsafe(32)


def new_secret() -> str:
    """256 random bits as text; the first letters say to people and scanners what it is."""
    return f"spear_{secrets.token_urlsafe(32)}"


def own_ip(listens: Address, peer: Address) -> str:
    """The address that somebody listens on; if that is every address, the one from which this machine reaches `peer`."""
    if listens.host not in ("0.0.0.0", "::"):
        return listens.host
    with socket.socket(socket.AF_INET6 if ":" in peer.host else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((peer.host, peer.port))  # sends nothing
        return str(probe.getsockname()[0])


def cpu_cores() -> int:
    """How many CPU cores this process may use."""
    return len(os.sched_getaffinity(0))


class Machine:
    """This machine's resources; rates and the cpu's share are those since the measurement before (0 at the first)."""

    def __init__(self, disk: Path) -> None:
        self._disk = disk
        self._network, self._at = self._counters(), time.monotonic()
        psutil.cpu_percent()

    def measure(self) -> dict[str, int | float]:
        """What it has and uses: percents 0..100, bytes, bytes per second, load averages; `disk` is where the data lie."""
        memory, disk, loads = psutil.virtual_memory(), psutil.disk_usage(str(self._disk)), psutil.getloadavg()
        received, sent = self._rates()
        return {
            "cpu_usage_percent": min(100.0, psutil.cpu_percent()),
            "memory_usage_percent": float(memory.percent),
            "disk_usage_percent": float(disk.percent),
            "total_memory_bytes": memory.total,
            "used_memory_bytes": memory.total - memory.available,
            "available_memory_bytes": memory.available,
            "total_disk_bytes": disk.total,
            "used_disk_bytes": disk.used,
            "network_rx_bytes_per_sec": received,
            "network_tx_bytes_per_sec": sent,
            "load_average_1m": loads[0],
            "load_average_5m": loads[1],
            "load_average_15m": loads[2],
        }

    def _rates(self) -> tuple[int, int]:
        before, since = self._network, self._at
        self._network, self._at = self._counters(), time.monotonic()
        seconds = max(self._at - since, 1e-3)
        received, sent = (max(0, now - then) for now, then in zip(self._network, before, strict=True))
        return int(received / seconds), int(sent / seconds)

    @staticmethod
    def _counters() -> tuple[int, int]:
        counters = psutil.net_io_counters()  # None on a machine without a network
        return (counters.bytes_recv, counters.bytes_sent) if counters else (0, 0)
