"""Programs with rights of their own, run by a user without: the files below /proc of such a process
belong to root. `inside=` of the harness. Needs root."""

import os
import shutil
import stat
import subprocess
import sys
import unittest

from harness import DEADLINE, FERRY, SANITIZED

USER, GROUP, KVM = 65534, 65534, 65533


class Undumpable:
    address = "127.0.0.1"

    def __init__(self, directory, grant):
        """`grant(program)` gives rights to a copy of ferry. The user gets the directory."""
        if SANITIZED:
            raise unittest.SkipTest("a sanitizer looks for leaks by ptrace, which is not allowed here")
        if os.geteuid() != 0:
            raise unittest.SkipTest("needs root, to run a program as somebody else")
        self.program = shutil.copy(FERRY, f"{directory}/{grant.__name__}")
        self.device = f"{self.program}.kvm"
        try:
            os.mknod(self.device, 0o660 | stat.S_IFCHR, os.stat("/dev/kvm").st_rdev)
        except OSError as error:
            raise unittest.SkipTest(f"no device can be made here: {error}") from error
        os.chown(self.device, USER, KVM)
        os.chmod(self.device, 0o660)
        os.chmod(self.program, 0o755)
        grant(self.program)
        os.chown(directory, USER, GROUP)

    def command(self, command):
        return ["unshare", "--mount", sys.executable, "-B", __file__, self.device, self.program,
                *map(str, command[1:])]


def tool(*args):
    """Or skips the test."""
    try:
        subprocess.run(args, check=True, capture_output=True, stdin=subprocess.DEVNULL,
                       timeout=DEADLINE)
    except (OSError, subprocess.CalledProcessError) as error:
        raise unittest.SkipTest(f"{args[0]} does not work here: {error}") from error


def capable(program):
    tool("setcap", "cap_sys_ptrace+ep", program)


def set_gid(program):
    os.chown(program, 0, KVM)
    os.chmod(program, 0o2755)


def unreadable(program):
    os.chmod(program, 0o711)


if __name__ == "__main__":
    tool("mount", "--bind", sys.argv[1], "/dev/kvm")
    os.setgroups([])
    os.setresgid(GROUP, GROUP, GROUP)
    os.setresuid(USER, USER, USER)
    os.execv(sys.argv[2], sys.argv[2:])
