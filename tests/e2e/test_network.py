"""The virtio network device, with a guest that checks the frames that somebody sends back: on a TAP
interface, on a socket as passt has it, and across legs."""

import pathlib
import re
import sys
import unittest

from cases import cases
from harness import FerryTest
from labels import labels
from netns import Switch
from process import Process

ECHO = pathlib.Path(__file__).with_name("network_echo.py")
MODES = ("pre-copy", "post-copy", "hybrid", "auto")
LEGS = 8
MAC = "02:00:00:00:00:77"
ANNOUNCEMENTS = 5


class WithEcho(FerryTest):
    inside = None

    def use_switch(self, *taps):
        switch = Switch(*taps)
        self.addCleanup(switch.close)
        self.inside = switch.inside
        return self.echo(switch.BRIDGE)

    def echo(self, where):
        command = [sys.executable, "-B", ECHO, where]
        echo = self.start(Process, self.inside.command(command) if self.inside else command)
        echo.stdout.wait_for(rb"^ready$")
        return echo

    def frames(self, *legs):
        """Of a guest that went through these processes and ended well: the frames sent, those that
        came back, and those lost between."""
        output = self.assert_sound(*legs)
        found = re.search(r"\bnet=(\d+)/(\d+)/(\d+)", output.matching(r"^(end ticks=.*)")[-1][1])
        return [int(count) for count in found.groups()]

    def leg(self, source, net, *args):
        target = self.receive("unix", "--net", net, inside=self.inside)
        report = self.migrate(source, target, "--verify", *args).report()
        self.assertEqual(report["outcome"], "completed")
        self.assertEqual(source.wait(), 0, source.stderr.text())
        target.wait_ticks(30)
        return target

    def refusal(self, source, *receive):
        """Why a VM that runs on does not go there."""
        target = self.receive("unix", *receive, inside=self.inside)
        report = self.migrate(source, target).report(1)
        self.assertEqual(report["outcome"], "failed")
        source.wait_ticks(20)
        return report["error"]


@labels("network", "no-tsan")
class OnATap(WithEcho):
    def test_every_frame_comes_back(self):
        self.use_switch("tap0")
        vm = self.run_vm("tick=2 net=500 end=ticks:500", "--net", "tap:tap0", inside=self.inside)
        self.assertEqual(vm.wait(), 0, vm.stdout.text())
        sent, came, lost = self.frames(vm)
        self.assertEqual(lost, 0)
        self.assertGreater(came, 100)
        self.assertLess(sent - came, 20)

    def test_a_guest_begins_with_no_announcement(self):
        echo = self.use_switch("tap0")
        vm = self.run_vm("tick=2 net=500 end=byte", "--net", f"tap:tap0,mac={MAC}",
                         inside=self.inside)
        vm.wait_ticks(100)
        self.end(vm)
        self.assertNotIn(b"rarp", echo.stdout.bytes())

    def test_a_second_process_is_told_that_it_is_in_use(self):
        self.use_switch("tap0")
        first = self.run_vm("tick=2 net=500 end=byte", "--net", "tap:tap0", inside=self.inside)
        first.wait_ticks(20)
        second = self.run_vm("tick=2 end=byte", "--net", "tap:tap0", inside=self.inside)
        self.assertNotEqual(second.wait(), 0)
        self.assertRegex(second.stderr.text(), "'tap0' is in use")
        self.end(first)

    def test_a_guest_stays_where_it_is_when_the_other_host_lacks_its_network(self):
        self.use_switch("tap0", "tap1")
        vm = self.run_vm("tick=2 net=500 end=byte", "--net", "tap:tap0,id=lan", inside=self.inside)
        vm.wait_ticks(20)
        self.assertIn("ferry receive --net id=lan,", self.refusal(vm))
        self.assertIn("ferry receive --net id=lan,", self.refusal(vm, "--net", "id=net0,tap:tap1"))
        # Offloads that the guest may rely on.
        self.assertIn("csum", self.refusal(vm, "--net", "id=lan,passt:/nowhere"))
        # One that somebody else has.
        self.assertIn("in use", self.refusal_of_busy(vm))
        self.end(vm)
        # It had let its interface go, and took it again.
        self.assertLess(self.frames(vm)[2], 100)

    def test_a_guest_stays_where_it_is_when_the_other_network_has_shorter_packets(self):
        self.use_switch("tap0", "tap1")
        vm = self.run_vm("tick=2 net=500 end=byte", "--net", "tap:tap0", inside=self.inside)
        vm.wait_ticks(20)
        self.inside.run("ip", "link", "set", "tap1", "nomaster", "mtu", "1400")
        self.assertIn("mtu 1500", self.refusal(vm, "--net", "id=net0,tap:tap1"))
        self.end(vm)

    def refusal_of_busy(self, vm):
        other = self.run_vm("tick=2 end=byte", "--net", "tap:tap1", inside=self.inside)
        other.wait_ticks(5)
        why = self.refusal(vm, "--net", "id=lan,tap:tap1")
        self.end(other)
        return why


