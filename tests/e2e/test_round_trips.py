"""The proof of each mode: a guest that watches over itself goes back and forth for many legs."""

import itertools
import os
import random
import select
import threading
import unittest

from cases import cases
from guest_output import GuestOutput, fnv1a
from harness import FerryTest
from labels import labels

TRANSPORTS = ["tcp", "unix"]
COMPRESSIONS = ["auto", "lz4", "zstd", "none"]
CHANNELS = [1, 2, 3, 4]


class Typist:
    """Types lines into a pipe all the time, whoever reads it, and remembers what it typed. It does
    not type while there is something to read: a slow guest is not left behind for good."""

    def __init__(self, reader, writer, seed):
        self.typed = bytearray()
        self._reader = reader
        self._writer = writer
        self._random = random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._type, daemon=True)
        self._thread.start()

    def _type(self):
        # Any byte but the one that ends the guest, and the one that makes it answer.
        alphabet = bytes(set(range(256)) - {ord("q"), ord("\n")})
        while not self._stop.wait(0.02):  # the pace of the typing; nothing waits for it
            if not select.select([self._reader], [], [], 0)[0]:
                count = self._random.randrange(1, 30)
                self._write(bytes(self._random.choices(alphabet, k=count)))

    def _write(self, data):
        os.write(self._writer, data)
        self.typed += data

    def finish(self):
        self._stop.set()
        self._thread.join()
        self._write(b"\n")


@labels("slow")
class RoundTrips(FerryTest):
    def go(self, legs, cpus, seed, *options):
        """Returns the reports of the legs."""
        # One stdin for all processes: a byte that one of them takes and the guest never sees, or
        # sees twice or out of order, changes the guest's hash.
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, writer)
        visited = [
            self.run_vm(
                "tick=2 timer=100 fill=8 dirty=2000 ws=2 check regs echo end=byte",
                cpus=cpus, stdin=reader,
            )
        ]
        visited[0].stdout.wait_for(rb"^# fill done")
        typist = Typist(reader, writer, seed)
        reports = []
        choices = zip(*map(itertools.cycle, (TRANSPORTS, COMPRESSIONS, CHANNELS)))
        for transport, compression, channels in itertools.islice(choices, legs):
            target, report = self.move(
                visited[-1], "--verify", "--compression", compression, "--channels", channels,
                *options, transport=transport, stdin=reader,
            )
            reports.append(report)
            self.assertIs(report["verified"], True)
            visited.append(target)
            target.wait_ticks(5)
        typist.finish()
        data = bytes(typist.typed)
        visited[-1].stdout.wait_until(
            lambda tail: self.answers(visited[:-1], tail), what="the guest's answer to its input"
        )
        os.write(writer, b"q")
        self.assertEqual(visited[-1].wait(), 0, visited[-1].stdout.text()[-500:])
        output = self.assert_sound(*visited)
        self.assertGreater(output.ticks, 5 * legs)
        got = self.answers(visited, b"")[-1]
        self.assertEqual((int(got[1]), int(got[2], 16)), (len(data), fnv1a(data)))
        self.assertTrue(output.matching(r"^end ticks=\d+"))
        return reports

    def answers(self, vms, tail):
        output = GuestOutput(*(vm.stdout.bytes() for vm in vms), tail)
        return output.matching(r"^got (\d+) bytes sum=\d+ hash=(0x[0-9a-f]+)")


def of_some_vcpus(legs):
    return {
        f"of_a_guest_with_{vcpus}_loses_nothing_over_{legs}_legs": (cpus,)
        for vcpus, cpus in (("one_vcpu", 1), ("two_vcpus", 2), ("four_vcpus", 4))
    }


class PreCopy(RoundTrips):
    @cases(of_some_vcpus("fifty"))
    def go_fifty_legs(self, cpus):
        self.go(50, cpus, cpus, "--mode", "pre-copy")


class PostCopy(RoundTrips):
    @cases(of_some_vcpus("twenty"))
    def go_twenty_legs(self, cpus):
        reports = self.go(20, cpus, 10 + cpus, "--mode", "post-copy")
        for report in reports:
            pages = report["pages"]
            self.assertEqual(pages["resent"], 0)
            self.assertEqual(pages["demand"] + pages["pushed"] + pages["unpopulated"], pages["total"])
        self.assertGreater(sum(report["faults"]["count"] for report in reports), 20)


class Hybrid(RoundTrips):
    @cases(of_some_vcpus("twenty"))
    def go_twenty_legs(self, cpus):
        reports = self.go(20, cpus, 20 + cpus, "--mode", "hybrid")
        self.assertTrue(all(report["switched"] for report in reports))


class Auto(RoundTrips):
    @cases(of_some_vcpus("twenty"))
    def go_twenty_legs(self, cpus):
        # A link that this guest writes about as fast as, so that legs end in either way.
        reports = self.go(20, cpus, 30 + cpus, "--max-bandwidth", "80Mbit", "--max-downtime", "5ms")
        self.assertTrue(any(report["switched"] for report in reports))


if __name__ == "__main__":
    unittest.main()
