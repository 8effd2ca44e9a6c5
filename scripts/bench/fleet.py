"""Guests that move between hosts, all at the same time."""

import contextlib
import json
import os
import statistics
import time
from dataclasses import dataclass

from . import guest, measure
from .hosts import HostProcess
from .child import Child, Failed

DEADLINE = 120.0
MIB = measure.MIB
PAGES_PER_MIB = 256
# What the tiny guest needs beyond the pages that it fills.
BESIDES_MIB = 23
# Pages a second that a guest reads and checks, from first to last, all the time.
CHECKED = 5_000
WALK = rb"^# check walks=\d+\n"


@dataclass
class Leg:
    """What it took to move the guests from one host to the other."""

    seconds: float
    cpu_seconds: float  # of all processes, without what the guests use anyway
    reports: list  # of the guests that moved
    refused: list  # reports of the others

    @property
    def wire_bytes(self):
        """Both ways."""
        return sum(each["wire_bytes"] + each["wire_bytes_back"] for each in self.reports)

    @property
    def sent_bytes(self):
        return sum(each["wire_bytes"] for each in self.reports)

    @property
    def kept_bytes(self):
        return sum((each["kept_image"] or {}).get("bytes", 0) for each in self.reports)

    def downtime(self):
        """Median and worst, in ms."""
        times = [each["downtime_ms"] for each in self.reports]
        return (statistics.median(times), max(times)) if times else (0.0, 0.0)


class Fleet:
    """So many equal guests, from the start of the first to the end of the last."""

    def __init__(self, program, kernel, directory):
        self._program = program
        self._kernel = kernel
        self._directory = directory
        self._stack = contextlib.ExitStack()
        self._processes = []
        self.homes = []  # the process that each guest runs in
        self._left = []  # those that guests have left

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return self._stack.__exit__(*error)

    def _process(self, host, *args, inside=None):
        api = os.path.join(self._directory, f"{len(self._processes)}.sock")
        process = HostProcess(host, api, [self._program, *args], inside)
        self._processes.append(self._stack.enter_context(process))
        return process

    def boot(self, host, count, fill_mib, changed, random_percent=100):
        """`changed` pages are what a change writes to."""
        cmdline = (f"fill={fill_mib} zero=0 random={random_percent} text={100 - random_percent}"
                   f" change={changed} check={CHECKED} end=byte")
        self.homes = [
            self._process(host, "run", "--kernel", self._kernel, "--memory",
                          f"{fill_mib + BESIDES_MIB}M", "--cmdline", cmdline,
                          "--name", f"guest-{number}")
            for number in range(1, count + 1)
        ]
        for home in self.homes:
            home.stdout.wait_for(guest.FILLED, deadline=DEADLINE)

    def ram_bytes(self):
        return sum(measure.guest_ram_resident_mib(home.pid) for home in self.homes) * MIB

    def _cpu_seconds(self):
        return sum(each.cpu_seconds() for each in self._processes if each.usage is None) + sum(
            each.usage.ru_utime + each.usage.ru_stime
            for each in self._processes if each.usage is not None
        )

    def _cpu_per_second(self):
        """What the guests use when nothing else goes on."""
        cpu, start = self._cpu_seconds(), time.monotonic()
        time.sleep(1)
        return (self._cpu_seconds() - cpu) / (time.monotonic() - start)

    def move(self, numbers, host, options, inside=None):
        """Moves these guests to a host. `inside` are cgroups for the receivers of some, by the
        number of the guest."""
        inside = inside or {}
        targets = {
            number: self._process(host, "receive", "--listen", host.any_port,
                                  inside=inside.get(number))
            for number in numbers
        }
        addresses = {
            number: target.stderr.wait_for(rb"^listening on (\S+)\n")[1].decode()
            for number, target in targets.items()
        }
        usual = self._cpu_per_second()
        cpu = self._cpu_seconds()
        start = time.monotonic()
        clients = {
            number: self._stack.enter_context(Child(
                [self._program, "migrate", "--api-socket", self.homes[number].api, "--to", to,
                 "--json", *options]
            ))
            for number, to in addresses.items()
        }
        moved = {number: client.wait(DEADLINE) == 0 for number, client in clients.items()}
        seconds = time.monotonic() - start
        leg = Leg(seconds, self._cpu_seconds() - cpu - usual * seconds, [], [])
        for number, client in clients.items():
            try:
                report = json.loads(client.stdout.text())
            except ValueError as error:
                raise Failed(f"ferry migrate: {client.stderr.text()}") from error
            (leg.reports if moved[number] else leg.refused).append(report)
            if moved[number]:
                self._left.append(self.homes[number])
                self.homes[number] = targets[number]
        return leg

    def change(self, numbers):
        """Lets these guests write to their pages, and waits for it."""
        for number in numbers:
            self.homes[number].write(b"c")
        for number in numbers:
            self.homes[number].stdout.wait_for(rb"^# change \d+ done .*\n", deadline=DEADLINE)

    def await_left(self):
        """Until the processes that guests have left end, with success. One that keeps an image does
        when the guest has taken it."""
        for process in self._left:
            if (status := process.wait()) != 0:
                raise Failed(f"{process.args} ended with {status}: {process.stderr.text()}")

    def check_and_end(self):
        """How many guests were lost: the others have checked each of their pages from now on, and
        ended when they were told to."""
        walks = [home.stdout.size() for home in self.homes]
        lost = 0
        for home, start in zip(self.homes, walks):
            try:
                for _ in range(3):  # a line tells of a walk at least; the first began before
                    start = home.stdout.wait_for(WALK, DEADLINE, start).end()
                home.write(b"q")
                home.stdout.wait_for(rb"^# end .*\n")
                lost += home.wait() != 0
            except (Failed, BrokenPipeError):
                lost += 1
        return lost
