"""What Ferry says: how far it is, who has the VM, why it does not do what it was asked for."""

import contextlib
import fcntl
import json
import os
import pty
import struct
import termios
import threading
import unittest

from harness import DEADLINE, FERRY, GUEST, FerryTest, Process, pages_sent, silent_port
from reuse import ReuseTest

# 16 MiB that do not shrink, in RAM that is untouched for the most part.
WORK = "tick=5 fill=16 random=100 text=0 zero=0 end=byte"
SLOW = ("--max-bandwidth", "50Mbit")
FAST = ("--max-bandwidth", "8Gbit")
UNAVAILABLE, NO_PERMISSION = 69, 77


class WordsTest(FerryTest):
    def guest(self, *args, cmdline=WORK, memory="64M"):
        vm = self.run_vm(cmdline, *args, memory=memory)
        vm.stdout.wait_for(rb"^# fill done")
        return vm

    def wait_progress(self, source, least):
        return source.wait_info(
            lambda info: info["migration"] and info["migration"]["progress"] >= least, "so far"
        )["migration"]


class Progress(WordsTest):
    def goes_up(self, *options):
        """Half-way through: it is the part of the pages in use that have been sent, and rises."""
        source = self.guest()
        target = self.receive()
        migration = self.migrate(source, target, *SLOW, *options)
        seen = [self.wait_progress(source, least) for least in (10, 30, 50)]
        source.cli("set", *FAST)
        report = migration.report()
        self.assertEqual(report["progress"], 100)
        in_use = report["pages"]["total"] - report["pages"]["unpopulated"]
        for live in seen:
            pages = live["pages"]
            gone = 100 * pages_sent(pages) / in_use
            self.assertAlmostEqual(live["progress"], gone, delta=8)
        each = [live["progress"] for live in seen]
        self.assertEqual(each, sorted(each))
        # What is still to come, at the rate of late. A look may find a moment between two rounds.
        for live in seen:
            if live["left_ms"] is None:
                continue
            foreseen = live["total_ms"] * (100 - live["progress"]) / live["progress"]
            self.assertGreater(live["left_ms"], foreseen / 5)
            self.assertLess(live["left_ms"], foreseen * 5)
        self.assertIsNone(report["left_ms"])
        self.end(target)

    def test_of_pre_copy(self):
        self.goes_up("--mode", "pre-copy")

    def test_of_post_copy(self):
        self.goes_up("--mode", "post-copy")

    def test_of_stop_and_copy_over_channels(self):
        self.goes_up("--mode", "stop-and-copy", "--channels", 3)

    def test_never_falls_nor_ends_early_while_the_guest_writes(self):
        source = self.guest(cmdline=WORK + " dirty=3000 ws=4")
        target = self.receive()
        migration = self.migrate(source, target, *SLOW, "--mode", "pre-copy", "--max-downtime",
                                 "1ms", "--max-rounds", 50)
        self.wait_progress(source, 50)
        source.cli("set", "--max-bandwidth", "400Mbit")
        before = 0
        while migration.running():
            done = source.cli("info", "--json", check=False)
            live = done.returncode == 0 and json.loads(done.stdout)["migration"]
            if not live or live["outcome"] != "running":
                break
            self.assertGreaterEqual(live["progress"], before)
            self.assertLess(live["progress"], 100)
            before = live["progress"]
            if live["phase"] == "round 3":
                source.cli("set", *FAST, "--max-downtime", "1s", check=False)
        self.assertEqual(migration.report()["progress"], 100)
        self.end(target)


class ProgressOfAReturn(ReuseTest):
    def test_is_that_of_the_pages_that_were_not_kept(self):
        here = self.make_store()
        source = self.guest_with_store(
            here, "tick=2 fill=16 random=100 text=0 zero=0 change=1500 irq end=byte")
        away, left = self.leave(source, self.make_store())
        told = away.wait_info(lambda info: info["arrived_by"], "told")["arrived_by"]
        self.assertEqual(told["total_ms"], left["total_ms"])  # by a keeper too
        away.write(b"c")
        away.stdout.wait_for(rb"^# change 1 done")
        back = self.receive("tcp", "--image-store", here)
        migration = self.migrate(away, back, "--mode", "pre-copy", *SLOW)
        live = away.wait_info(
            lambda info: info["migration"] and info["migration"]["progress"] > 40, "so far"
        )["migration"]
        away.cli("set", *FAST, check=False)  # on a busy machine it may have ended by now
        pages = migration.report()["pages"]
        self.assertGreater(pages["reused"], 2000)
        sent = pages_sent(pages) - pages["resent"]
        pages = live["pages"]
        gone = 100 * pages_sent(pages) / sent
        self.assertAlmostEqual(live["progress"], gone, delta=15)
        self.end(back)


