"""Ferry: starting it, and moving a guest between two of them."""

import json
from dataclasses import dataclass, field

from .measure import MIB
from .child import DEADLINE, Child, Failed

PROGRAM = "build/release/ferry"


class Ferry(Child):
    """`inside`: the network namespace (netns.Namespace) that it runs in."""

    def __init__(self, program, api, *args, inside=None):
        self.api = api
        args = [program, *args, "--api-socket", api]
        super().__init__(inside.command(args) if inside else args)


@dataclass
class FerryArm:
    """Ferry with one way to migrate: the options that `ferry migrate` gets."""

    program: str
    directory: str  # for the control sockets
    kernel: str
    memory_mib: int
    cmdline: str
    options: tuple = ()
    # What `ferry run` and `ferry receive` get besides.
    run_options: tuple = ()
    receive_options: tuple = ()
    ram_mib: int = 0  # of RAM, where that is more than `memory_mib`, which is what is warm
    inside: object = None  # the network namespace of both processes
    _report: dict = field(default_factory=dict)

    def boot(self):
        return Ferry(
            self.program, f"{self.directory}/source", "run", "--kernel", self.kernel,
            "--memory", f"{self.ram_mib or self.memory_mib}M", "--cmdline", self.cmdline,
            *self.run_options, inside=self.inside,
        )

    # Bytes for the guest that wait at the destination until it runs there.
    input_at_switch = b"t"

    def receiver(self):
        return Ferry(
            self.program, f"{self.directory}/target", "receive", "--listen", "tcp:127.0.0.1:0",
            *self.receive_options, inside=self.inside,
        )

    def prepare(self, source, target):
        return target.stderr.wait_for(rb"^listening on (\S+)\n")[1].decode()

    def client(self, source, to):
        args = [self.program, "migrate", "--api-socket", source.api, "--to", to, "--json"]
        return Child([*args, *self.options])

    def pages(self, source):
        """What the report says about pages, while the migration runs."""
        with Child([self.program, "info", "--api-socket", source.api, "--json"]) as client:
            if client.wait() != 0:
                raise Failed(f"ferry info: {client.stderr.text()}")
            return json.loads(client.stdout.text())["migration"]["pages"]

    def migrate(self, source, target, to):
        with self.client(source, to) as client:
            status = client.wait(2 * DEADLINE)
            if status != 0:
                raise Failed(f"ferry migrate ended with {status}: {client.stderr.text()}")
            self._report = json.loads(client.stdout.text())

    @property
    def last_report(self):
        return self._report

    def reuse(self):
        """What the last report says about pages that need not come."""
        report = self._report
        return {
            "reused": report["pages"]["reused"],
            "duplicate": report["pages"]["duplicate"],
            "both_ways": (report["wire_bytes"] + report["wire_bytes_back"]) / MIB,
        }

    def report(self, source):
        report = self._report
        return {
            "total": report["total_ms"],
            "downtime": report["downtime_ms"],
            "wire": report["wire_bytes"],
            **(_after_the_switch(report) if report["mode"] == "post-copy" else {}),
            "held_back": report["pages"]["held_back"] or None,
            **_less(report),
            "throttle": max((each["throttle"] for each in report["rounds"]), default=0),
        }


def _less(report):
    """Where pages went by Zstandard, as deltas or as references."""
    pages, saved = report["pages"], report["saved_bytes"]
    result = {}
    if pages["zstd"]:
        result["zstd_share"] = 100 * pages["zstd"] / pages["compressed"]
    if pages["delta"]:
        result["delta"] = pages["delta"]
        result["delta_bytes"] = 4096 - saved["delta"] / pages["delta"]
        result["delta_cache"] = report["delta_cache_bytes"] / MIB
    if saved["duplicate"]:
        result["references"] = pages["duplicate"]
    return result


def _after_the_switch(report):
    pages, faults = report["pages"], report["faults"]
    return {
        "resent": pages["resent"],
        "demand": pages["demand"],
        "pushed": pages["pushed"],
        "faults": faults["count"],
        "fault_p50": faults["p50_us"],
        "fault_p99": faults["p99_us"],
        "fault_max": faults["max_us"],
    }
