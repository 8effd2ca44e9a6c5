"""One run of the outer system: a command in it, with its output here."""

import os
import re
import selectors
import subprocess
import tempfile
import time

from . import initrd, qemu
from .packages import Failed

BOOT_LIMIT = 120  # seconds; it takes 5
CONSOLE_TAIL = 40  # lines
# The outer system says every 5 s that it is alive. One that does not for so long has lost its
# timer: now and then an emulated processor that halts is not woken again.
SILENCE_LIMIT = 90  # seconds


class TimeLimit(Failed):
    pass


class Hung(Failed):
    pass


class Machine:
    """`console` is what the outer kernel wrote, `status` that of the command once it ended."""

    def __init__(self, options, cache):
        self._options = options
        self._cache = cache
        self._started = False
        self._heard = None  # when it last reported something
        self._report = b""
        self._console = b""
        self.status = None

    def run(self, command, environment):
        """The command's exit status. Failed when the system did not get to tell it."""
        with tempfile.TemporaryDirectory(prefix="standard-kvm-") as folder:
            image = f"{folder}/initrd"
            with open(image, "wb") as file, open(self._cache.initrd, "rb") as base:
                file.write(base.read())
                file.write(initrd.for_command(command, environment, os.getcwd(), self._options.output))
            self._boot(image)
        if self.status is None:
            raise Failed(f"the outer system ended before the command did{self._tail()}")
        return self.status

    def _boot(self, image):
        pipes = {name: os.pipe() for name in ("out", "err", "report", "console")}
        out, err, report, console = (write for _, write in pipes.values())
        program, surroundings = self._cache.qemu()
        line = qemu.arguments(
            self._cache.kernel, image, self._options.cpus, self._options.memory,
            (out, err, report), console, self._options.output,
        )
        # QEMU must not outlive this script, however that ends.
        child = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *program, *line], env=surroundings,
            stdin=subprocess.DEVNULL, stdout=console, stderr=console,
            pass_fds=(out, err, report, console),
        )
        try:
            for _, write in pipes.values():
                os.close(write)
            self._follow({name: read for name, (read, _) in pipes.items()})
        finally:
            child.kill()
            child.wait()
            for read, _ in pipes.values():
                os.close(read)

    def _follow(self, pipes):
        """Passes output on until the command's end was reported, or all pipes were closed.

        The end is reported after the last output was taken, so that no more is waited for then.
        """
        handlers = {
            "out": lambda data: write_all(1, data),
            "err": lambda data: write_all(2, data),
            "report": self._on_report,
            "console": self._on_console,
        }
        begun = time.monotonic()
        with selectors.DefaultSelector() as selector:
            for name, read in pipes.items():
                selector.register(read, selectors.EVENT_READ, handlers[name])
            while selector.get_map():
                left = self._end(begun) - time.monotonic() if self.status is None else 0
                events = selector.select(max(0, left))
                if not events and self.status is not None:
                    return
                for key, _ in events:
                    data = os.read(key.fd, 65536)
                    if data:
                        key.data(data)
                    else:
                        selector.unregister(key.fd)
                # Judged after what came was taken: this script may itself have been stopped.
                if self.status is None and time.monotonic() > self._end(begun):
                    self._give_up(begun)

    def _limit(self):
        return self._options.timeout if self._started else BOOT_LIMIT

    def _end(self, begun):
        """When it has to be over, or to have shown that it lives."""
        end = begun + self._limit()
        return min(end, self._heard + SILENCE_LIMIT) if self._started else end

    def _give_up(self, begun):
        if self._end(begun) < begun + self._limit():
            raise Hung(f"the outer system hangs{self._tail()}")
        what = "the command did not end" if self._started else "the outer system did not start"
        raise TimeLimit(f"{what} within {self._limit():.0f} s{self._tail()}")

    def _on_report(self, data):
        self._report += data
        self._heard = time.monotonic()
        self._started = b"started\n" in self._report
        if ended := re.search(rb"^ended (\d+)\n", self._report, re.MULTILINE):
            self.status = int(ended[1])

    def _on_console(self, data):
        self._console += data
        if self._options.verbose:
            write_all(2, data)

    def _tail(self):
        lines = self._console.decode("utf-8", "backslashreplace").splitlines()[-CONSOLE_TAIL:]
        return "".join(f"\n  | {line}" for line in lines) or "; its console is empty"


def write_all(descriptor, data):
    while data:
        data = data[os.write(descriptor, data) :]
