"""`ferry plan`: what it reads and prints, and plans that are carried out."""

import json
import os
import shutil
import subprocess

from harness import FERRY, FerryTest, silent_port
from labels import labels

PLANNER = os.path.join(os.path.dirname(os.path.realpath(FERRY)), "ferry-plan")
MIB = 1 << 20
HOST = {"memory": 1024 * MIB, "cpu": 4, "link": 125_000_000, "idle_watts": 100, "busy_watts": 200}
IDLE = "tick=10 end=byte"


class Planned(FerryTest):
    def write(self, hosts, vms, receivers=(), used=4 * MIB, **more):
        """The file of a fleet; `vms` are (process, name, host, per cent of CPU), and `more` is of
        each of them."""
        path = self.path("json")
        fleet = {
            "hosts": [{"name": name, **HOST} for name in hosts],
            "vms": [{"name": name, "host": host, "memory": 32 * MIB, "used": used,
                     "cpu": [percent], "api_socket": process.api if process else f"/run/{name}",
                     **more}
                    for process, name, host, percent in vms],
            "receivers": [{"host": host, "listen": listen, "api_socket": api}
                          for host, listen, api in receivers],
        }
        with open(path, "w", encoding="ascii") as file:
            json.dump(fleet, file)
        return path

    def plan(self, *args, status=0):
        done = subprocess.run([FERRY, "plan", *args], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=60)
        self.assertEqual(done.returncode, status, done.stderr)
        return done


@labels("no-tsan", "no-standard-kvm")
class APlan(Planned):
    needs_kvm = False

    def test_has_the_form_that_others_read(self):
        path = self.write("ab", [(None, "v", "a", 2), (None, "w", "b", 3)])
        plan = json.loads(self.plan(path, "--json").stdout)
        move, = plan["moves"]
        self.assertEqual(set(move), {"vm", "from", "to", "mode", "bytes", "seconds", "downtime_ms",
                                     "joules", "saves_watts", "step"})
        self.assertEqual((plan["before"]["hosts_on"], plan["after"]["hosts_on"]), (2, 1))
        self.assertLess(plan["after"]["watts"], plan["before"]["watts"])

    def test_is_shown_as_a_table(self):
        path = self.write("ab", [(None, "v", "a", 2), (None, "w", "b", 3)])
        text = self.plan(path, "--drain", "a").stdout
        self.assertIn("1 moves: ", text)
        self.assertIn("hosts on: 2 before, 1 after", text)

    def test_says_what_is_wrong_with_a_file(self):
        path = self.write("a", [(None, "v", "x", 2)])
        self.assertIn("vms[0].host names 'x', which is no host", self.plan(path, status=65).stderr)
        self.assertIn("cannot be opened", self.plan(path + ".not", status=66).stderr)

    def test_says_that_a_host_cannot_be_drained(self):
        path = self.write("a", [(None, "v", "a", 2)])
        self.assertIn("v stays at a: no other host has", self.plan(path, "--drain", "a", status=1).stdout)

    def test_empties_several_hosts(self):
        path = self.write("abc", [(None, "v", "a", 2), (None, "w", "b", 3)])
        plan = json.loads(self.plan("--drain", "a", "--drain", "b", path, "--json").stdout)
        self.assertEqual({move["vm"]: move["to"] for move in plan["moves"]}, {"v": "c", "w": "c"})

    def test_leaves_a_vm_where_it_is_pinned(self):
        path = self.write("ab", [(None, "v", "a", 2)], pinned=True)
        self.assertIn("v stays at a: the file says that it is pinned",
                      self.plan(path, "--drain", "a", status=1).stdout)

    def test_is_not_made_of_a_file_with_a_typo(self):
        path = self.write("ab", [(None, "v", "a", 2)], dirty_pages_per_sec=5)
        self.assertIn("vms[0].dirty_pages_per_sec is none of name, host",
                      self.plan(path, status=65).stderr)

    def test_is_by_one_way(self):
        path = self.write("a", [])
        self.plan(path, "--drain", "a", "--balance", status=64)
        self.plan(path, "--policy", "none", status=64)

    def test_refuses_empty_names(self):
        path = self.write("ab", [(None, "v", "a", 2), (None, "w", "b", 3)])
        for program in ([FERRY, "plan"], [PLANNER]):
            for option in ("--drain", "--policy"):
                for words in ([option, ""], [option + "="]):
                    done = subprocess.run([*program, path, *words, "--apply"], timeout=60,
                                          stdin=subprocess.DEVNULL, capture_output=True, text=True)
                    self.assertEqual((done.returncode, done.stdout), (64, ""), (program, words))
                    self.assertIn(option, done.stderr)

    def apply_by(self, script, status, receivers=("tcp:b:1", "tcp:b:2"), stderr=subprocess.PIPE):
        """Drains a, where two VMs are, in two steps, by a program in the place of ferry."""
        ferry = self.path("sh")
        with open(ferry, "w", encoding="ascii") as file:
            file.write("#!/bin/sh\n" + script)
        os.chmod(ferry, 0o700)
        path = self.write("ab", [(None, "v", "a", 2), (None, "w", "a", 3)],
                          [("b", listen, "") for listen in receivers], used=32 * MIB)
        done = subprocess.run(
            [PLANNER, path, "--drain=a", "--apply", "--json", f"--ferry={ferry}"], timeout=60,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, text=True)
        self.assertEqual(done.returncode, status, done.stderr)
        return json.loads(done.stdout), done.stderr

    def test_goes_no_further_after_a_signal(self):
        for signal in ("INT", "TERM"):
            plan, said = self.apply_by(f"trap '' {signal}; kill -{signal} $PPID; echo {{}}", status=1)
            self.assertEqual([move["outcome"] for move in plan["moves"]], ["moved", "not-begun"])
            self.assertEqual(plan["places"], {"v": "b", "w": "a"})
            self.assertIn(f"SIG{signal}: no further move begins", said)
            self.assertIn("v is at b (as planned)\nw is at a (its move was not begun)", said)

    def test_begins_nothing_where_a_receiver_cannot_be_dialled(self):
        begun = self.path("begun")
        said = self.apply_by(f"touch {begun}; echo {{}}", status=1,
                             receivers=("tcp:b:1", "tcp:0.0.0.0:7000"))[1]
        self.assertIn("the receiver at b: address 'tcp:0.0.0.0:7000': ", said)
        self.assertFalse(os.path.exists(begun))

    def test_goes_on_though_it_cannot_say_so(self):
        with open("/dev/full", "w", encoding="ascii") as full:
            plan, _ = self.apply_by("echo {}", status=0, stderr=full)
        self.assertEqual([move["outcome"] for move in plan["moves"]], ["moved", "moved"])

    def test_needs_the_planner(self):
        alone = os.path.join(self.directory, "ferry")
        shutil.copy(FERRY, alone)
        done = subprocess.run([alone, "plan", self.write("a", [])], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 69)
        self.assertIn("ferry-plan is missing", done.stderr)


