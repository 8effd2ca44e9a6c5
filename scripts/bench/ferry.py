"""Ferry: starting it, and moving a guest between two of them."""

import json
from dataclasses import dataclass, field

from .process import DEADLINE, Child, Failed

PROGRAM = "build/release/ferry"


class Ferry(Child):
    def __init__(self, program, api, *args):
        self.api = api
        super().__init__([program, *args, "--api-socket", api])


@dataclass
class FerryArm:
    """Ferry with one way to migrate: the options that `ferry migrate` gets."""

    program: str
    directory: str  # for the control sockets
    kernel: str
    memory_mib: int
    cmdline: str
    options: tuple = ()
    _report: dict = field(default_factory=dict)

    def boot(self):
        return Ferry(
            self.program, f"{self.directory}/source", "run", "--kernel", self.kernel,
            "--memory", f"{self.memory_mib}M", "--cmdline", self.cmdline,
        )

    def receiver(self):
        return Ferry(
            self.program, f"{self.directory}/target", "receive", "--listen", "tcp:127.0.0.1:0"
        )

    def prepare(self, source, target):
        return target.err.wait_for(rb"^listening on (\S+)\n")[1].decode()

    def migrate(self, source, target, to):
        args = [self.program, "migrate", "--api-socket", source.api, "--to", to, "--json"]
        with Child([*args, *self.options]) as client:
            status = client.wait(2 * DEADLINE)
            if status != 0:
                raise Failed(f"ferry migrate ended with {status}: {client.err.text()}")
            self._report = json.loads(client.out.text())

    def report(self, source):
        report = self._report
        return {
            "total": report["total_ms"],
            "downtime": report["downtime_ms"],
            "wire": report["wire_bytes"],
        }
