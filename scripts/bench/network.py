"""The cases of a guest's network: frames a second, and how long nobody hears of a guest that moves."""

import contextlib
import os
import sys
from dataclasses import dataclass

from netns import DEVICE, Namespace, Switch

from . import guest
from .bars import Bar
from .child import Child
from .ferry import Ferry, FerryArm
from .qemu import Qemu, QemuArm
from .rate import rate

MEMORY_MIB = 256
MAC = "52:54:00:12:34:56"
TAPS = ("tap0", "tap1")
FRAME_BYTES = (60, 1514)


def _far_end(inside, *args):
    return Child(inside.command([sys.executable, "-B", f"{os.path.dirname(__file__)}/frames.py", *args]))


def qemu_devices(tap, disk=None):
    """Modern virtio devices, by QEMU's command line."""
    args = ["-netdev", f"tap,id=net,ifname={tap},script=no,downscript=no,vhost=off",
            "-device", f"virtio-net-pci,disable-legacy=on,netdev=net,mac={MAC}"]
    if disk:
        args += ["-object", "iothread,id=io", "-drive", f"if=none,id=disk,format=raw,file={disk}",
                 "-device", "virtio-blk-pci,disable-legacy=on,drive=disk,iothread=io",
                 "-device", "virtio-rng-pci,disable-legacy=on",
                 "-device", "virtio-balloon-pci,disable-legacy=on"]
    return tuple(args)


def _frames(boot, line, far_end=contextlib.nullcontext):
    with boot() as vm, far_end():
        frames, cpu = rate(vm, line)
        return {"frames": frames, "frame_cpu": cpu}


def frames(programs, run):
    with contextlib.closing(Switch(TAPS[0])) as switch:
        inside = switch.inside

        def arms(way, cmdline, line, **far_end):
            return {
                f"ferry, {way}": lambda: _frames(lambda: Ferry(
                    programs.ferry, f"{programs.directory}/api", "run", "--kernel", programs.kernel,
                    "--memory", f"{MEMORY_MIB}M", "--cmdline", cmdline, "--net",
                    f"tap:{TAPS[0]},mac={MAC}", inside=inside), line, **far_end),
                f"qemu, {way}": lambda: _frames(lambda: Qemu(
                    programs.kernel, MEMORY_MIB, cmdline, machine="pc",
                    devices=qemu_devices(TAPS[0]), inside=inside), line, **far_end),
            }

        every = {}
        for size in FRAME_BYTES:
            every |= arms(f"out, {size} B", f"net-sends={size}", guest.FRAMES_SENT)
            every |= arms(f"in, {size} B", "net-counts", guest.FRAMES_CAME, far_end=lambda size=size:
                          _far_end(inside, "send", Switch.BRIDGE, MAC, str(size)))
        run.interleaved(every)


def frames_bars(samples):
    return [
        Bar(f"frames {way}, {size} B, against QEMU", samples[f"ferry, {way}, {size} B"].median("frames"),
            samples[f"qemu, {way}, {size} B"].median("frames"), "/s", at_least=True)
        for size in FRAME_BYTES for way in ("out", "in")
    ]


class Observer:
    """A third host at the guest's switch, which hears of each of its frames. Until close()."""

    def __init__(self, switch):
        self._end = Namespace("192.0.2.3")
        switch.inside.run("ip", "link", "add", DEVICE, "master", Switch.BRIDGE, "type", "veth",
                          "peer", "name", DEVICE, "netns", self._end.path)
        switch.inside.run("ip", "link", "set", DEVICE, "up")
        self._end.run("ip", "link", "set", DEVICE, "up")
        self._watch = _far_end(self._end, "watch", DEVICE)
        self._watch.stdout.wait_for(rb"^ready\n")

    def longest_silence(self, frames):
        """In ms, since it was last asked; when so many frames more have come."""
        start = self._watch.stdout.size()
        self._watch.write(b"%d\n" % frames)
        return float(self._watch.stdout.wait_for(rb"^longest_ms=(\S+)\n", start=start)[1])

    def close(self):
        self._watch.close()
        self._end.close()


@dataclass
class _Observed:
    """A way to migrate, with the longest silence on the network meanwhile."""

    observer: Observer = None
    _silence: float = 0.0

    def migrate(self, source, target, to):
        self.observer.longest_silence(10)
        super().migrate(source, target, to)
        self._silence = self.observer.longest_silence(100)

    def report(self, source):
        return super().report(source) | {"blackout": self._silence}


@dataclass
class ObservedFerry(_Observed, FerryArm):
    pass


@dataclass
class ObservedQemu(_Observed, QemuArm):
    pass