class ATerminal(WordsTest):
    def bars(self, columns):
        """All that is drawn over one another on a terminal of that width."""
        source = self.guest()
        target = self.receive()
        master, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        client = self.start(
            Process, [FERRY, "migrate", "--api-socket", source.api, "--to", target.address, *SLOW],
            stderr=terminal)
        os.close(terminal)
        drawn = bytearray()

        def read():
            with contextlib.suppress(OSError):  # the other end has been closed
                while chunk := os.read(master, 4096):
                    drawn.extend(chunk)

        reader = threading.Thread(target=read)
        reader.start()
        self.wait_progress(source, 40)
        source.cli("set", *FAST)
        self.assertEqual(client.wait(), 0)
        reader.join(DEADLINE)
        os.close(master)
        self.end(target)
        bars = [part.decode() for part in bytes(drawn).split(b"\r\x1b[K") if b"%" in part]
        self.assertGreater(len(bars), 2)
        return bars

    def test_is_never_too_narrow_for_the_bar(self):
        for columns in (20, 40):
            with self.subTest(columns=columns):
                for bar in self.bars(columns):
                    self.assertLess(len(bar), columns, bar)

    def test_that_does_not_know_its_width_is_taken_for_a_usual_one(self):
        for bar in self.bars(0):
            self.assertLess(len(bar), 80)
            self.assertRegex(bar, r"^\[=* *\] +\d+ % \S.* sent")


class Info(WordsTest):
    def test_of_a_receiver_tells_where_it_listens_and_what_is_coming(self):
        source = self.guest("--name", "lisbon")
        target = self.receive()
        waiting = target.info()
        self.assertEqual(waiting["listening"], target.address)
        self.assertIsNone(waiting["receiving"])
        self.assertIn(target.address, target.cli("info").stdout)
        migration = self.migrate(source, target, *SLOW, "--mode", "pre-copy")
        info = target.wait_info(
            lambda info: info["receiving"] and info["receiving"]["pages"] > 100, "receiving")
        self.assertEqual(info["state"], "receiving")
        self.assertEqual(info["name"], "lisbon")
        self.assertEqual(info["id"], source.info()["id"])
        self.assertEqual(info["memory"], 64 << 20)
        self.assertEqual(info["receiving"]["round"], 1)
        self.assertGreater(info["receiving"]["wire_bytes"], 100 * 4096)
        table = target.cli("info").stdout
        self.assertRegex(table, r"(?m)^  receiving +round 1; [\d,]+ pages have landed, ")
        self.assertRegex(table, r"(?m)^  name +lisbon$")
        self.assertRegex(source.cli("info").stdout, r"(?m)^  phase +round 1; \d+ % done(, .* left)?$")
        source.cli("set", *FAST)
        migration.report()
        self.assertIsNone(target.info()["receiving"])
        self.end(target)

    def test_at_the_destination_keeps_the_report_of_a_source_that_has_ended(self):
        for mode in ("pre-copy", "post-copy"):
            with self.subTest(mode=mode):
                target, report = self.move(self.guest(), "--mode", mode)
                told = target.wait_info(lambda info: info["arrived_by"], "told")["arrived_by"]
                for field in ("outcome", "owner", "mode", "total_ms", "wire_bytes", "rounds"):
                    self.assertEqual(told[field], report[field], field)
                self.assertEqual(told["pages"], report["pages"])
                self.assertIn(f"arrived by {mode} over tcp:", target.cli("info").stdout)
                self.end(target)

    def test_of_a_vm_that_has_moved_while_paused_does_not_say_that_it_runs(self):
        for mode in ("pre-copy", "post-copy"):
            with self.subTest(mode=mode):
                source = self.guest()
                source.cli("pause")
                target, report = self.move(source, "--mode", mode)
                self.assertNotIn("runs", report["owner"])
                self.assertIn("paused", report["owner"])
                self.assertNotIn("runs", source.stderr.text())
                self.assertRegex(target.stderr.text(), "has arrived, paused")
                self.assertIn("paused", target.info()["owner"])
                target.cli("resume")
                self.end(target)


