"""Two hosts on this machine: network namespaces, with a link of a known rate between them."""

import contextlib
import os

from netns import DEVICE, Link
from small_cgroup import SmallCgroup  # noqa: F401

from .child import Child

GBIT = 125_000_000  # bytes per second, Ethernet's headers included

# A bucket of 2 ms at full rate, and a queue that is no longer than that of a switch.
SHAPING = ("rate", "1gbit", "burst", "256kb", "latency", "20ms")


class LimitedLink(Link):
    """A link of 1 Gbit/s, each way for itself. Raises unittest.SkipTest where there is none."""

    def __init__(self):
        super().__init__()
        for end in (self.near, self.far):
            end.run("tc", "qdisc", "add", "dev", DEVICE, "root", "tbf", *SHAPING)


class HostProcess(Child):
    """`ferry run` or `ferry receive` at a host."""

    def __init__(self, host, api, args, inside=None):
        self.api = api
        self.host = host
        args = [*args, "--api-socket", api, *host.options]
        super().__init__(host.end.command(inside.command(args) if inside else args))


class Host:
    """One end of the link, with a store for the images that it keeps, if it is to keep any."""

    def __init__(self, end, store=None):
        self.end = end
        self.store = store
        self.options = ("--image-store", store) if store else ()
        if store:
            os.makedirs(store, mode=0o700)  # Ferry uses no store that others can look into

    @property
    def any_port(self):
        return f"tcp:{self.end.address}:0"

    def held_bytes(self):
        """The memory that kept images occupy. The RAM of guests that run here is not in it: it has
        no name in the store."""
        if not self.store:
            return 0
        held = 0
        for entry in os.scandir(self.store):
            with contextlib.suppress(FileNotFoundError):  # a manifest has just been replaced
                held += 512 * entry.stat().st_blocks
        return held
