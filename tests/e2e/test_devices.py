"""Virtio devices, with a guest that checks what it gets of them, on this host and across legs."""

import os
import re
import shutil
import unittest

from cases import cases
from harness import FerryTest
from labels import labels

MODES = ("pre-copy", "post-copy", "hybrid", "auto")
LEGS = 8


def of_some_vcpus(device):
    return {
        f"a_guest_with_{vcpus}_keeps_{device}": (cpus,)
        for vcpus, cpus in (("one_vcpu", 1), ("two_vcpus", 2), ("four_vcpus", 4))
    }


def counts(output, name):
    """What the guest counted at its end."""
    found = re.search(rf"\b{name}=(\S+)", output.matching(r"^(end ticks=.*)")[-1][1])
    return [int(count) for count in found[1].split("/")]


class TheEntropyDevice(FerryTest):
    def test_gives_a_guest_bytes_that_differ(self):
        vm = self.run_vm("tick=2 rng end=ticks:200", "--rng")
        self.assertEqual(vm.wait(), 0, vm.stdout.text())
        self.assertGreater(counts(self.assert_sound(vm), "rng")[0], 64)

    def test_is_not_there_unless_it_is_asked_for(self):
        vm = self.run_vm("tick=2 rng end=ticks:200")
        self.assertEqual(vm.wait(), 4)
        self.assertRegex(vm.stdout.text(), r"(?m)^# error option rng: no such device$")


