"""The simulation of a day: what is certain of small ones."""

import gzip
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
from xml.etree import ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "scripts"))

from simulation.chart import line_chart  # noqa: E402

# Empty where there is nothing to build it from.
STUDY = os.environ.get("FERRY_STUDY", "../../build/release/ferry-study")
IDLE = [0] * 12
SAMPLE_HOURS = 300 / 3600
# Of the two kinds of hosts that take turns, the second: idle, and at a tenth of its 5320 MIPS.
IDLE_WATTS, TENTH_WATTS = 93.7, 97
RAM = 870 << 20  # of a VM of the first kind


class Study(unittest.TestCase):
    def setUp(self):
        if not os.access(STUDY, os.X_OK):
            self.skipTest("there is no SimGrid, which scripts/study installs")

    def study(self, traces, *args, status=0):
        text = "".join(",".join(map(str, trace)) + "\n" for trace in traces)
        done = subprocess.run([STUDY, *args, "--json"], input=text, capture_output=True, text=True,
                              timeout=50)
        self.assertEqual(done.returncode, status, done.stderr)
        return json.loads(done.stdout) if status == 0 else done.stderr


class ADay(Study):
    def test_of_one_vm_costs_one_host(self):
        # 2500 MIPS at 21.28 % are 532, a tenth of the host.
        day = self.study([[21.28] * 12], "--hosts", "2")
        self.assertAlmostEqual(day["energy_kwh"], TENTH_WATTS * 12 * SAMPLE_HOURS / 1e3, 6)
        self.assertEqual((day["migrations"], day["bytes"], day["overloads"]), (0, 0, 0))
        self.assertAlmostEqual(day["hosts_on"], 1)

    def test_without_moves_leaves_all_hosts_on(self):
        # Each of the first kind asks for more than half a host as it starts.
        day = self.study([IDLE] * 1, "--policy", "none", "--hosts", "4", "--repeat", "2",
                         "--vms-stay")
        self.assertAlmostEqual(day["hosts_on"], 2)
        self.assertAlmostEqual(day["energy_kwh"], 2 * IDLE_WATTS * 12 * SAMPLE_HOURS / 1e3, 6)

    def test_of_idle_vms_ends_on_one_host(self):
        day = self.study([IDLE], "--hosts", "4", "--repeat", "2", "--vms-stay")
        self.assertEqual(day["migrations"], 1)
        self.assertAlmostEqual(day["bytes"], RAM, delta=1e5)
        self.assertLess(day["hosts_on"], 1.2)

    def test_charges_as_published(self):
        day = self.study([IDLE], "--hosts", "4", "--repeat", "2", "--mode", "published",
                         "--vms-stay")
        self.assertEqual(day["bytes"], RAM)

    def test_is_over_for_vms_that_ask_for_nothing(self):
        day = self.study([IDLE], "--policy", "none", "--hosts", "2")
        self.assertAlmostEqual(day["hosts_on"], 1 / 12)

    def test_sees_overload(self):
        # The largest four have to share the one host that is fast enough for them.
        day = self.study([[100] * 12] * 6, "--policy", "none", "--hosts", "2")
        self.assertEqual(day["overloads"], 12)
        self.assertAlmostEqual(day["slatah"], 0.5)

    def test_is_the_same_each_time(self):
        traces = [[(7 * vm * vm + 13 * sample * sample) % 97 for sample in range(24)]
                  for vm in range(40)]
        days = [self.study(traces, "--hosts", "40") for _ in range(2)]
        for day in days:
            del day["seconds"], day["policy_seconds"]
        self.assertEqual(*days)

    def test_refuses_images_where_the_published_setting_has_none(self):
        self.assertIn("keep no images",
                      self.study([IDLE], "--mode", "published", "--reuse", status=1))

    def test_refuses_what_is_no_trace(self):
        self.assertIn("line 2 of the trace has 3 samples", self.study([[1, 2], [1, 2, 3]], status=1))
        self.assertIn("line 1 of the trace is no list", self.study([["x"]], status=1))
        self.assertIn("the trace is empty", self.study([], status=1))
        self.assertIn("has more than 100000 samples", self.study([[1] * 100_001], status=1))

    def test_takes_lines_that_end_as_on_windows(self):
        self.assertEqual(*(self.study([[*IDLE[1:], last]], "--hosts", "2")["energy_kwh"]
                           for last in (0, "0\r")))

    def test_has_a_host_for_each_time_that_the_trace_is_taken(self):
        self.assertIn("2 hosts are too few for a trace that is taken 3 times",
                      self.study([IDLE], "--hosts", "2", "--repeat", "3", status=1))


