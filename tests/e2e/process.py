"""Children with their output collected, for tests and for scripts/bench. Every wait is for an event and
has a deadline."""

import contextlib
import os
import re
import select
import signal
import subprocess
import threading
import time

SANITIZED = bool(os.environ.get("FERRY_SANITIZE"))
# Sanitizers slow ferry down by a factor of several, and so does a KVM in software.
SCALE = (4 if SANITIZED else 1) * int(os.environ.get("FERRY_TEST_SLOWDOWN", "1"))
DEADLINE = 30.0 * SCALE


class Failed(AssertionError):
    """A program did not do what was waited for; the message says what it said."""


class Transcript:
    """Bytes that a thread collects from a pipe; others wait for what they want to see. Without a pipe
    it is empty and has ended."""

    def __init__(self, pipe):
        self._changed = threading.Condition()
        self._data = bytearray()
        self._closed = pipe is None
        self._thread = threading.Thread(target=self._collect, args=(pipe,), daemon=True)
        if pipe is not None:
            self._thread.start()

    def _collect(self, pipe):
        with pipe:
            while chunk := os.read(pipe.fileno(), 65536):
                self._take(chunk)
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _take(self, chunk):
        with self._changed:
            self._data += chunk
            self._changed.notify_all()

    def bytes(self):
        with self._changed:
            return bytes(self._data)

    def size(self):
        with self._changed:
            return len(self._data)

    def text(self):
        return self.bytes().decode("utf-8", "backslashreplace")

    def wait_for(self, pattern, deadline=DEADLINE, start=0):
        """The match of `pattern` (bytes) in what came after `start` bytes, or Failed with what did
        come."""
        return self.wait_until(
            lambda data: re.compile(pattern, re.MULTILINE).search(data, start), deadline, pattern
        )

    def wait_until(self, condition, deadline=DEADLINE, what="the condition"):
        with self._changed:
            self._changed.wait_for(lambda: condition(self._data) or self._closed, deadline)
            if result := condition(self._data):
                return result
            end = "ended" if self._closed else f"had no {what!r} after {deadline} s"
            raise Failed(f"output {end} without {what!r}: {bytes(self._data[-3000:])!r}")

    def grows_within(self, seconds):
        """Whether anything more comes in that time. False takes all of it."""
        with self._changed:
            size = len(self._data)
            return self._changed.wait_for(lambda: len(self._data) > size, seconds)

    def wait_closed(self, deadline=DEADLINE):
        if self._thread.ident is not None:
            self._thread.join(deadline)
        return self.bytes()


class Process:
    """A child. What it writes to a pipe is collected. Only this child is ever signalled, by its own
    pidfd. It ends with close(), or with the `with` block."""

    transcript = Transcript

    def __init__(self, args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                 stderr=subprocess.PIPE, **popen):
        self.args = [str(arg) for arg in args]
        self._popen = subprocess.Popen(
            self.args, stdin=stdin, stdout=stdout, stderr=stderr, bufsize=0, **popen
        )
        self.pid = self._popen.pid
        self._pidfd = os.pidfd_open(self.pid)
        self.stdout = self.transcript(self._popen.stdout)
        self.stderr = self.transcript(self._popen.stderr)
        # Written unbuffered: what was written has been handed over.
        self.stdin = self._popen.stdin and self._popen.stdin.fileno()
        self.usage = None  # of the whole life (struct rusage), once it was waited for

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def wait(self, deadline=DEADLINE):
        """The exit status (negative for a signal), with all output collected."""
        if self.usage is None:
            if not select.select([self._pidfd], [], [], deadline)[0]:
                raise Failed(
                    f"{self.args} still runs after {deadline} s; stderr: {self.stderr.text()[-3000:]}"
                )
            _, status, self.usage = os.wait4(self.pid, 0)
            self._popen.returncode = os.waitstatus_to_exitcode(status)
            for transcript in (self.stdout, self.stderr):
                transcript.wait_closed()
        return self._popen.returncode

    def running(self):
        return not select.select([self._pidfd], [], [], 0)[0]

    def signal(self, number):
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def suspend(self):
        """Stops it, and returns when no thread of it runs any more."""
        self.signal(signal.SIGSTOP)
        with contextlib.suppress(ChildProcessError):  # it has ended, and is known to have
            os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def insist(self, number, says, deadline=DEADLINE):
        """Signals until it says so (bytes); then its status. Signals at once count as one."""
        end = time.monotonic() + deadline
        while says not in self.stderr.bytes():
            if time.monotonic() > end:
                raise Failed(f"{self.args}: {self.stderr.text()[-3000:]}")
            self.signal(number)
            select.select([self._pidfd], [], [], 0.3)
        return self.wait()

    def kill(self):
        self.signal(signal.SIGKILL)
        return self.wait()

    def write(self, data):
        while data:
            data = data[os.write(self.stdin, data) :]

    def close_input(self):
        if self._popen.stdin:
            with contextlib.suppress(BrokenPipeError):
                self._popen.stdin.close()

    def close(self):
        """Ends it if need be and gives its descriptors back. May be called again."""
        if self._pidfd is None:
            return
        if self.running():
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGKILL)
        self.wait()
        self.close_input()
        os.close(self._pidfd)
        self._pidfd = None