class ARequestThatComesTooLate(WordsTest):
    def test_gets_the_reason_while_pages_are_served(self):
        source = self.guest()
        target = self.receive()
        migration = self.migrate(source, target, *SLOW, "--mode", "post-copy")
        source.wait_info(
            lambda info: info["migration"] and "missing" in info["migration"]["phase"], "serving")
        for command in ("stop", "pause", "resume"):
            refused = source.cli(command, check=False)
            self.assertEqual(refused.returncode, 1)
            self.assertRegex(refused.stderr, f"cannot {command}: the VM is elsewhere by now")
            self.assertNotIn("cancel", refused.stderr)
        self.assertRegex(target.cli("info").stdout, r"runs the VM; pages that it lacks are still")
        source.cli("set", *FAST)
        migration.report()
        self.end(target)


class AFailure(WordsTest):
    def test_is_told_once_and_without_figures_of_nothing(self):
        vm = self.guest()
        with silent_port() as port:
            done = vm.cli("migrate", "--to", f"tcp:127.0.0.1:{port}", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout, "")
        self.assertEqual(done.stderr.count("Connection refused"), 1, done.stderr)
        self.assertIn("here", done.stderr)
        table = vm.cli("info").stdout
        self.assertIn("Connection refused", table)
        self.assertNotIn("0 raw", table)
        self.end(vm)


class WhatIsForbidden(FerryTest):
    """Root may do everything, but for what is taken from it here."""

    def refused(self, status, pattern, *args):
        command = [FERRY, *args]
        if os.geteuid() == 0:
            command = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", *command]
        done = self.start(Process, command)
        self.assertEqual(done.wait(), status, done.stderr.text())
        self.assertRegex(done.stderr.text(), pattern)

    def forbidden(self, suffix, mode=0o000):
        path = self.path(suffix)
        os.mkdir(path)
        os.chmod(path, mode)
        self.addCleanup(os.chmod, path, 0o700)
        return path

    def test_is_told_from_what_is_missing(self):
        directory = self.forbidden("d")
        kernel = self.path("elf")
        os.close(os.open(kernel, os.O_CREAT, 0o000))
        run = ("run", "--kernel", GUEST, "--memory", "32M", "--serial")
        for args in (
            ("run", "--kernel", kernel),
            ("run", "--kernel", f"{directory}/k"),
            ("run", "--kernel", GUEST, "--initramfs", kernel),
            (*run, "null", "--api-socket", f"{directory}/s"),
            (*run, f"file:{directory}/log"),
            (*run, "null", "--image-store", f"{directory}/store"),
            ("receive", "--listen", f"unix:{directory}/s"),
            ("images", "--image-store", f"{directory}/store"),
        ):
            with self.subTest(args=args):
                self.refused(NO_PERMISSION, "Permission denied", *args)

    def test_is_a_control_socket_of_somebody_else(self):
        vm = self.run_vm("tick=5 end=byte")
        vm.wait_ready()
        os.chmod(vm.api, 0o000)
        for args in (("info",), ("stop",), ("migrate", "--to", "tcp:127.0.0.1:1")):
            self.refused(NO_PERMISSION, "is for the user who started", *args, "--api-socket", vm.api)
        os.chmod(vm.api, 0o600)
        self.end(vm)


class WhatIsNoSocket(FerryTest):
    def test_is_called_so(self):
        path = self.path("file")
        os.close(os.open(path, os.O_CREAT, 0o600))
        for there in (path, self.directory):
            for args in (("run", "--kernel", GUEST, "--api-socket", there),
                         ("receive", "--listen", f"unix:{there}")):
                done = self.ferry(*args)
                self.assertEqual(done.status, UNAVAILABLE, done.stderr.text())
                self.assertRegex(done.stderr.text(), "is there that is no socket|a directory is")
            for args in (("info",), ("migrate", "--to", "tcp:127.0.0.1:1")):
                done = self.ferry(*args, "--api-socket", there)
                self.assertEqual(done.status, UNAVAILABLE, done.stderr.text())
                self.assertRegex(done.stderr.text(), "it is no socket")


if __name__ == "__main__":
    unittest.main()
