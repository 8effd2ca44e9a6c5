"""A pseudo terminal with a ferry on it, as a person has."""

import contextlib
import fcntl
import os
import pty
import select
import struct
import termios
import time

from harness import DEADLINE


class Terminal:
    """What is typed on it, what is seen on it, and what mode it is in."""

    def __init__(self, columns=80):
        self.master, self.slave = pty.openpty()
        os.set_blocking(self.master, False)
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.before = self.mode()
        self.screen = b""

    def close(self):
        os.close(self.master)
        os.close(self.slave)

    def options(self):
        """For Process: the terminal is standard input, output and the controlling terminal."""
        return {"stdin": self.slave, "stdout": self.slave, "start_new_session": True,
                "preexec_fn": lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)}

    def mode(self):
        return termios.tcgetattr(self.slave)

    def raw(self):
        return not self.mode()[3] & termios.ICANON

    def until(self, condition, what, deadline=DEADLINE):
        """Reads the screen until `condition()` holds."""
        end = time.monotonic() + deadline
        while not (result := condition()):
            assert time.monotonic() < end, f"never {what}: {self.screen[-1000:]!r}"
            if select.select([self.master], [], [], 0.05)[0]:
                with contextlib.suppress(OSError):
                    self.screen += os.read(self.master, 65536)
        return result

    def shows(self, text, deadline=DEADLINE):
        return self.until(lambda: text in self.screen, f"shows {text!r}", deadline)

    def type(self, keys):
        """All of them; the screen is read meanwhile."""
        def press():
            nonlocal keys
            with contextlib.suppress(BlockingIOError):
                keys = keys[os.write(self.master, keys):]
            return not keys

        self.until(press, "takes the keys")
