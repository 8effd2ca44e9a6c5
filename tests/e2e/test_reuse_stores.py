"""The store under other circumstances: shared, full, read-only, limited, or somebody else's."""

import os
import re
import resource
import subprocess
import unittest

from harness import DEADLINE, GUEST
from labels import labels
from post_copy import BrokenPostCopyTest
from proxy import hold
from reuse import FEW, MIB, SMALL, ReuseTest



class StoreTest(ReuseTest):
    def remount(self, at, options):
        subprocess.run(["mount", "-o", f"remount,{options}", at], check=True, timeout=DEADLINE,
                       stdin=subprocess.DEVNULL)

    def go_away(self, here, *args, there=None):
        """A VM that has left: its two processes, and how many pages are kept of it."""
        source = self.guest_with_store(here, SMALL, *args)
        away, left = self.leave(source, there or self.make_store())
        self.wait_read(away)
        return source, away, left["kept_image"]["pages"]

    def assert_refused(self, store, status, pattern):
        for command in (("receive", "--listen", "tcp:127.0.0.1:0"),
                        ("run", "--kernel", GUEST, "--memory", "32M")):
            done = self.ferry(*command, "--image-store", store)
            self.assertRegex(done.stderr.text(), pattern)
            self.assertNotIn("internal error", done.stderr.text())
            self.assertEqual(done.status, status)


