"""QEMU's microvm: starting it, and moving a guest between two of them."""

import json
import socket
from dataclasses import dataclass

from .child import DEADLINE, Child, Failed

PROGRAM = "qemu-system-x86_64"
# QEMU caps a migration at 128 MiB/s unless told otherwise.
UNCAPPED = 1 << 40


class Qmp:
    """The QEMU machine protocol over a connected socket."""

    def __init__(self, connection):
        connection.settimeout(DEADLINE)
        self._connection = connection
        self._input = connection.makefile("rb")
        self._events = []
        self._read()  # the greeting
        self.command("qmp_capabilities")

    def _read(self):
        line = self._input.readline()
        if not line:
            raise Failed("QEMU closed its QMP connection")
        return json.loads(line)

    def command(self, name, **arguments):
        request = {"execute": name, "arguments": arguments}
        self._connection.sendall(json.dumps(request).encode())
        while True:
            answer = self._read()
            if "event" in answer:
                self._events.append(answer)
            elif "error" in answer:
                raise Failed(f"QMP {name}: {answer['error']['desc']}")
            else:
                return answer["return"]

    def wait_event(self, name):
        """The data of the next event of that name; others before it are dropped."""
        while True:
            event = self._events.pop(0) if self._events else self._read()
            if event.get("event") == name:
                return event.get("data", {})

    def close(self):
        self._input.close()
        self._connection.close()


class Qemu(Child):
    """`inside`: the network namespace (netns.Namespace) that it runs in."""

    def __init__(self, kernel, memory_mib, cmdline, incoming=False, spawn_only=False,
                 machine="microvm", devices=(), inside=None):
        ours, theirs = socket.socketpair()
        args = [
            # QEMU sets the MSR of this feature at start, and gives up where KVM does not let it.
            PROGRAM, "-M", f"{machine},accel=kvm", "-cpu", "host,arch-capabilities=off",
            "-m", memory_mib,
            "-kernel", kernel, "-append", cmdline,
            "-nodefaults", "-no-user-config", "-nographic", "-serial", "stdio",
            "-device", "isa-debug-exit,iobase=0xf4,iosize=1",
            "-chardev", f"socket,id=qmp,fd={theirs.fileno()}", "-mon", "chardev=qmp,mode=control", *devices,
        ]
        if incoming:
            args += ["-incoming", "defer"]
        with theirs:
            super().__init__(inside.command(args) if inside else args, pass_fds=[theirs.fileno()])
        self._socket = ours
        try:
            self.qmp = None if spawn_only else Qmp(ours)
        except (Failed, OSError) as error:
            super().close()
            raise Failed(f"QEMU did not start: {self.stderr.text()}") from error

    def close(self):
        super().close()
        self._socket.close()
        if self.qmp:
            self.qmp.close()


@dataclass
class QemuArm:
    """QEMU with one way to migrate."""

    kernel: str
    memory_mib: int
    cmdline: str
    downtime_limit_ms: int = 300  # QEMU's default
    multifd: int = 0  # connections; 0 is the plain way
    compression: str = "none"
    bytes_per_second: int = UNCAPPED
    xbzrle: int = 0  # bytes of its cache; 0: it is off
    post_copy: bool = False
    preempt: bool = False  # pages that are asked for have a connection of their own
    machine: str = "microvm"
    devices: tuple = ()
    devices_there: tuple = ()  # at the destination
    inside: object = None  # the network namespace of both processes

    # Its serial port takes one byte before the guest's state comes, which overwrites it.
    input_at_switch = b"tt"

    def boot(self):
        return self._qemu(self.devices)

    def receiver(self):
        target = self._qemu(self.devices_there, incoming=True)
        self._configure(target.qmp)
        target.qmp.command("migrate-incoming", uri="tcp:127.0.0.1:0")
        return target

    def _qemu(self, devices, **options):
        return Qemu(self.kernel, self.memory_mib, self.cmdline, machine=self.machine,
                    devices=devices, inside=self.inside, **options)

    def _configure(self, qmp):
        capabilities = [{"capability": "events", "state": True}]
        parameters = {}
        if self.multifd:
            capabilities.append({"capability": "multifd", "state": True})
            parameters["multifd-channels"] = self.multifd
            parameters["multifd-compression"] = self.compression
        if self.xbzrle:
            capabilities.append({"capability": "xbzrle", "state": True})
            parameters["xbzrle-cache-size"] = self.xbzrle
        for name, wanted in (("postcopy-ram", self.post_copy), ("postcopy-preempt", self.preempt)):
            if wanted:
                capabilities.append({"capability": name, "state": True})
        qmp.command("migrate-set-capabilities", capabilities=capabilities)
        if parameters:
            qmp.command("migrate-set-parameters", **parameters)

    def prepare(self, source, target):
        """What can be said before the clock starts. Returns what `migrate` needs."""
        self._configure(source.qmp)
        source.qmp.command(
            "migrate-set-parameters",
            **{"downtime-limit": self.downtime_limit_ms, "max-bandwidth": self.bytes_per_second},
        )
        address = target.qmp.command("query-migrate")["socket-address"][0]
        return f"tcp:127.0.0.1:{address['port']}"

    def migrate(self, source, target, to):
        """Returns when the guest runs at the target and the source is not needed any more; what
        QEMU reports comes from `report`."""
        source.qmp.command("migrate", uri=to)
        if self.post_copy:
            source.qmp.command("migrate-start-postcopy")
        while True:
            status = source.qmp.wait_event("MIGRATION")["status"]
            if status in ("failed", "postcopy-paused"):
                raise Failed(f"QEMU's migration failed: {source.qmp.command('query-migrate')}")
            if status == "completed":
                break
        target.qmp.wait_event("RESUME")

    def report(self, source):
        """Totals in ms, downtime in ms, bytes on the wire."""
        info = source.qmp.command("query-migrate")
        # After a post-copy that was started early, 7.2 may report its own uptime for a downtime.
        known = info["downtime"] <= info["total-time"]
        return {
            "total": info["total-time"],
            "downtime": info["downtime"] if known else None,
            "wire": info["ram"]["transferred"],
        }


def save_ram(source, size, path):
    """Writes the guest's RAM below the hole under 4 GiB to a file."""
    source.qmp.command("pmemsave", val=0, size=size, filename=path)
