"""A link that really breaks: two network namespaces joined by a pair of virtual Ethernet devices.

The proxy breaks connections; here packets vanish, and the kernels at both ends find out by
themselves. The namespaces have no names: they are held by descriptors of this process and its
children in them, and so are gone with those, whatever ends the test.
"""

import os
import shutil
import subprocess
import unittest

DEADLINE = 10.0
TOOLS = {"ip": "iproute2", "nft": "nftables", "nsenter": "util-linux", "unshare": "util-linux"}
DEVICE = "wire0"  # in either namespace

# Whether the kernel has all that a link is made of, or a switch.
PROBE = f"ip link add {DEVICE} type veth && nft add table inet link"
SWITCH_PROBE = "ip link add bridge0 type bridge && ip tuntap add dev tap0 mode tap"

# What comes in over the link is dropped, without a word to who sent it.
SILENCE = f'iifname "{DEVICE}" drop'
# What comes in is answered by a reset; resets themselves come through.
RESET = f"""iifname "{DEVICE}" tcp flags & rst != 0 accept
            iifname "{DEVICE}" meta l4proto tcp reject with tcp reset"""


def require(probe=PROBE):
    """Skips the test where there is no link to be had, or what else is tried."""
    if os.geteuid() != 0:
        raise unittest.SkipTest("needs root to make network namespaces")
    for tool, package in TOOLS.items():
        if not shutil.which(tool):
            raise unittest.SkipTest(f"{tool} is missing (package {package})")
    tried = subprocess.run(
        ["unshare", "--net", "sh", "-c", probe], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=DEADLINE,
    )
    if tried.returncode != 0:
        raise unittest.SkipTest(f"no such networks here: {tried.stderr.strip()}")


class Namespace:
    """A network of its own, with one address on the link."""

    def __init__(self, address):
        self.address = address
        with subprocess.Popen(
            ["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        ) as holder:
            holder.stdin.write(b"\n")
            if not holder.stdout.read(1):  # it echoes from inside the new namespace
                raise AssertionError("unshare made no network namespace")
            self._descriptor = os.open(f"/proc/{holder.pid}/ns/net", os.O_RDONLY)
            holder.stdin.close()  # which ends it

    @property
    def path(self):
        return f"/proc/{os.getpid()}/fd/{self._descriptor}"

    def command(self, args):
        """The same command, run inside; it keeps the process id that it is started with."""
        return ["nsenter", f"--net={self.path}", "--", *args]

    def run(self, *args, given=None):
        done = subprocess.run(
            self.command(args), input=given or "", capture_output=True, text=True,
            timeout=DEADLINE,
        )
        if done.returncode != 0:
            raise AssertionError(f"{args}: {done.stderr}")

    def filter(self, rules):
        """Treats what comes in by these rules of nftables, instead of those before."""
        table = "table inet link"
        self.run("nft", "--file", "-", given=f"""
            {table}
            delete {table}
            {table} {{
              chain incoming {{
                type filter hook input priority 0; policy accept;
                {rules}
              }}
            }}""")

    def close(self):
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class Link:
    """A whole link, between `near` and `far`, until close()."""

    def __init__(self):
        require()
        self.near = Namespace("192.0.2.1")
        self.far = Namespace("192.0.2.2")
        self.near.run("ip", "link", "add", DEVICE, "type", "veth",
                      "peer", "name", DEVICE, "netns", self.far.path)
        for end in (self.near, self.far):
            end.run("ip", "address", "add", f"{end.address}/24", "dev", DEVICE)
            for device in ("lo", DEVICE):
                end.run("ip", "link", "set", device, "up")

    def _filter(self, rules):
        for end in (self.near, self.far):
            end.filter(rules)

    def fall_silent(self):
        """No packet arrives any more, either way; nobody is told."""
        self._filter(SILENCE)

    def cut(self):
        """Every packet, either way, is answered by a reset: each end loses its connections as soon
        as it sends."""
        self._filter(RESET)

    def restore(self):
        self._filter("")

    def close(self):
        self.near.close()
        self.far.close()


class Switch:
    """A network namespace with a bridge, to which TAP interfaces are connected, until close()."""

    BRIDGE = "bridge0"

    def __init__(self, *taps):
        require(SWITCH_PROBE)
        self.inside = Namespace("127.0.0.1")
        self.inside.run("ip", "link", "set", "lo", "up")
        self.inside.run("ip", "link", "add", self.BRIDGE, "type", "bridge")
        for tap in taps:
            self.inside.run("ip", "tuntap", "add", "dev", tap, "mode", "tap")
            self.inside.run("ip", "link", "set", tap, "master", self.BRIDGE, "up")
        self.inside.run("ip", "link", "set", self.BRIDGE, "up")

    def close(self):
        self.inside.close()
