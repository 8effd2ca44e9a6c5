"""15 guests on three hosts, consolidated by `ferry plan`."""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import unittest

from netns import DEVICE, SWITCH_PROBE, Namespace, require

from . import ROOT, guest, measure
from .bars import Bar
from .child import Failed
from .fleet import DEADLINE, WALK
from .hosts import GBIT, SHAPING, HostProcess

HOSTS = 3
GUESTS = 15
FILL_MIB = 96
MEMORY_MIB = 120
IDLE = f"fill={FILL_MIB} zero=0 random=100 text=0 tick=100 irq end=byte"
# Pages that an active guest writes a second, and how many it writes to.
DIRTY, WRITTEN_MIB = 1000, 4
ACTIVE = f"{IDLE} dirty={DIRTY} ws={WRITTEN_MIB} check=100000"
TICK = rb"[a-z]"
SAMPLES = 3  # of CPU, a second each

# What the planner is told of a host: an HP ProLiant ML110 G5 (SPECpower_ssj2008).
IDLE_WATTS, BUSY_WATTS = 93.7, 135.0
HOST_MEMORY = 4096 * measure.MIB
HOST_CPU = 1
VM_CPU = 0.25  # of a processor: all share those of this machine
# Of a link of Ethernet, what TCP has.
PAYLOAD = 1448 / 1538 * GBIT


class Switched:
    """Hosts, each joined to one switch by a link of 1 Gbit/s, until close()."""

    def __init__(self, count):
        require(SWITCH_PROBE)
        self._switch = Namespace("192.0.2.254")
        self._switch.run("ip", "link", "add", "bridge0", "type", "bridge")
        self._switch.run("ip", "link", "set", "bridge0", "up")
        self.ends = [self._join(number) for number in range(1, count + 1)]

    def _join(self, number):
        end = Namespace(f"192.0.2.{number}")
        port = f"port{number}"
        self._switch.run("ip", "link", "add", port, "type", "veth", "peer", "name", DEVICE, "netns", end.path)
        self._switch.run("ip", "link", "set", port, "master", "bridge0", "up")
        end.run("ip", "address", "add", f"{end.address}/24", "dev", DEVICE)
        for device in ("lo", DEVICE):
            end.run("ip", "link", "set", device, "up")
        end.run("tc", "qdisc", "add", "dev", DEVICE, "root", "tbf", *SHAPING)
        self._switch.run("tc", "qdisc", "add", "dev", port, "root", "tbf", *SHAPING)
        return end

    def close(self):
        for end in (self._switch, *self.ends):
            end.close()


class Site:
    """A host: its name, its end of the network, and no store."""

    options = ()

    def __init__(self, name, end):
        self.name = name
        self.end = end