@labels("no-tsan", "no-standard-kvm")
class ASharedStore(StoreTest):
    def test_has_an_image_for_each_of_two_vms_of_one_name(self):
        here = self.make_store()
        ways = [self.go_away(here, "--name", "twin") for _ in range(2)]
        images = self.images(here)
        self.assertEqual([image["name"] for image in images], ["twin", "twin"])
        for source, away, kept in ways:
            back, report = self.come_back(away, here)
            self.assertGreater(report["pages"]["reused"], kept - FEW)
            self.assert_keeper_ends(source)
            self.finish(source, away, back)
        self.assertEqual(self.images(here), [])

    def test_gives_an_image_to_the_first_of_two_returns(self):
        here = self.make_store()
        source, away, kept = self.go_away(here)
        first = self.receive("tcp", "--image-store", here)
        second = self.receive("tcp", "--image-store", here)
        legs = [source, away]
        reused = []
        for target in (first, second):
            report = self.migrate(legs[-1], target, "--verify").report()
            self.assertIs(report["verified"], True)
            self.assertEqual(legs[-1].wait(), 0)
            reused.append(report["pages"]["reused"])
            legs.append(target)
            target.wait_ticks(20)
        self.assertGreater(reused[0], kept - FEW)
        self.assertEqual(reused[1], 0)
        self.finish(*legs)

    def test_is_of_no_use_to_a_third_host(self):
        here = self.make_store()
        source, away, kept = self.go_away(here)
        third, report = self.come_back(away, self.make_store())
        self.assert_nothing_reused(report)
        self.wait_read(third)
        # And then to the first host at last: its image is that of an earlier handover.
        back, report = self.come_back(third, here)
        self.assertGreater(report["pages"]["reused"], kept // 2)
        self.assert_keeper_ends(source)
        self.finish(source, away, third, back)


@labels("no-tsan", "no-standard-kvm")
class AStoreThatIsFull(StoreTest, BrokenPostCopyTest):
    def test_of_ram_keeps_nothing_and_lets_the_vm_go(self):
        """The last of its room goes while the guest runs: there is none for the hashes."""
        here = self.mount("size=64m")
        source = self.guest_with_store(here, SMALL)
        self.fill_up(here)
        self.assert_leaves_without_image(source, rb"the image of the VM is not kept: .*[Nn]o space")
        self.assertEqual(os.listdir(here), ["filler"])

    def test_of_too_little_room_for_ram_is_used_as_a_disk_is(self):
        """RAM that found it full later would end the process."""
        why = rb"the image store has no room for the VM's RAM"
        for mode in ("pre-copy", "post-copy"):
            with self.subTest(mode):
                source = self.guest_with_store(self.mount("size=4m"), SMALL)
                source.stderr.wait_for(why)
                away = self.receive("tcp", "--image-store", self.mount("size=4m"))
                report = self.migrate(source, away, "--mode", mode, "--verify").report()
                self.assertIs(report["verified"], True)
                self.assertEqual(source.wait(), 0, source.stderr.text())
                away.stderr.wait_for(why)
                self.finish(source, away)

    def test_by_the_ram_of_another_vm_holds_no_second(self):
        """Each of the two finds room for it when it starts, as the first has not touched it yet."""
        here = self.mount("size=48m")
        first = self.run_vm("tick=2 fill=20 check end=byte", "--image-store", here)
        first.wait_ready()
        second = self.guest_with_store(here, "tick=2 fill=20 zero=0 random=100 text=0 end=byte")
        second.stderr.wait_for(rb"the image store has no room for the VM's RAM \(" + here.encode())
        first.stdout.wait_for(rb"^# fill done")
        first.wait_ticks(10)
        self.assertEqual(first.stderr.text(), "")
        for vm in (first, second):
            self.end(vm)

    def test_by_others_while_the_guest_needs_it_leaves_the_guest_running(self):
        here = self.mount("size=64m")
        grows = "tick=2 fill=24 zero=0 random=100 text=0 check end=byte"
        source = self.run_vm(grows, "--image-store", here)
        source.stdout.wait_for(rb"^# hello")
        self.fill_up(here)
        source.stderr.wait_for(rb"others have filled the image store .*" + here.encode())
        source.stdout.wait_for(rb"^# fill done")
        self.wait_walk(source)
        os.remove(f"{here}/filler")
        away = self.receive("tcp", "--image-store", self.make_store())
        report = self.migrate(source, away, "--verify", "--keep-image").report()
        self.assertIs(report["verified"], True)
        self.assertGreater(report["kept_image"]["pages"], 0, source.stderr.text())
        self.wait_walk(away)
        self.finish(source, away)

    def test_by_others_while_a_vm_arrives_refuses_it_with_the_reason(self):
        for compression in ("none", "lz4"):
            with self.subTest(compression):
                cmdline = "tick=2 fill=32 zero=0 random=50 text=50 check end=byte"
                there = self.mount("size=80m")
                self.begin_through_proxy(cmdline=cmdline, receive=("--image-store", there))
                accepted = self.between.on("accept", hold)
                self.migration = self.migrate(
                    self.source, self.between.address, "--mode", "pre-copy",
                    "--compression", compression,
                )
                self.wait_for(accepted)
                self.fill_up(there)
                self.between.release()
                report = self.migration.report(1)
                self.assertEqual(report["outcome"], "failed")
                self.assertEqual(self.target.wait(), 69, self.target.stderr.text())
                self.target.stderr.wait_for(there.encode() + rb": [Nn]o space left")
                self.assertEqual(self.source.info()["state"], "running")
                self.finish(self.source)

    def test_of_ram_that_arrives_by_post_copy_leaves_it_in_anonymous_memory(self):
        # In small pieces, with zero pages between them, or in whole huge pages.
        for most, content in (("200Mbit", "zero=30 random=70"), ("0", "zero=0 random=100")):
            with self.subTest(most):
                cmdline = f"tick=2 fill=32 {content} text=0 check end=byte"
                there = self.mount("size=80m")
                self.begin_through_proxy(cmdline=cmdline, receive=("--image-store", there))
                accepted = self.between.on("accept", hold)
                self.migration = self.migrate(
                    self.source, self.between.address, "--mode", "post-copy",
                    "--max-bandwidth", most,
                )
                self.wait_for(accepted)
                self.fill_up(there)
                self.between.release()
                self.assertEqual(self.migration.report()["outcome"], "completed")
                self.target.stderr.wait_for(rb"the image store has no room for all of")
                self.assertNotIn("lost", self.target.stderr.text())
                self.wait_walk(self.target)
                # What it leaves with next is right, and so is what is kept of it.
                away = self.receive("tcp", "--image-store", self.make_store())
                report = self.migrate(self.target, away, "--verify", "--keep-image").report()
                self.assertIs(report["verified"], True)
                self.target.stderr.wait_for(rb"the image of the VM is not kept: .*[Nn]o space")
                self.finish(self.source, self.target, away)

    def test_whose_limit_is_too_low_keeps_nothing_and_lets_the_vm_go(self):
        source = self.guest_with_store(self.make_store(), SMALL, "--image-store-limit", "4M")
        self.assert_leaves_without_image(source, rb"the image of the VM is not kept: .*limited to")

    def assert_leaves_without_image(self, source, why):
        away = self.receive("tcp")
        migration = self.migrate(source, away, "--keep-image", "--verify")
        report = migration.report()
        self.assertEqual(report["outcome"], "completed")
        self.assertFalse(report["kept_image"] and report["kept_image"]["pages"])
        self.assertEqual(source.wait(), 0)
        for told in (source, migration):
            told.stderr.wait_for(why)
        self.assertIn(report["kept_image"]["error"], migration.stderr.text())
        self.finish(source, away)

    def test_limited_gives_up_the_oldest_image(self):
        here = self.make_store()
        limit = ("--image-store-limit", "12M")  # one of these images has some 8 MiB
        older, gone, _ = self.go_away(here, *limit)
        newer, away, kept = self.go_away(here, *limit)
        self.assert_keeper_ends(older)
        newer.stderr.wait_for(rb"image of .* removed: the store is over its limit")
        (image,) = self.images(here)
        self.assertEqual(image["id"], newer.info()["id"])
        self.assertLess(image["bytes"], 12 * MIB)
        back, report = self.come_back(gone, here)
        self.assert_nothing_reused(report)
        self.finish(older, gone, back)
        back, report = self.come_back(away, here)
        self.assertGreater(report["pages"]["reused"], kept - FEW)
        self.finish(newer, away, back)


@labels("no-standard-kvm")
class RamInAStore(StoreTest):
    def ram_of(self, vm):
        """The path by which others reach the file."""
        for number in os.listdir(f"/proc/{vm.pid}/fd"):
            path = f"/proc/{vm.pid}/fd/{number}"
            if os.readlink(path).endswith(" (deleted)") and os.stat(path).st_size >= 16 * MIB:
                return path
        raise AssertionError("its RAM is no file")

    def test_that_is_larger_than_files_may_be_is_none(self):
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, MIB))
        vm = self.guest_with_store(self.make_store(), SMALL, preexec_fn=limit)
        vm.stderr.wait_for(rb"ulimit -f.*The VM's RAM is anonymous memory therefore")
        self.end(vm)

    def test_that_others_cut_short_ends_the_vm_with_the_reason(self):
        vm = self.guest_with_store(self.make_store(), SMALL)
        os.truncate(self.ram_of(vm), 0)
        self.assertEqual(vm.wait(), 71)
        self.assertRegex(vm.stderr.text(), "lost its RAM: somebody has cut its file|guest RAM .offset")


