"""Time and identity from the operating system."""

import os
import shutil
import time
from pathlib import Path
from uuid import UUID


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


def measure_machine() -> dict[str, int | float]:
    """What this machine has and uses: bytes, percents 0..100, load averages."""
    loads = os.getloadavg()
    memory, disk = _memory(), shutil.disk_usage(os.getcwd())
    total, available = memory["MemTotal"], memory["MemAvailable"]
    return {
        "cpu_usage_percent": min(100.0, 100.0 * loads[0] / (os.cpu_count() or 1)),
        "memory_usage_percent": 100.0 * (total - available) / total,
        "disk_usage_percent": 100.0 * disk.used / disk.total,
        "total_memory_bytes": total,
        "used_memory_bytes": total - available,
        "available_memory_bytes": available,
        "total_disk_bytes": disk.total,
        "used_disk_bytes": disk.used,
        "load_average_1m": loads[0],
        "load_average_5m": loads[1],
        "load_average_15m": loads[2],
    }


def _memory() -> dict[str, int]:
    if hasattr(os, "sysconf") and not Path("/proc/meminfo").exists():
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return {"MemTotal": total, "MemAvailable": total}
    pairs = (line.split()[:2] for line in Path("/proc/meminfo").read_text().splitlines())
    return {name.rstrip(":"): int(kib) * 1024 for name, kib in pairs}