class Center:
    """The hosts and the guests, from the start of the first to the end of the last."""

    def __init__(self, options, directory, stack):
        self._options = options
        self._directory = directory
        self._stack = stack
        network = stack.enter_context(contextlib.closing(Switched(HOSTS)))
        self.sites = [Site(f"host-{number}", end) for number, end in enumerate(network.ends, 1)]
        self._processes = 0
        self.homes = {}  # the process that each guest runs in
        self.active = set()

    def _process(self, site, *args):
        self._processes += 1
        api = os.path.join(self._directory, f"{self._processes}.sock")
        return self._stack.enter_context(
            HostProcess(site, api, [self._options.ferry, *args]))

    def boot(self):
        """As many at each host, one of them active."""
        for number in range(GUESTS):
            name = f"guest-{number + 1:02}"
            active = number % (GUESTS // HOSTS) == 0
            if active:
                self.active.add(name)
            self.homes[name] = self._process(
                self.sites[number * HOSTS // GUESTS], "run", "--kernel", self._options.guest,
                "--memory", f"{MEMORY_MIB}M", "--cmdline", ACTIVE if active else IDLE,
                "--name", name)
        for home in self.homes.values():
            home.stdout.wait_for(guest.FILLED, deadline=DEADLINE)

    def used(self, home):
        return int(measure.guest_ram_resident_mib(home.pid) * measure.MIB)

    def memory_of(self, site):
        return sum(self.used(home) for home in self.homes.values() if home.host is site)

    def guests_of(self, site):
        return [name for name, home in self.homes.items() if home.host is site]

    def cpu_history(self):
        """Per cent of its CPU that each guest's process takes, in each of some seconds."""
        history = {name: [] for name in self.homes}
        for _ in range(SAMPLES):
            before = {name: home.cpu_seconds() for name, home in self.homes.items()}
            start = time.monotonic()
            time.sleep(1)
            seconds = time.monotonic() - start
            for name, home in self.homes.items():
                used = (home.cpu_seconds() - before[name]) / seconds
                history[name].append(100 * used / VM_CPU)
        return history

    def fleet(self):
        """What `ferry plan` reads, without receivers."""
        history = self.cpu_history()
        return {
            "hosts": [{"name": site.name, "memory": HOST_MEMORY, "cpu": HOST_CPU, "link": PAYLOAD,
                       "idle_watts": IDLE_WATTS, "busy_watts": BUSY_WATTS} for site in self.sites],
            "vms": [{"name": name, "host": home.host.name, "memory": MEMORY_MIB * measure.MIB,
                     "used": self.used(home), "cpu": history[name], "cpu_size": VM_CPU,
                     "dirty_pages_per_s": DIRTY if name in self.active else 0,
                     "api_socket": home.api} for name, home in self.homes.items()],
        }

    def _plan(self, fleet, *args):
        path = os.path.join(self._directory, "fleet.json")
        with open(path, "w", encoding="ascii") as file:
            json.dump(fleet, file)
        done = subprocess.run([self._options.ferry, "plan", path, *args, "--json"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                              timeout=DEADLINE, check=False)
        if done.returncode != 0:
            raise Failed(f"ferry plan ended with {done.returncode}")
        return json.loads(done.stdout)

    def consolidate(self):
        """The plan as it was carried out, and the seconds that took."""
        fleet = self.fleet()
        site_of = {site.name: site for site in self.sites}
        receivers = [
            (move["vm"], self._process(site_of[move["to"]], "receive", "--listen",
                                       f"tcp:{site_of[move['to']].end.address}:0"))
            for move in self._plan(fleet)["moves"]
        ]
        fleet["receivers"] = [
            {"host": process.host.name, "api_socket": process.api,
             "listen": process.stderr.wait_for(rb"^listening on (\S+)\n")[1].decode()}
            for _, process in receivers
        ]
        start = time.monotonic()
        plan = self._plan(fleet, "--apply")
        seconds = time.monotonic() - start
        for name, process in receivers:
            left, self.homes[name] = self.homes[name], process
            if (status := left.wait()) != 0:
                raise Failed(f"{name} left, and its process ended with {status}")
        return plan, seconds

    def lost(self):
        """Guests that do not live: active ones check all their memory once more, idle ones tick."""
        lost = 0
        for name, home in self.homes.items():
            pattern = WALK if name in self.active else TICK
            try:
                start = home.stdout.size()
                for _ in range(2 if name in self.active else 1):
                    start = home.stdout.wait_for(pattern, DEADLINE, start).end()
                home.write(b"q")
                home.stdout.wait_for(rb"^# end .*\n", DEADLINE)
                lost += home.wait() != 0
            except (Failed, BrokenPipeError):
                lost += 1
        return lost


def show(center, title):
    print(f"\n{title}")
    for site in center.sites:
        names = center.guests_of(site)
        active = sum(name in center.active for name in names)
        print(f"  {site.name}: {len(names) - active:2} idle, {active} active, "
              f"{center.memory_of(site) / measure.MIB:7.1f} MiB of guests' memory")


def near(name, measured, planned, unit):
    """Two bars: no more than a tenth above what was planned, or below it."""
    yield Bar(f"{name} against 1.1 x the plan", measured, 1.1 * planned, unit)
    yield Bar(f"{name} against 0.9 x the plan", measured, 0.9 * planned, unit, at_least=True)


def bars(center, plan, lost):
    reports = [move["report"] for move in plan["moves"]]
    kinds = [{name in center.active for name in center.guests_of(site)} for site in center.sites]
    yield Bar("guests lost", lost, 0, "")
    yield Bar("hosts with idle and active guests", sum(len(each) == 2 for each in kinds), 0, "")
    yield Bar("hosts that are empty", sum(not each for each in kinds), 1, "", at_least=True)
    yield Bar("memory on them", sum(center.memory_of(site) for site, each in zip(center.sites, kinds)
                                    if not each) / measure.MIB, 0, "MiB")
    yield from near("bytes", sum(each["wire_bytes"] for each in reports) / measure.MIB,
                    plan["bytes"] / measure.MIB, "MiB")
    # One move at a time uses a link, so their times add up where they share one.
    steps = {}
    for move in plan["moves"]:
        steps[move["step"]] = max(steps.get(move["step"], 0), move["report"]["total_ms"] / 1e3)
    yield from near("time of the migrations", sum(steps.values()), plan["seconds"], "s")


def arguments(description):
    parser = argparse.ArgumentParser(description=description)
    for name, path in (("ferry", "ferry"), ("guest", "guest/ferry-guest.elf")):
        parser.add_argument(f"--{name}", default=f"{ROOT}/build/release/{path}", metavar="FILE")
    options = parser.parse_args()
    for path in (options.ferry, options.guest):
        if not os.path.exists(path):
            parser.error(f"{path} is missing: run scripts/build, or name another")
    return options


def run(options):
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="ferry-consolidate-"))
        center = Center(options, directory, stack)
        center.boot()
        show(center, "Before:")
        plan, seconds = center.consolidate()
        show(center, "After:")
        before, after = plan["before"], plan["after"]
        print(f"\n{len(plan['moves'])} moves, {plan['bytes'] / measure.MIB:.1f} MiB and "
              f"{plan['seconds']:.2f} s as planned; {seconds:.2f} s with all processes")
        print(f"hosts on: {before['hosts_on']} -> {after['hosts_on']}; {before['watts']:.1f} W -> "
              f"{after['watts']:.1f} W (by the model), which is "
              f"{3.6e3 * (before['watts'] - after['watts']) / 1e3:.0f} kJ less an hour; "
              f"the moves cost {plan['joules'] / 1e3:.1f} kJ\n")
        placed = list(bars(center, plan, 0))[1:]
        found = [Bar("guests lost", center.lost(), 0, ""), *placed]
    print("\n".join(bar.line() for bar in found))
    return 0 if all(bar.passed for bar in found) else 1


def main(description):
    options = arguments(description)
    try:
        return run(options)
    except unittest.SkipTest as reason:
        print(f"cannot run here: {reason}", file=sys.stderr)
        return 77
