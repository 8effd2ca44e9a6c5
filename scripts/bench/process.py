"""Children whose output is collected with the time at which each piece came."""

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time

DEADLINE = 30.0


class Failed(Exception):
    """A program did not do what the measurement needs; the message says what it said."""


class Stream:
    """What comes out of a pipe, collected by a thread."""

    def __init__(self, pipe):
        self.chunks = []  # (time.monotonic(), bytes)
        self._changed = threading.Condition()
        self._data = bytearray()
        self._closed = False
        self._thread = threading.Thread(target=self._collect, args=(pipe,), daemon=True)
        self._thread.start()

    def _collect(self, pipe):
        # Time stamps are only as good as this thread is prompt. Without the privilege they are a
        # little later on a busy machine, for both programs alike.
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), -10)
        with pipe:
            while chunk := os.read(pipe.fileno(), 65536):
                now = time.monotonic()
                with self._changed:
                    self.chunks.append((now, chunk))
                    self._data += chunk
                    self._changed.notify_all()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __len__(self):
        with self._changed:
            return len(self._data)

    def text(self):
        with self._changed:
            return self._data.decode("utf-8", "backslashreplace")

    def wait_for(self, pattern, start=0, deadline=DEADLINE):
        """The match of `pattern` (bytes) in what came after `start` bytes."""
        search = re.compile(pattern, re.MULTILINE).search
        with self._changed:
            self._changed.wait_for(lambda: search(self._data, start) or self._closed, deadline)
            if match := search(self._data, start):
                return match
            how = "ended" if self._closed else f"took more than {deadline:.0f} s"
            raise Failed(f"output {how} without {pattern!r}: {bytes(self._data[-500:])!r}")

    def join(self, deadline=DEADLINE):
        self._thread.join(deadline)


class Child:
    """A program with its output collected. It ends with the `with` block, and nothing else does."""

    def __init__(self, args, pass_fds=()):
        self.args = [str(arg) for arg in args]
        self.started = time.monotonic()
        self.popen = subprocess.Popen(
            self.args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            bufsize=0, pass_fds=pass_fds,
        )
        self.pid = self.popen.pid
        self._pidfd = os.pidfd_open(self.pid)
        self.out = Stream(self.popen.stdout)
        self.err = Stream(self.popen.stderr)
        self.usage = None  # of the whole life, once it ended

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def cpu_seconds(self):
        """CPU time so far, to the nanosecond; also of a child that ended and was not reaped."""
        # The clock of a process, as clock_getcpuclockid(3) makes it.
        return time.clock_gettime((~self.pid << 3) | 2)

    def wait(self, deadline=DEADLINE):
        """The exit status (negative for a signal)."""
        if self.usage is None:
            if not select.select([self._pidfd], [], [], deadline)[0]:
                raise Failed(f"{self.args} still runs after {deadline:.0f} s: {self.err.text()}")
            _, status, self.usage = os.wait4(self.pid, 0)
            self.popen.returncode = os.waitstatus_to_exitcode(status)
            self.out.join()
            self.err.join()
        return self.popen.returncode

    def end(self):
        if self.usage is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            self.wait()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
            self.popen.stdin.close()


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
