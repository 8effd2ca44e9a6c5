"""Runs ferry processes and watches them. Every wait is for an event and has a deadline (process.py)."""

import contextlib
import fcntl
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
import unittest

from guest_output import GuestOutput
from process import DEADLINE, SANITIZED, SCALE, Process  # noqa: F401 (tests have them from here)

FERRY = os.environ.get("FERRY", "build/release/ferry")
GUEST = os.environ.get("FERRY_GUEST", "build/release/guest/ferry-guest.elf")
F_SETPIPE_SZ = 1031  # <fcntl.h>; Python has it from 3.10 on
SANITIZER_REPORT = re.compile(
    rb"(ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:|Assertion .* failed)"
)


def peer_timeout(seconds=1.0):
    """A `--timeout` that is short for the test and yet long enough for a busy machine."""
    return f"{int(seconds * SCALE * 1000)}ms"


class Vm(Process):
    """`ferry run` or `ferry receive`, with a control socket."""

    def __init__(self, args, api, **options):
        self.api = api
        self.address = None
        super().__init__(args, **options)

    def cli(self, command, *args, check=True, deadline=DEADLINE):
        """Runs `ferry COMMAND --api-socket ...`; returns the finished subprocess."""
        done = subprocess.run(
            [FERRY, command, "--api-socket", self.api, *map(str, args)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=deadline,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"ferry {command} {args}: {done.returncode} {done.stderr}")
        return done

    def wait_ready(self, deadline=DEADLINE):
        """Waits until the control API answers; each question is a whole client process."""
        end = time.monotonic() + deadline
        while self.cli("info", check=False).returncode != 0:
            if time.monotonic() > end or not self.running():
                raise AssertionError(f"no control API: {self.stderr.text()}")

    def info(self):
        return json.loads(self.cli("info", "--json").stdout)

    def state(self):
        """Also of a process that is just ending, or has."""
        done = self.cli("info", "--json", check=False)
        return json.loads(done.stdout)["state"] if done.returncode == 0 else "gone"

    def wait_info(self, condition, what, deadline=DEADLINE):
        """Asks until `condition(info)`; each question is a whole client process, so no pause."""
        end = time.monotonic() + deadline
        while True:
            info = self.info()
            if condition(info):
                return info
            if time.monotonic() > end:
                raise AssertionError(f"never {what}: {info}; stderr: {self.stderr.text()[-2000:]}")

    def wait_ticks(self, more, deadline=DEADLINE):
        """Waits until the guest's output, in this process, has grown by so many tick letters."""
        wanted = GuestOutput(self.stdout.bytes()).ticks + more
        return self.stdout.wait_until(
            lambda data: GuestOutput(data).ticks >= wanted, deadline, f"{more} more ticks"
        )


class Migration(Process):
    """`ferry migrate --json` as a process of its own."""

    def report(self, status=0, deadline=2 * DEADLINE):
        """The report; AssertionError when migrate did not end with this status."""
        ended = self.wait(deadline)
        if ended != status:
            raise AssertionError(
                f"migrate ended with {ended}, not {status}: {self.stderr.text()} {self.stdout.text()}"
            )
        return json.loads(self.stdout.bytes())


class FerryTest(unittest.TestCase):
    """A directory for sockets and files, and processes that end with the test."""

    needs_kvm = True
    maxDiff = None

    def setUp(self):
        if self.needs_kvm:
            try:
                os.close(os.open("/dev/kvm", os.O_RDWR))
            except OSError as error:
                self.skipTest(f"/dev/kvm cannot be opened: {error.strerror}")
        self.directory = tempfile.mkdtemp(prefix="ferry-e2e-")
        self.addCleanup(shutil.rmtree, self.directory)
        self._names = 0

    def path(self, suffix):
        self._names += 1
        return f"{self.directory}/{self._names}.{suffix}"

    def start(self, kind, *args, **options):
        process = kind(*args, **options)
        self.addCleanup(self._finish, process)
        return process

    def _finish(self, process):
        process.close()
        report = SANITIZER_REPORT.search(process.stderr.bytes())
        self.assertIsNone(report, process.stderr.text())

    def run_vm(self, cmdline, *args, memory="32M", cpus=1, kernel=GUEST, inside=None, **options):
        """A guest, in the network namespace `inside` (netns.py) if there is one."""
        api = self.path("api")
        options.setdefault("stdin", subprocess.PIPE)
        command = [FERRY, "run", "--kernel", kernel, "--memory", memory, "--cpus", cpus,
                   "--cmdline", cmdline, "--api-socket", api, *args]
        return self.start(Vm, inside.command(command) if inside else command, api=api, **options)

    def receive(self, transport="tcp", *args, inside=None, **options):
        """`ferry receive` that listens already; its `address` is where."""
        api = self.path("api")
        host = inside.address if inside else "127.0.0.1"
        listen = f"tcp:{host}:0" if transport == "tcp" else f"unix:{self.path('sock')}"
        options.setdefault("stdin", subprocess.PIPE)
        command = [FERRY, "receive", "--listen", listen, "--api-socket", api, *args]
        vm = self.start(Vm, inside.command(command) if inside else command, api=api, **options)
        line = vm.stderr.wait_for(rb"^listening on (\S+)\n")
        vm.address = line[1].decode()
        return vm

    def migrate(self, source, to, *args):
        address = to.address if isinstance(to, Vm) else to
        return self.start(
            Migration,
            [FERRY, "migrate", "--api-socket", source.api, "--to", address, "--json", *args],
        )

    def move(self, source, *args, transport="tcp", receive=(), **receive_options):
        """One leg that must succeed: returns the receiver, which has the arguments `receive`, and the
        report."""
        target = self.receive(transport, *receive, **receive_options)
        report = self.migrate(source, target, *args).report()
        self.assertEqual(report["outcome"], "completed")
        self.assertEqual(source.wait(), 0, source.stderr.text())
        return target, report

    def ferry(self, *args, deadline=DEADLINE, **options):
        """A ferry that ends by itself: returns it finished, with .status."""
        process = self.start(Process, [FERRY, *args], **options)
        process.status = process.wait(deadline)
        return process

    def assert_sound(self, *legs):
        """No tick lost or repeated and no error told, over these processes in their order."""
        output = GuestOutput(*(leg.stdout.bytes() for leg in legs))
        self.assertEqual(output.problems(), [])
        return output

    def assert_stands_still(self, *vms, seconds=0.4):
        """None of these runs its guest: no tick comes."""
        for vm in vms:
            # What was on its way when the guest stopped: a few pieces at the most.
            for _ in range(20):
                if not vm.stdout.grows_within(0.05):
                    break
        for vm in vms:
            self.assertFalse(vm.stdout.grows_within(seconds * SCALE), vm.stdout.text()[-200:])

    def end(self, vm):
        """Asks a guest with `end=byte` to end, and sees it end well."""
        vm.write(b"q")
        self.assertEqual(vm.wait(), 0, vm.stderr.text() + vm.stdout.text()[-500:])


def pages_sent(pages):
    """How many pages went, of what a report says about pages; one that went twice counts twice."""
    return sum(pages[way] for way in ("zero", "raw", "compressed", "delta"))


def process_counts(pid):
    """Descriptors, threads and resident KiB of a process."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        fields = dict(line.split(":", 1) for line in status)
    return {
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        "threads": int(fields["Threads"]),
        "resident_kib": int(fields["VmRSS"].split()[0]),
    }


@contextlib.contextmanager
def silent_port():
    """A TCP port that nobody listens on, and nobody can meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def full_pipe():
    """A pipe into which not one byte more goes: (read end, write end, what is in it)."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, F_SETPIPE_SZ, 4096)
    os.set_blocking(writer, False)
    filler = b"-" * 4096
    assert os.write(writer, filler) == len(filler)
    os.set_blocking(writer, True)
    return reader, writer, filler
