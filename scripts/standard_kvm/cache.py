"""What the outer system is made of, made once and kept outside the source tree."""

import contextlib
import fcntl
import glob
import lzma
import os
import shutil
import struct
import tempfile

from . import initrd, packages, qemu
from .packages import Failed, Suite, extract, say

# The kernels are those of the release that most hosts have; QEMU is that of the one after, since
# the older QEMU's nested guests must do without XSAVE.
KERNEL_SUITE, QEMU_SUITE = "bookworm", "trixie"
NESTED_MODULES = ["virtio_pci", "virtio_rng", "virtio_blk", "virtio_net", "virtio_balloon"]
# Raised when something else is to be in the folder: it is made anew then.
FORMAT = "3"


def default_folder():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return f"{base}/ferry/standard-kvm"


class Cache:
    def __init__(self, folder):
        self.folder = folder
        self.kernel = f"{folder}/vmlinux"
        self.initrd = f"{folder}/initrd"
        self.busybox = f"{folder}/busybox"
        self.nested_kernel = f"{folder}/vmlinuz-cloud"
        self.nested_modules = f"{folder}/modules"
        self._qemu = f"{folder}/qemu"

    def qemu(self):
        """How QEMU is started, and its environment."""
        if os.path.exists(self._qemu):
            return qemu.fetched(self._qemu), qemu.environment(self._qemu)
        return qemu.installed(), dict(os.environ)

    def complete(self):
        with contextlib.suppress(OSError), open(f"{self.folder}/format", encoding="ascii") as file:
            return file.read() == FORMAT
        return False

    def fill(self, mirror=None):
        """Fetches what is missing; of several processes at once, one does it."""
        parent = os.path.dirname(self.folder)
        os.makedirs(parent, exist_ok=True)
        with open(f"{self.folder}.lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self.complete():
                return
            with tempfile.TemporaryDirectory(dir=parent) as work:
                made = Cache(f"{work}/made")
                os.mkdir(made.folder)
                made._make(f"{work}/fetched", mirror or packages.host_mirror())
                shutil.rmtree(self.folder, ignore_errors=True)
                os.rename(made.folder, self.folder)

    def _make(self, work, mirror):
        suite = Suite(f"{work}/{KERNEL_SUITE}", mirror, KERNEL_SUITE)
        tree = f"{work}/kernel"
        extract(suite.download(suite.kernel_package("linux-image-amd64")), tree,
                "./boot/vmlinuz-*", "./lib/modules/*")
        extract(suite.download(suite.kernel_package("linux-image-cloud-amd64")), f"{work}/cloud",
                "./boot/*", "./lib/modules/*")
        extract(suite.download("busybox-static"), f"{work}/busybox", "./bin/busybox")
        os.rename(f"{work}/busybox/bin/busybox", self.busybox)
        os.rename(only(f"{work}/cloud/boot/vmlinuz-*"), self.nested_kernel)
        write_modules(f"{work}/cloud/lib/modules", self.nested_modules)
        with open(only(f"{tree}/boot/vmlinuz-*"), "rb") as image, open(self.kernel, "wb") as file:
            file.write(unpacked_kernel(image.read()))
        with open(self.initrd, "wb") as file:
            file.write(initrd.base(f"{tree}/lib/modules", self.busybox))
        try:
            suite = Suite(f"{work}/{QEMU_SUITE}", mirror, QEMU_SUITE)
            for deb in suite.download_with_dependencies("qemu-system-x86"):
                extract(deb, self._qemu)
        except Failed as failure:
            shutil.rmtree(self._qemu, ignore_errors=True)
            if not qemu.installed():
                raise
            say(f"no newer QEMU ({failure}): the one that is installed runs, without XSAVE")
        with open(f"{self.folder}/format", "w", encoding="ascii") as file:
            file.write(FORMAT)


def write_modules(tree, folder):
    """What a nested Linux needs for Ferry's devices: files whose names sort in the order in which
    they can be loaded."""
    os.mkdir(folder)
    modules = initrd.in_order(initrd.module_files(tree), NESTED_MODULES, [])
    for number, (name, content) in enumerate(modules):
        with open(f"{folder}/{number:02}-{name}.ko", "wb") as file:
            file.write(content)


def only(pattern):
    found = glob.glob(pattern)
    if len(found) != 1:
        raise Failed(f"{len(found)} files match {pattern}, where one should")
    return found[0]


def unpacked_kernel(image):
    """The ELF file in a bzImage, which boots some seconds sooner where decompressing is emulated."""
    setup_sectors = image[0x1F1]
    offset, length = struct.unpack_from("<II", image, 0x248)  # payload_offset and payload_length
    start = (setup_sectors + 1) * 512 + offset
    return lzma.decompress(image[start : start + length - 4])  # its size follows