@labels("network", "no-tsan")
class AnArrival(WithEcho):
    def test_is_announced_to_the_network(self):
        echo = self.use_switch("tap0", "tap1")
        vm = self.run_vm("tick=2 net=500 end=byte", "--net", f"tap:tap0,mac={MAC}",
                         inside=self.inside)
        vm.wait_ticks(50)
        target = self.leg(vm, "id=net0,tap:tap1")
        echo.stdout.wait_for(rf"(?:rarp {MAC}\n(?:.*\n)*?){{{ANNOUNCEMENTS}}}".encode())
        target.wait_ticks(50)
        self.end(target)
        self.assertEqual(echo.stdout.text().count("rarp"), ANNOUNCEMENTS)

    def test_takes_over_the_interface_that_its_source_had(self):
        self.use_switch("tap0")
        vm = self.run_vm("tick=2 net=500 end=byte", "--net", "tap:tap0", inside=self.inside)
        vm.wait_ticks(50)
        for mode in MODES[:2]:
            source, vm = vm, self.leg(vm, "id=net0,tap:tap0", "--mode", mode)
            source.close()
        vm.wait_ticks(50)
        self.end(vm)


@labels("slow", "network")
class AcrossLegsOnATap(WithEcho):
    @cases({f"a_guest_with_{cpus}_vcpus_keeps_its_network": (cpus,) for cpus in (1, 2, 4)})
    def keep_the_network(self, cpus):
        self.use_switch("tap0", "tap1")
        visited = [self.run_vm(
            "tick=2 fill=8 dirty=2000 ws=2 check regs net=500 end=byte", "--net", "tap:tap0",
            cpus=cpus, inside=self.inside)]
        visited[0].stdout.wait_for(rb"^# fill done")
        for leg in range(LEGS):
            visited.append(self.leg(visited[-1], f"id=net0,tap:tap{(leg + 1) % 2}",
                                    "--mode", MODES[leg % len(MODES)]))
        self.end(visited[-1])
        sent, came, lost = self.frames(*visited)
        self.assertGreater(came, 10 * LEGS)
        # What was under way when the guest left, and what it could not be given where it arrived.
        self.assertLess(lost, came)
        self.assertLess(sent - came - lost, 100)


@labels("no-standard-kvm", "no-tsan")
class OnASocket(WithEcho):
    def networks(self, count):
        return [(self.echo(path), path) for path in (self.path("passt") for _ in range(count))]

    def test_every_frame_comes_back(self):
        ((_, path),) = self.networks(1)
        vm = self.run_vm("tick=2 net=500 end=ticks:500", "--net", f"passt:{path}")
        self.assertEqual(vm.wait(), 0, vm.stdout.text())
        sent, came, lost = self.frames(vm)
        self.assertEqual(lost, 0)
        self.assertGreater(came, 100)
        self.assertLess(sent - came, 20)

    def test_a_guest_runs_on_when_the_other_end_has_gone(self):
        ((echo, path),) = self.networks(1)
        vm = self.run_vm("tick=2 net=500 end=byte", "--net", f"passt:{path}")
        echo.stdout.wait_for(rb"^echoing$")
        echo.close()
        vm.stderr.wait_for(rb"the guest has no link there")
        vm.wait_ticks(100)
        (device,) = vm.info()["devices"]
        self.assertEqual(device["id"], "net0")
        self.assertRegex(device["about"], f"^passt:{path}, MAC .*, without a link, [1-9][0-9]* frames dropped$")
        self.end(vm)
        self.assertEqual(vm.stderr.text().count("no link"), 1)

    def test_a_guest_takes_its_network_along(self):
        networks = self.networks(2)
        visited = [self.run_vm("tick=2 fill=4 check net=500 end=byte", "--net",
                               f"passt:{networks[0][1]},mac={MAC}")]
        visited[0].stdout.wait_for(rb"^# fill done")
        for leg, mode in enumerate(MODES):
            echo, path = networks[(leg + 1) % 2]
            visited.append(self.leg(visited[-1], f"id=net0,passt:{path}", "--mode", mode))
            echo.stdout.wait_for(rf"^rarp {MAC}$".encode())
        self.end(visited[-1])
        self.assertGreater(self.frames(*visited)[1], 100)

    def test_a_network_that_is_not_there_is_named(self):
        for net, status in (("tap:ferry-none", 66), ("passt:/nowhere/passt", 69)):
            vm = self.run_vm("tick=2", "--net", net)
            self.assertEqual(vm.wait(), status)
            self.assertIn(net.partition(":")[2], vm.stderr.text())


if __name__ == "__main__":
    unittest.main()
