"""A cgroup with a limit of memory, to run a process in."""

import os
import unittest


class SmallCgroup:
    """`inside=` of the harness. Skips the test when this user may not make one."""

    address = "127.0.0.1"

    def __init__(self, limit):
        root, self.limit_file, self.use_file = "/sys/fs/cgroup", "memory.max", "memory.current"
        if os.path.isdir(f"{root}/memory"):  # version 1
            root = f"{root}/memory"
            self.limit_file, self.use_file = "memory.limit_in_bytes", "memory.usage_in_bytes"
        self.path = f"{root}/ferry-test-{os.getpid()}"
        try:
            os.mkdir(self.path)
            self.limit(limit)
        except OSError as error:
            self.remove()
            raise unittest.SkipTest(f"needs root and a memory cgroup: {error}") from error

    def limit(self, to):
        with open(f"{self.path}/{self.limit_file}", "w", encoding="ascii") as setting:
            setting.write(str(to))

    def leave_room(self, room):
        """For so much more than is used now."""
        with open(f"{self.path}/{self.use_file}", encoding="ascii") as used:
            self.limit(int(used.read()) + room)

    def command(self, command):
        enter = f'echo $$ > "{self.path}/cgroup.procs" && exec "$@"'
        return ["sh", "-c", enter, "sh", *command]

    def remove(self):
        """When nothing runs in it any more."""
        if os.path.isdir(self.path):
            os.rmdir(self.path)
