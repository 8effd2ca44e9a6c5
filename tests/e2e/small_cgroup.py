"""A cgroup with a limit of memory, to run a process in."""

import os
import unittest


class SmallCgroup:
    """`inside=` of the harness. Skips the test when this user may not make one."""

    address = "127.0.0.1"

    def __init__(self, limit):
        root, file = "/sys/fs/cgroup", "memory.max"
        if os.path.isdir(f"{root}/memory"):  # version 1
            root, file = f"{root}/memory", "memory.limit_in_bytes"
        self.path = f"{root}/ferry-test-{os.getpid()}"
        try:
            os.mkdir(self.path)
            with open(f"{self.path}/{file}", "w", encoding="ascii") as setting:
                setting.write(str(limit))
        except OSError as error:
            self.remove()
            raise unittest.SkipTest(f"needs root and a memory cgroup: {error}") from error

    def command(self, command):
        enter = f'echo $$ > "{self.path}/cgroup.procs" && exec "$@"'
        return ["sh", "-c", enter, "sh", *command]

    def remove(self):
        """When nothing runs in it any more."""
        if os.path.isdir(self.path):
            os.rmdir(self.path)
