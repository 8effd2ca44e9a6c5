"""A cgroup with a limit of memory, to run a process in."""

import contextlib
import os
import subprocess
import tempfile
import unittest

ROOT = "/sys/fs/cgroup"
# Of version 1 and of version 2: the limit, and what is used.
FILES = (("memory.limit_in_bytes", "memory.usage_in_bytes"), ("memory.max", "memory.current"))


class SmallCgroup:
    """`inside=` of the harness. Skips the test when this user may not make one."""

    address = "127.0.0.1"

    def __init__(self, limit):
        self.mounted = None
        self.path = None
        try:
            self.path = self.make()
            self.limit(limit)
        except OSError as error:
            self.remove()
            needs = "this host has no memory cgroups" if os.geteuid() == 0 else "needs root and a memory cgroup"
            raise unittest.SkipTest(f"{needs}: {error}") from error

    def make(self):
        """In the hierarchy that the host has mounted, else in one that is mounted for this group alone."""
        path = self.group_in(f"{ROOT}/memory") or self.group_in(ROOT)
        for kind in (["cgroup", "-o", "memory"], ["cgroup2"]):
            path = path or self.group_in(self.mount(kind))
        if path is None:
            raise OSError("no hierarchy limits memory")
        return path

    def mount(self, kind):
        self.unmount()
        place = tempfile.mkdtemp(prefix="ferry-cgroup-")
        done = subprocess.run(["mount", "-t", *kind, "ferry-test", place], stderr=subprocess.DEVNULL, check=False)
        if done.returncode == 0:
            self.mounted = place
        else:
            os.rmdir(place)
        return place

    def unmount(self):
        if self.mounted:
            subprocess.run(["umount", self.mounted], check=True)
            os.rmdir(self.mounted)
            self.mounted = None

    def group_in(self, root):
        """The path of a new group there; None where that does not limit memory."""
        with contextlib.suppress(OSError):  # version 1 has no such file
            with open(f"{root}/cgroup.subtree_control", "r+", encoding="ascii") as passed_on:
                passed_on.write("+memory")
        path = f"{root}/ferry-test-{os.getpid()}"
        try:
            os.mkdir(path)
        except OSError:
            return None
        for self.limit_file, self.use_file in FILES:
            if os.path.exists(f"{path}/{self.limit_file}"):
                return path
        os.rmdir(path)
        return None

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
        if self.path and os.path.isdir(self.path):
            os.rmdir(self.path)
        self.unmount()
