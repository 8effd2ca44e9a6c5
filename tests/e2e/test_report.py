"""The report of a migration: it has all that it should have, and is true."""

import unittest

import proxy
from harness import pages_sent
from labels import labels
from migration import MigrationTest

REPORT = {
    "outcome": str, "error": None, "mode": str, "switched": None, "transport": str,
    "progress": float, "left_ms": None, "total_ms": float, "downtime_ms": float, "wire_bytes": int,
    "wire_bytes_back": int, "channels": int,
    "pages": {
        "total": int, "unpopulated": int, "zero": int, "raw": int, "compressed": int, "zstd": int, "delta": int,
        "reused": int,
        "duplicate": int, "handed_over": int, "free": int, "demand": int, "pushed": int, "resent": int,
        "held_back": int,
    },
    "saved_bytes": {"delta": int, "duplicate": int},
    "delta_cache_bytes": int,
    "stop_wait": None,
    "rounds": [{"pages": int, "wire_bytes": int, "duration_ms": float, "dirtied": int}],
    "faults": {"count": int, "p50_us": float, "p99_us": float, "max_us": float},
    "phases_ms": {
        "drain": float, "stop": float, "last_pages": float, "state": float, "restore": float,
        "commit": float, "verify": float,
    },
    "kept_image": {"pages": int, "bytes": int, "error": None},
    "verified": (bool, type(None)),
    "cpu_seconds": {"source": float, "destination": float},
    "peak_rss_bytes": {"source": int, "destination": int},
}


@labels("alone", "no-tsan", "no-standard-kvm")
class TheReport(MigrationTest):
    def assert_form(self, wanted, found, where="report"):
        if wanted is None:
            return
        if isinstance(wanted, dict):
            for name, inner in wanted.items():
                self.assertIn(name, found, where)
                self.assert_form(inner, found[name], f"{where}.{name}")
        elif isinstance(wanted, list):
            for index, item in enumerate(found):
                self.assert_form(wanted[0], item, f"{where}[{index}]")
        elif wanted is float:
            self.assertIsInstance(found, (int, float), where)
            self.assertGreaterEqual(found, 0, where)
        else:
            self.assertIsInstance(found, wanted, where)

    def move_through_proxy(self, *args):
        """A migration whose bytes are counted on the way."""
        source = self.busy_guest(cpus=2)
        target = self.receive()
        between = proxy.Proxy(target.address)
        self.addCleanup(between.close)
        self.left = []  # bytes of the report that is left there, which it does not count
        between.on("report", lambda _proxy, _way, frame: self.left.append(len(frame)) or frame)
        report = self.migrate(source, between.address, "--mode", "pre-copy", *args).report()
        self.assertEqual(source.wait(), 0)
        self.finish(source, target)
        return report, between

    def test_has_every_field_of_its_form(self):
        source = self.busy_guest()
        target, report = self.move(source, "--verify")
        self.assert_form(REPORT, report)
        self.assertIsNone(report["error"])
        for side in ("source", "destination"):
            self.assertGreater(report["cpu_seconds"][side], 0)
            self.assertGreater(report["peak_rss_bytes"][side], 8 << 20)
        self.finish(source, target)

    def test_counts_each_page_in_one_place(self):
        report, _ = self.move_through_proxy("--compression", "none")
        pages, rounds = report["pages"], report["rounds"]
        self.assertEqual(pages["total"], (32 << 20) // 4096)
        self.assertEqual(rounds[0]["pages"], pages["total"] - pages["unpopulated"])
        self.assertEqual(sum(r["pages"] for r in rounds), pages_sent(pages) + pages["duplicate"])
        self.assertEqual(sum(r["pages"] for r in rounds[1:]), pages["resent"])
        # 8 MiB are filled, 30 % of them with zeros.
        self.assertGreaterEqual(rounds[0]["pages"], 2048)
        self.assertGreaterEqual(pages["zero"], 500)
        self.assertGreater(pages["unpopulated"], pages["total"] // 2)

    def test_counts_the_bytes_that_were_on_the_wire(self):
        report, between = self.move_through_proxy("--compression", "none", "--channels", "2")
        signs_of_life = 8 * 16  # some may pass before or after the sum is made
        forth = between.bytes_forth - sum(self.left)
        self.assertLessEqual(abs(report["wire_bytes"] - forth), signs_of_life)
        self.assertLessEqual(abs(report["wire_bytes_back"] - between.bytes_back), signs_of_life)
        raw = report["pages"]["raw"] * 4096
        self.assertGreater(report["wire_bytes"], raw)
        self.assertLess(report["wire_bytes"], 1.02 * raw + 256 * 1024)
        self.assertLessEqual(sum(r["wire_bytes"] for r in report["rounds"]), report["wire_bytes"])

    def test_tells_times_that_fit_together(self):
        source = self.busy_guest()
        target, report = self.move(source, "--verify")
        phases = report["phases_ms"]
        self.assertLess(report["downtime_ms"] + phases["verify"], report["total_ms"])
        for name in ("stop", "last_pages", "state", "restore", "commit"):
            self.assertLessEqual(phases[name], report["downtime_ms"] + 1, name)
            self.assertGreater(phases[name], 0, name)
        self.assertGreater(phases["verify"], 0)
        self.finish(source, target)

    def test_without_verify_says_nothing_of_it(self):
        source = self.busy_guest()
        target, report = self.move(source)
        self.assertIsNone(report["verified"])
        self.assertEqual(report["phases_ms"]["verify"], 0)
        self.finish(source, target)

    def test_is_live_under_info_while_it_grows(self):
        source = self.large_guest()
        target = self.receive()
        migration = self.migrate(source, target, "--max-bandwidth", "8Mbit")
        live = self.in_first_round(source)["migration"]
        self.assert_form({**REPORT, "verified": None}, live)
        later = source.wait_info(
            lambda info: info["migration"]["wire_bytes"] > live["wire_bytes"], "more bytes"
        )["migration"]
        self.assertGreater(later["total_ms"], live["total_ms"])
        source.cli("cancel")
        migration.report(1)

    def test_is_a_table_for_people_without_json(self):
        source = self.busy_guest()
        target = self.receive()
        done = source.cli("migrate", "--to", target.address)
        text = done.stdout + done.stderr
        self.assertRegex(text, r"(?i)downtime")
        self.assertRegex(text, r"(?i)completed")
        self.finish(source, target)


if __name__ == "__main__":
    unittest.main()
