"""Runs a program without userfaultfd, as a container's seccomp profile would: `harness.receive` takes
this as its `inside`. Needs no privilege."""

import ctypes
import os
import struct
import sys

address = "127.0.0.1"

LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06  # BPF_LD | BPF_W | BPF_ABS, BPF_JMP | BPF_JEQ, BPF_RET
NUMBER, SECOND_ARGUMENT = 0, 24  # offsets in struct seccomp_data
USERFAULTFD, IOCTL, USERFAULTFD_IOC_NEW = 323, 16, 0xAA00
ALLOW, REFUSE = 0x7FFF0000, 0x00050001  # SECCOMP_RET_ERRNO with EPERM
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
PROGRAM = (
    (LOAD, 0, 0, NUMBER),
    (JUMP_IF_EQUAL, 3, 0, USERFAULTFD),
    (JUMP_IF_EQUAL, 0, 3, IOCTL),
    (LOAD, 0, 0, SECOND_ARGUMENT),
    (JUMP_IF_EQUAL, 0, 1, USERFAULTFD_IOC_NEW),  # of /dev/userfaultfd
    (RETURN, 0, 0, REFUSE),
    (RETURN, 0, 0, ALLOW),
)


def command(args):
    return [sys.executable, "-B", __file__, *map(str, args)]


def forbid():
    code = b"".join(struct.pack("<HBBI", *instruction) for instruction in PROGRAM)
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("HxxxxxxP", len(PROGRAM), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    for call in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program)):
        if libc.prctl(*call) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    forbid()
    os.execvp(sys.argv[1], sys.argv[1:])