@labels("no-tsan", "no-standard-kvm")
class AnAppliedPlan(Planned):
    def guests(self):
        """Two that run at host a."""
        guests = [self.run_vm(IDLE), self.run_vm(IDLE)]
        for guest in guests:
            guest.wait_ready()
            guest.wait_ticks(3)
        return guests

    def test_moves_all_vms(self):
        first, second = self.guests()
        there = [self.receive(), self.receive()]
        path = self.write("ab", [(first, "v", "a", 2), (second, "w", "a", 3)],
                          [("b", each.address, each.api) for each in there])
        plan = json.loads(self.plan(path, "--drain", "a", "--apply", "--json").stdout)
        self.assertEqual(plan["places"], {"v": "b", "w": "b"})
        for move in plan["moves"]:
            self.assertEqual(move["outcome"], "moved")
            self.assertEqual(move["report"]["outcome"], "completed")
        for source, target in zip((first, second), there):
            self.assertEqual(source.wait(), 0)
            target.wait_ticks(3)
            self.end(target)
            self.assert_sound(source, target)

    def test_stops_at_the_step_that_fails(self):
        first, second = self.guests()
        there = self.receive()
        with silent_port() as port:
            path = self.write("ab", [(first, "v", "a", 2), (second, "w", "a", 3)],
                              [("b", there.address, there.api), ("b", f"tcp:127.0.0.1:{port}", "")])
            done = self.plan(path, "--drain", "a", "--apply", "--json", status=1)
        self.assertEqual(json.loads(done.stdout)["places"], {"v": "b", "w": "a"})
        self.assertIn("w did not get from a to b", done.stderr)
        self.assertIn("v is at b (as planned)", done.stderr)
        self.assertIn("w is at a (its move failed", done.stderr)
        self.assertEqual(first.wait(), 0)
        for vm in (there, second):
            vm.wait_ticks(3)
            self.end(vm)
        self.assert_sound(first, there)
        self.assert_sound(second)

    def test_begins_nothing_without_enough_receivers(self):
        first, second = self.guests()
        there = self.receive()
        path = self.write("ab", [(first, "v", "a", 2), (second, "w", "a", 3)],
                          [("b", there.address, there.api)])
        done = self.plan(path, "--drain", "a", "--apply", status=1)
        self.assertIn("moves to b: 2, receivers there that the file names: 1", done.stderr)
        for vm in (first, second):
            self.assertEqual(vm.state(), "running")
