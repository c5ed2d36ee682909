"""The machine's clocks, read together."""

from __future__ import annotations

import time

from gitsnap.core.deadline import Reading


def read() -> Reading:
    """What they show now."""
    with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
        boot = file.read().strip()
    return Reading(boot, time.clock_gettime(time.CLOCK_BOOTTIME), time.time())