class TheScript(unittest.TestCase):
    def refusal(self, *args):
        script = pathlib.Path(__file__).resolve().parent.parent.parent / "scripts/study"
        done = subprocess.run([script, "--no-build", *args], capture_output=True, text=True,
                              timeout=50)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, r"^study: .*\n$")
        return done.stderr

    def test_says_which_trace_is_broken(self):
        whole = gzip.compress(b"1,2,3\n" * 1000)
        for broken in (whole[:-20], whole[:12] + b"\xff" * 20):
            with tempfile.NamedTemporaryFile(suffix=".csv.gz") as file:
                file.write(broken)
                file.flush()
                self.assertIn(f"{file.name} is no whole gzip file", self.refusal("--trace", file.name))
        self.assertIn("No such file", self.refusal("--trace", "/nowhere.csv"))


class Table1(Study):
    def test_grows_with_the_guests_one_after_the_other(self):
        few, many = (self.study([], "--table1", str(count)) for count in (15, 150))
        self.assertAlmostEqual(many["there_seconds"] / few["there_seconds"], 10, 2)

    def test_never_ends_when_more_share_the_link_than_converge(self):
        alone = self.study([], "--table1", "150", "--mode", "pre-copy")
        together = self.study([], "--table1", "150", "--mode", "pre-copy", "--at-once")
        self.assertGreater(together["there_bytes"], 10 * alone["there_bytes"])

    def test_sends_as_much_as_by_the_plug_in_of_simgrid(self):
        for more in ([], ["--at-once"]):
            ours, plug_in = (self.study([], "--table1", "15", "--mode", mode, *more)
                             for mode in ("pre-copy", "simgrid"))
            for way in ("there_bytes", "back_bytes"):
                self.assertAlmostEqual(ours[way] / plug_in[way], 1, 2)
            self.assertAlmostEqual(ours["there_seconds"] / plug_in["there_seconds"], 1, 1)
            self.assertLess(plug_in["longest_stop_ms"], 30)

    def test_does_not_end_by_the_plug_in_when_more_share_the_link_than_converge(self):
        self.assertIn("does not end", self.study([], "--table1", "150", "--mode", "simgrid",
                                                 "--at-once", status=1))
        for option in (["--table1", "15", "--reuse"], []):
            self.assertIn("--mode simgrid is of --table1",
                          self.study([IDLE], "--mode", "simgrid", *option, status=1))

    def test_refuses_what_is_of_a_day(self):
        self.assertIn("--mode published is of a day",
                      self.study([], "--table1", "15", "--mode", "published", status=1))
        for option in (["--policy", "paper"], ["--hosts", "2"], ["--repeat", "2"], ["--memory"]):
            self.assertIn("excludes", self.study([], "--table1", "15", *option, status=108))


class ARack(Study):
    ALL = 160  # guests of 1 GiB

    def rack(self, *args):
        return self.study([], "--rack", *args)

    def test_is_emptied_with_each_page_sent_once(self):
        rack = self.rack("--mode", "post-copy")
        self.assertEqual((rack["moves"], rack["left"], len(rack["leaves"])), (self.ALL, 0, self.ALL))
        self.assertAlmostEqual(rack["bytes"] / (self.ALL << 30), 1, 2)

    def test_is_late_where_pre_copy_does_not_converge(self):
        late = {mode: self.rack("--mode", mode, "--uplink", "5")["late"]
                for mode in ("pre-copy", "auto")}
        self.assertGreater(late["pre-copy"], 0)
        self.assertEqual(late["auto"], 0)

    def test_is_not_emptied_host_by_host(self):
        self.assertEqual(self.rack("--mode", "post-copy", "--host-by-host")["left"], self.ALL)

    def test_outlasts_a_cut_of_its_uplink(self):
        for mode, seconds, broken, stood in (("pre-copy", 5, False, False),
                                             ("pre-copy", 30, True, False),
                                             ("post-copy", 30, False, True)):
            rack = self.rack("--mode", mode, "--cut-at", "60", "--cut-seconds", str(seconds))
            self.assertEqual((rack["broken"] > 0, rack["stood"] > 0), (broken, stood), mode)
            self.assertEqual(rack["vain_bytes"] > 0, broken)
            self.assertEqual((rack["moves"], rack["left"]), (self.ALL, 0))


class Growth(Study):
    def test_is_of_fleets_twice_as_large_each_time(self):
        rows = self.study([IDLE + [0]] * 3, "--growth", "5")["decisions"]
        self.assertEqual([row["vms"] for row in rows], [3, 6, 12])
        self.assertIn("too short", self.study([IDLE], "--growth", "1", status=1))


class AChart(unittest.TestCase):
    def test_is_an_image_with_a_path_for_each_line(self):
        for logarithmic in (False, True):
            image = ElementTree.fromstring(line_chart(
                [("a & b", [(1, 2), (10, 200)]), ("(c)", [(1, 3), (10, 30)])], "x", "y", logarithmic))
            lines = [each for each in image if each.get("fill") == "none"]
            self.assertEqual(len(lines), 2)
            self.assertIn("a & b", [each.text for each in image])


if __name__ == "__main__":
    unittest.main()