@labels("no-tsan", "no-standard-kvm")
class AStoreThatIsReadOnly(StoreTest):
    def test_from_the_start_is_refused_for_ram(self):
        store = self.mount("size=64m,ro")
        vm = self.run_vm(SMALL, "--image-store", store)
        self.assertEqual(vm.wait(), 77)
        vm.stderr.wait_for(rb"cannot make a file in the image store .*[Rr]ead-only")
        self.assert_refused(f"{store}/new", 77, "cannot make the image store .*[Rr]ead-only")

    def test_at_the_return_has_an_image_that_cannot_be_taken(self):
        """It cannot be made void, so it must not be used, and there is no room for RAM either."""
        here = self.mount("size=64m")
        source, away, _ = self.go_away(here)
        self.end_keeper(source)
        source.close()
        self.remount(here, "ro")
        back = self.receive("tcp", "--image-store", here)
        report = self.migrate(away, back).report(1)
        self.assertEqual(report["outcome"], "failed")
        self.assertRegex(report["error"], r"[Rr]ead-only")
        away.wait_ticks(20)
        elsewhere, report = self.come_back(away, self.make_store())
        self.assert_nothing_reused(report)
        self.finish(source, away, elsewhere)


@labels("no-tsan", "no-standard-kvm")
class AStoreOfAnotherUser(StoreTest):
    def test_is_refused(self):
        if os.geteuid() != 0:
            self.skipTest("needs root to give a directory away")
        store = self.make_store()
        os.chown(store, 12345, -1)
        self.assert_refused(store, 77, re.escape(store) + " belongs to another user")

    def test_may_not_look_into_ours(self):
        store = self.make_store()
        os.chmod(store, 0o750)
        self.assert_refused(store, 77, "open to other users")

    def test_is_none_at_all(self):
        path = self.path("file")
        with open(path, "w", encoding="ascii"):
            self.assert_refused(path, 66, "cannot open the image store|cannot make the image store")


if __name__ == "__main__":
    unittest.main()
