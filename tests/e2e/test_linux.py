"""A Linux guest with a shell on its serial port goes back and forth, and notices nothing.

Needs a KVM on which Linux boots, and files: FERRY_LINUX_KERNEL, a bzImage, FERRY_LINUX_MODULES, a
folder with its virtio drivers, and FERRY_BUSYBOX, a static busybox. scripts/on-standard-kvm has them.
"""

import math
import os
import re
import subprocess
import sys
import time
import unittest

from harness import DEADLINE, FerryTest, process_counts
from labels import labels
from process import Process
from shell import Shell

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGE_CHECKER = os.environ.get("FERRY_PAGE_CHECKER")
LEGS = 8  # twice in each mode
MAC = "02:00:00:00:00:77"
MODES = ("pre-copy", "post-copy", "hybrid", "auto")
CLOCK_TOLERANCE = 100_000_000  # ns
CLOCK_LOOKS = 3
CTRL_C, CTRL_Z = b"\x03", b"\x1a"
TROUBLE = (
    r"clocksource:.*unstable|soft lockup|hard LOCKUP|\bstall|nobody cared|unhandled|"
    r"spurious|WARNING:|BUG:|Oops|hung task|blocked for more than"
)


@labels("linux")
class ALinuxGuest(FerryTest):
    def boot(self, cpus, parameters="", devices=(), memory="128M"):
        modules = ["--modules", os.environ["FERRY_LINUX_MODULES"]] if devices else []
        initramfs = self.path("initramfs")
        subprocess.run(
            [sys.executable, f"{ROOT}/scripts/make-initramfs", "--busybox", os.environ["FERRY_BUSYBOX"],
             "--add", PAGE_CHECKER, *modules, initramfs], check=True, stdin=subprocess.DEVNULL)
        vm = self.run_vm(
            f"console=ttyS0 quiet panic=-1 {parameters}", "--initramfs", initramfs, *devices,
            kernel=os.environ["FERRY_LINUX_KERNEL"], memory=memory, cpus=cpus,
        )
        vm.stdout.wait_for(rb"^/ # ")
        return Shell(vm)

    def clock(self, shell):
        """How much the wall clock is ahead, at least and at most, and the monotonic clock.

        How exactly one can tell depends on how soon the guest answers.
        """
        least, most = -math.inf, math.inf
        for _ in range(CLOCK_LOOKS):
            before = time.time_ns()
            wall, monotonic = map(int, re.findall(r"=(\d+)", shell.ask("page-checker clock")))
            least, most = max(least, wall - time.time_ns()), min(most, wall - before)
        return least, most, monotonic

    def writes(self, shell):
        """How many pages the checker wrote so far; AssertionError when it found something wrong."""
        report = shell.ask("cat /run/page-checker")
        found = re.fullmatch(r"cpus=(\d+) writes=(\d+)\n", report)
        self.assertTrue(found, report)
        self.assertEqual(int(found[1]), self.cpus)
        return int(found[2])

    def go(self, cpus):
        self.cpus = cpus
        shell = self.boot(cpus)
        source = shell.ask("cat /sys/devices/system/clocksource/clocksource0/current_clocksource")
        switches = shell.ask("dmesg | grep -c 'Switched to clocksource'")
        shell.ask("page-checker 4 200 & sleep 1")
        least, most, monotonic = self.clock(shell)
        times, written, legs = [monotonic], [self.writes(shell)], []
        for leg in range(LEGS):
            mode = MODES[leg % len(MODES)]
            shell.vm, report = self.move(shell.vm, "--verify", "--mode", mode)
            self.assertIs(report["verified"], True)
            legs.append(f"{mode} at {monotonic}: {report['total_ms']:.0f} ms, stopped for "
                        f"{report['downtime_ms']:.1f}, faults {report['faults']}")
            now_least, now_most, monotonic = self.clock(shell)
            self.assertGreater(now_most, least - CLOCK_TOLERANCE, "the wall clock lost time")
            self.assertLess(now_least, most + CLOCK_TOLERANCE, "the wall clock gained time")
            times.append(monotonic)
            written.append(self.writes(shell))
        self.assertEqual(times, sorted(times))
        self.assertEqual(written, sorted(set(written)), "the checker stood still")
        self.assertEqual(
            shell.ask("cat /sys/devices/system/clocksource/clocksource0/current_clocksource"), source
        )
        self.assertEqual(shell.ask("dmesg | grep -c 'Switched to clocksource'"), switches)
        # Looked for in the guest: to print the whole log takes an emulated processor so long, most of
        # it in the interrupts of the serial port, that the kernel complains of a stall.
        trouble = shell.ask(f"dmesg | grep -iE '{TROUBLE}' || true")
        self.assertEqual(trouble, "", "\n".join(legs))
        shell.vm.write(b"exit\n")
        self.assertEqual(shell.vm.wait(), 0, shell.vm.stderr.text())

    def network(self):
        """The socket of one, and who is there."""
        path = self.path("passt")
        echo = self.start(Process, [sys.executable, "-B", "network_echo.py", path])
        echo.stdout.wait_for(rb"^ready$")
        return path, echo

    def test_has_a_network_that_goes_along(self):
        networks = [self.network(), self.network()]
        shell = self.boot(1, devices=["--net", f"passt:{networks[0][0]},mac={MAC}"])
        self.assertEqual(shell.ask("cat /sys/class/net/eth0/address"), f"{MAC}\n")
        shell.ask("ip link set eth0 up; ip addr add 192.0.2.2/24 dev eth0")
        ping = "ping -c 3 -i 0.2 -s 1400 192.0.2.1"
        self.assertIn("3 packets received", shell.ask(ping))
        shell.ask("ip link set eth0 mtu 9000")
        ping = ping.replace("1400", "8000")  # more than one of its buffers has room for
        for leg, mode in enumerate(("pre-copy", "post-copy")):
            path, echo = networks[(leg + 1) % 2]
            target = self.receive("tcp", "--net", f"id=net0,passt:{path}")
            report = self.migrate(shell.vm, target, "--verify", "--mode", mode).report()
            self.assertEqual(report["outcome"], "completed")
            shell.vm = target
            echo.stdout.wait_for(f"^rarp {MAC}$".encode())
            echo.stdout.wait_for(f"^arp 192.0.2.2 {MAC}$".encode())
            self.assertIn("3 packets received", shell.ask(ping))
        networks[1][1].close()
        networks[0][1].close()
        shell.vm.stderr.wait_for(b"no link there")
        shell.ask("until [ $(cat /sys/class/net/eth0/carrier) = 0 ]; do sleep 0.1; done")
        self.assertEqual(shell.ask(f"dmesg | grep -iE '{TROUBLE}' || true"), "")

    def test_has_an_entropy_device_that_goes_along(self):
        shell = self.boot(1, devices=["--rng"])
        for mode in ("pre-copy", "post-copy"):
            self.assertEqual(
                shell.ask("cat /sys/devices/virtual/misc/hw_random/rng_current"), "virtio_rng.0\n")
            bytes_of = "dd if=/dev/hwrng bs=64 count=4 2>/dev/null | md5sum"
            self.assertNotEqual(shell.ask(bytes_of), shell.ask(bytes_of))
            shell.vm, report = self.move(shell.vm, "--verify", "--mode", mode)
            self.assertIs(report["verified"], True)
        self.assertNotEqual(shell.ask(bytes_of), shell.ask(bytes_of))
        self.assertEqual(shell.ask(f"dmesg | grep -iE '{TROUBLE}' || true"), "")

    def test_has_a_file_system_on_a_disk_that_goes_along(self):
        image = self.path("disk")
        with open(image, "wb") as file:
            file.truncate(64 << 20)
        shell = self.boot(1, devices=["--disk", image])
        self.assertEqual(shell.ask("cat /sys/block/vda/size /sys/block/vda/serial"), "131072\ndisk0")
        shell.ask("mke2fs /dev/vda >/dev/null 2>&1 && mkdir /mnt && mount -t ext4 /dev/vda /mnt")
        # Writes files through to the disk, and reads them from there, for as long as all is well.
        shell.ask(
            "cat >/bin/checker <<'end'\n"
            "number=0\n"
            "while number=$((number + 1)); do\n"
            "  dd if=/dev/urandom of=/mnt/new bs=64k count=4 conv=fsync 2>/dev/null || break\n"
            "  sum=$(md5sum </mnt/new)\n"
            "  mv /mnt/new /mnt/file$((number % 20)) || break\n"
            "  echo 1 >/proc/sys/vm/drop_caches\n"
            "  [ \"$(md5sum </mnt/file$((number % 20)))\" = \"$sum\" ] || break\n"
            "  echo $number >/run/checked\n"
            "done\n"
            "end\n"
            "sh /bin/checker & until [ -e /run/checked ]; do sleep 1; done")
        checked = [int(shell.ask("cat /run/checked"))]
        for mode in MODES:
            shell.vm, report = self.move(shell.vm, "--verify", "--mode", mode,
                                         receive=["--disk", f"id=disk0,{image}"])
            self.assertIs(report["verified"], True)
            shell.ask("sleep 1")
            checked.append(int(shell.ask("cat /run/checked")))
        self.assertEqual(checked, sorted(set(checked)), "the checker stood still")
        shell.ask("kill %1; umount /mnt")
        self.assertEqual(shell.ask(f"dmesg | grep -iE '{TROUBLE}|I/O error' || true"), "")
        shell.vm.write(b"exit\n")
        self.assertEqual(shell.vm.wait(), 0, shell.vm.stderr.text())
        checked = subprocess.run(["/sbin/e2fsck", "-fn", image], capture_output=True, text=True,
                                 stdin=subprocess.DEVNULL)
        self.assertEqual(checked.returncode, 0, checked.stdout)

    def resident(self, vm):
        """Bytes of memory that the process of a VM takes."""
        return process_counts(vm.pid)["resident_kib"] << 10

    def use_and_free(self, shell, mebibytes):
        """How much the VM's process takes after its guest has written to so much memory."""
        shell.ask(f"dd if=/dev/zero of=/run/file bs=1M count={mebibytes} 2>/dev/null")
        resident = self.resident(shell.vm)
        shell.ask("rm /run/file")
        return resident

    def inflate(self, shell, mebibytes):
        size = mebibytes << 20
        shell.vm.cli("set", "--balloon", f"{mebibytes}M")
        shell.vm.wait_info(lambda info: info["balloon"] == {"target": size, "actual": size},
                           f"a balloon of {mebibytes} MiB")

    def assert_balloon(self, shell, mebibytes):
        size = mebibytes << 20
        self.assertEqual(shell.vm.info()["balloon"], {"target": size, "actual": size})

    def test_gives_half_of_its_ram_back_by_a_balloon_that_goes_along(self):
        self.cpus = 1
        shell = self.boot(1, devices=["--balloon"], memory="256M")
        shell.ask("page-checker 4 200 & sleep 1")
        full = self.use_and_free(shell, 64)
        self.inflate(shell, 128)
        self.assertLess(self.resident(shell.vm), full - (32 << 20))
        written = [self.writes(shell)]
        for mode in ("pre-copy", "post-copy"):
            shell.vm, report = self.move(shell.vm, "--verify", "--mode", mode)
            self.assertIs(report["verified"], True)
            self.assert_balloon(shell, 128)
            self.assertLess(self.resident(shell.vm), full - (32 << 20))
            # It is the same balloon: it can be made smaller and larger.
            self.inflate(shell, 0)
            self.use_and_free(shell, 64)
            self.inflate(shell, 128)
            written.append(self.writes(shell))
        self.inflate(shell, 0)
        self.use_and_free(shell, 64)
        written.append(self.writes(shell))
        self.assertEqual(written, sorted(set(written)), "the checker stood still")
        refused = shell.vm.cli("set", "--balloon", "241M", check=False)
        self.assertIn("can be asked for 240 MiB", refused.stderr)
        self.assertEqual(shell.ask(f"dmesg | grep -iE '{TROUBLE}' || true"), "")

    def test_reports_free_pages_by_a_balloon_that_goes_along(self):
        self.cpus = 1
        shell = self.boot(1, devices=["--balloon", "--free-page-reporting"], memory="256M")
        shell.ask("page-checker 4 200 & sleep 1")
        for mode in ("pre-copy", "post-copy"):
            full = self.use_and_free(shell, 64)
            end = time.monotonic() + DEADLINE
            while self.resident(shell.vm) > full - (32 << 20):
                self.assertLess(time.monotonic(), end, "nothing was given back")
                shell.ask("sleep 1")
            written = self.writes(shell)
            shell.vm, report = self.move(shell.vm, "--verify", "--mode", mode)
            self.assertIs(report["verified"], True)
            self.assertGreater(self.writes(shell), written)
        self.use_and_free(shell, 64)
        self.assertEqual(shell.ask(f"dmesg | grep -iE '{TROUBLE}' || true"), "")

    def check_pages(self, shell, mebibytes, per_second, writes):
        """Starts a checker, and waits until it has written so many pages, each once first."""
        shell.ask(f"rm -f /run/page-checker; page-checker {mebibytes} {per_second} & until "
                  "[ $(sed 's/.*writes=//' /run/page-checker 2>/dev/null || echo 0) -ge "
                  f"{writes} ]; do sleep 1; done")

    def test_leaves_its_free_pages_behind(self):
        """Its kernel does not clear what it takes: cleared pages are sent, as zero."""
        self.cpus = 1
        shell = self.boot(1, "init_on_alloc=0", devices=["--balloon"], memory="384M")
        for mode in ("pre-copy", "post-copy"):
            self.check_pages(shell, 200, 1, writes=200 << 8)
            shell.ask("kill %1; sleep 1")
            shell.vm, report = self.move(shell.vm, "--verify", "--mode", mode, "--compression", "none",
                                         "--max-bandwidth", "200Mbit")
            self.assertIs(report["verified"], True)
            self.assertGreater(report["pages"]["free"], 150 << 8, report["pages"])
            self.assertLess(report["wire_bytes"], 150 << 20)
        self.check_pages(shell, 200, 1000, writes=210 << 8)
        self.assertGreater(self.writes(shell), 0)
        self.assertEqual(shell.ask(f"dmesg | grep -iE '{TROUBLE}' || true"), "")
        shell.vm.write(b"exit\n")
        self.assertEqual(shell.vm.wait(), 0, shell.vm.stderr.text())

    def test_has_a_terminal_with_ctrl_c_and_job_control(self):
        shell = self.boot(1)
        shell.start_and_type(1000001, CTRL_C)
        self.assertNotIn("1000001", shell.ask("ps"))
        shell.start_and_type(1000002, CTRL_Z)
        self.assertIn("Stopped", shell.ask("jobs"))
        shell.ask("bg %1")
        self.assertIn("Running", shell.ask("jobs"))
        shell.vm, _ = self.move(shell.vm)
        self.assertIn("1000002", shell.ask("ps"))
        shell.ask("kill %1")
        shell.vm.write(b"wait\n")
        self.assertNotIn("1000002", shell.ask("ps"))
        shell.vm.write(b"exit\n")
        self.assertEqual(shell.vm.wait(), 0, shell.vm.stderr.text())

    def ends(self, parameters, command, cpus=1):
        """With which status, when it does so by itself; its wall clock is right before."""
        shell = self.boot(cpus, parameters)
        self.assertLess(abs(int(shell.ask("date +%s")) - time.time()), 60)
        shell.vm.write(f"{command}\n".encode())
        return shell.vm.wait()

    def test_that_restarts_in_any_way_ends_with_0(self):
        for way in ("pci no-kvmclock", "bios", "triple"):
            self.assertEqual(self.ends(f"reboot={way}", "reboot -f"), 0, way)

    def test_that_restarts_or_powers_off_from_another_vcpu_ends_with_0(self):
        for command in ("reboot -f", "poweroff -f"):
            self.assertEqual(self.ends("reboot=s1", command, cpus=2), 0)

    def test_without_acpi_that_restarts_is_told_from_one_that_panics(self):
        self.assertEqual(self.ends("acpi=off no-kvmclock", "reboot -f"), 0)
        self.assertEqual(self.ends("acpi=off", "echo c > /proc/sysrq-trigger"), 70)

    def test_with_one_vcpu_notices_nothing_over_eight_legs(self):
        self.go(cpus=1)

    def test_with_two_vcpus_notices_nothing_over_eight_legs(self):
        self.go(cpus=2)


if __name__ == "__main__":
    unittest.main()