@labels("no-tsan")
class TheBalloon(FerryTest):
    """Of a guest without a driver for it; a Linux guest has one (test_linux)."""

    def target_of(self, vm):
        balloon = vm.info()["balloon"]
        self.assertEqual(balloon["actual"], 0)
        return balloon["target"]

    def test_remembers_what_it_is_asked_for_and_goes_along(self):
        for options in (["--balloon"], ["--balloon", "--free-page-reporting"]):
            source = self.run_vm("tick=2 end=byte", *options, memory="64M")
            source.wait_ticks(1)
            self.assertEqual(self.target_of(source), 0)
            source.cli("set", "--balloon", "48M")
            source.wait_ticks(5)
            target, report = self.move(source, "--verify")
            self.assertIs(report["verified"], True)
            self.assertEqual(self.target_of(target), 48 << 20)
            target.cli("set", "--balloon", "0")
            self.assertEqual(self.target_of(target), 0)
            self.end(target)
            self.assert_sound(source, target)

    def test_leaves_the_guest_16_mib(self):
        vm = self.run_vm("tick=2 end=byte", "--balloon", memory="64M")
        vm.wait_ticks(1)
        refused = vm.cli("set", "--balloon", "49M", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("can be asked for 48 MiB", refused.stderr)
        self.assertEqual(self.target_of(vm), 0)
        self.end(vm)

    def test_is_not_there_unless_it_is_asked_for(self):
        vm = self.run_vm("tick=2 end=byte")
        vm.wait_ticks(1)
        self.assertIsNone(vm.info()["balloon"])
        refused = vm.cli("set", "--balloon", "16M", check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("'ferry run --balloon' gives it one", refused.stderr)
        self.end(vm)


class AnotherKernel:
    """`inside=` of the harness: as far as its boot id tells. Skips the test without root."""

    address = "127.0.0.1"

    def __init__(self, boot_id):
        if os.geteuid() != 0:
            raise unittest.SkipTest("needs root to mount")
        self.boot_id = boot_id
        with open(boot_id, "w", encoding="ascii") as file:
            file.write("12345678-9abc-4def-8123-456789abcdef\n")

    def command(self, command):
        other = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"'
        return ["unshare", "--mount", "sh", "-c", other, self.boot_id, *command]


# What devices write into RAM is read meanwhile, torn or not, and comes again: a race on purpose.
@labels("no-tsan")
class ADisk(FerryTest):
    def disk(self, size=8 << 20, name="disk"):
        path = self.path(name)
        with open(path, "wb") as file:
            file.truncate(size)
        return path

    def run_disk(self, path, *more, cmdline="tick=2 disk=64 end=byte", **options):
        return self.run_vm(cmdline, "--disk", f"{path}{''.join(f',{word}' for word in more)}",
                           **options)

    def refused(self, status, *arguments):
        vm = self.run_vm("tick=2", *arguments)
        self.assertEqual(vm.wait(), status, vm.stderr.text())
        return vm.stderr.text()

    def test_is_written_and_read_by_a_guest_that_checks_it(self):
        path = self.disk()
        vm = self.run_disk(path, cmdline="tick=2 disk=64 end=ticks:200")
        self.assertEqual(vm.wait(), 0, vm.stdout.text())
        writes, reads = counts(self.assert_sound(vm), "disk")
        self.assertGreater(min(writes, reads), 100)
        with open(path, "rb") as file:
            self.assertNotEqual(file.read(4096), bytes(4096))

    def test_has_a_name_that_may_have_commas(self):
        path = self.disk(name="a,b")
        vm = self.run_disk(path, "id=root")
        vm.wait_ticks(20)
        self.assertEqual(vm.info()["devices"], [{"id": "root", "about": f"disk '{path}', 8 MiB"}])
        self.end(vm)

    def test_that_is_none_is_refused(self):
        self.assertIn("No such file", self.refused(66, "--disk", self.path("nowhere")))
        self.assertIn("is empty", self.refused(66, "--disk", self.disk(0)))
        self.assertIn("multiple of 512", self.refused(66, "--disk", self.disk(1000, "odd")))
        self.assertIn("Is a directory", self.refused(66, "--disk", os.path.dirname(self.disk())))
        self.assertIn("neither", self.refused(66, "--disk", "/dev/null"))
        self.assertIn("lower-case", self.refused(64, "--disk", f"{self.disk()},id=A"))
        disk = self.disk()
        self.assertIn("two devices have the id disk0",
                      self.refused(64, "--disk", f"{disk}", "--disk", f"{disk},id=disk0"))

    def test_is_used_by_one_machine_at_a_time(self):
        path = self.disk()
        first = self.run_disk(path)
        first.wait_ticks(1)
        self.assertIn("is in use by another process", self.refused(69, "--disk", path))
        self.assertIn("is in use by another process", self.refused(69, "--disk", f"{path},readonly"))
        first.cli("pause")  # it may go on at any time
        self.assertIn("is in use by another process", self.refused(69, "--disk", path))
        first.cli("resume")
        self.end(first)
        second = self.run_disk(path)
        second.wait_ticks(1)
        self.end(second)

    def test_is_not_taken_by_a_receiver_that_was_not_told_of_it(self):
        source = self.run_disk(self.disk())
        source.wait_ticks(1)
        target = self.receive()
        report = self.migrate(source, target).report(status=1)
        self.assertIn("'ferry receive --disk id=disk0,PATH'", report["error"])
        source.wait_ticks(5)
        self.end(source)

    def test_is_not_mistaken_for_another(self):
        source = self.run_disk(self.disk())
        source.wait_ticks(1)
        for other, why in ((self.disk(name="other"), "is another file"),
                           (self.disk(4 << 20, "smaller"), "both hosts must see the same disk")):
            target = self.receive("tcp", "--disk", f"id=disk0,{other}")
            self.assertIn(why, self.migrate(source, target).report(status=1)["error"])
        source.wait_ticks(5)
        self.end(source)

    def test_is_known_to_another_kernel_by_its_mark(self):
        kernel = AnotherKernel(self.path("boot-id"))
        for copied in (False, True):
            with self.subTest(copied=copied):
                path = self.disk(name=f"disk-{copied}")
                source = self.run_disk(path)
                source.wait_ticks(20)
                there = path
                if copied:
                    there = self.path("copy")
                    shutil.copy(path, there)
                target = self.receive("tcp", "--disk", f"id=disk0,{there}", inside=kernel)
                migration = self.migrate(source, target)
                if copied:
                    self.assertIn("is not the guest's disk: its mark", migration.report(1)["error"])
                    self.end(source)
                    continue
                self.assertEqual(migration.report()["outcome"], "completed")
                target.wait_ticks(20)
                self.end(target)
                self.assert_sound(source, target)

    def test_may_be_known_there_by_another_name(self):
        path, other = self.disk(), self.path("link")
        os.link(path, other)
        source = self.run_disk(path)
        source.wait_ticks(5)
        target, _ = self.move(source, "--verify", receive=["--disk", f"id=disk0,{other}"])
        self.assertIn("is in use by another process", self.refused(69, "--disk", path))
        target.wait_ticks(5)
        self.end(target)
        self.assert_sound(source, target)


@labels("slow")
class AcrossLegs(FerryTest):
    def go(self, cpus, workload, *options, receive=()):
        """The output of a guest that went through all modes with these devices."""
        visited = [self.run_vm(
            f"tick=2 fill=8 dirty=2000 ws=2 check regs end=byte {workload}", *options, cpus=cpus)]
        visited[0].stdout.wait_for(rb"^# fill done")
        for leg in range(LEGS):
            target, report = self.move(
                visited[-1], "--verify", "--mode", MODES[leg % len(MODES)], receive=receive)
            self.assertIs(report["verified"], True)
            visited.append(target)
            target.wait_ticks(20)
        self.end(visited[-1])
        return self.assert_sound(*visited)

    @cases(of_some_vcpus("its_disk"))
    def take_the_disk_along(self, cpus):
        path = self.path("disk")
        with open(path, "wb") as file:
            file.truncate(8 << 20)
        output = self.go(cpus, "rng disk=256", "--rng", "--disk", path,
                         receive=["--disk", f"id=disk0,{path}"])
        self.assertGreater(min(counts(output, "disk")), 100)

    @cases(of_some_vcpus("its_entropy_device"))
    def take_the_entropy_device_along(self, cpus):
        self.assertGreater(counts(self.go(cpus, "rng", "--rng"), "rng")[0], 64)


if __name__ == "__main__":
    unittest.main()
