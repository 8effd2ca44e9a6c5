"""A server of disks over NBD."""

import os
import shutil
import signal
import socket
import unittest

from process import Process

# The socket is the first that systemd would pass on. It is there from the start: nobody waits for it.
PASS_ON = 'exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec nbdkit --foreground --verbose "$@"'


class NbdServer:
    """nbdkit with these arguments, on a Unix socket. `test` closes it."""

    def __init__(self, test, *arguments):
        if shutil.which("nbdkit") is None:
            raise unittest.SkipTest("nbdkit is not installed")
        self._test = test
        self._arguments = arguments
        self._path = test.path("nbd")
        self.disk = f"nbd:nbd+unix:///?socket={self._path}"
        self.start()

    def start(self):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self._path)
            listener.listen()
            self.process = self._test.start(
                Process, ["sh", "-c", PASS_ON, "sh", *self._arguments], stdin=listener)

    def wait_connected(self):
        """Since the start."""
        self.process.stderr.wait_for(rb"handshake complete")

    def kill(self):
        os.unlink(self._path)
        self.process.kill()

    def stop(self):
        os.kill(self.process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)

    def go_on(self):
        os.kill(self.process.pid, signal.SIGCONT)
