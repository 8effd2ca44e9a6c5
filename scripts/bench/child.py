"""Processes that are measured: the harness of the tests, with times."""

import contextlib
import os
import subprocess
import sys
import threading
import time

from process import DEADLINE, Failed, Process, Transcript  # noqa: F401 (the package has them from here)


class TimedTranscript(Transcript):
    """With the time at which each piece came."""

    def __init__(self, pipe):
        self.chunks = []  # (time.monotonic(), bytes)
        super().__init__(pipe)

    def _collect(self, pipe):
        # Time stamps are only as good as this thread is prompt. Without the privilege they are a
        # little later on a busy machine, for both programs alike.
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), -10)
        super()._collect(pipe)

    def _take(self, chunk):
        self.chunks.append((time.monotonic(), chunk))
        super()._take(chunk)


class Child(Process):
    """A program that is given input and measured. It ends with the `with` block, and nothing else
    does."""

    transcript = TimedTranscript

    def __init__(self, args, **popen):
        self.started = time.monotonic()
        super().__init__(args, stdin=subprocess.PIPE, **popen)

    def cpu_seconds(self):
        """CPU time so far, to the nanosecond; also of a child that ended and was not reaped."""
        # The clock of a process, as clock_getcpuclockid(3) makes it.
        return time.clock_gettime((~self.pid << 3) | 2)


def run_helper(script, *args, deadline=120.0):
    """The output of a module of this package, run as a process of its own: the memory that it
    touches is then not in the peak that children inherit from the process that spawns them."""
    path = os.path.join(os.path.dirname(__file__), script)
    done = subprocess.run(
        [sys.executable, "-B", path, *map(str, args)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=deadline,
    )
    if done.returncode != 0:
        raise Failed(f"{script}: {done.stderr}")
    return done.stdout
