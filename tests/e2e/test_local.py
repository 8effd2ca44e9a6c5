"""A VM whose memory can be handed over goes to another process of this host without being copied."""

import hashlib
import os
import unittest

import local_proxy
from cases import cases
from handover import PATIENT, HandoverTest
from harness import FerryTest, peer_timeout
from labels import labels
from proxy import cut, fall_silent, hold, lose_the_source, payload

SHARED = ("--memory-backing", "shared")


def ram_of(vm):
    """The path of the guest's memory, as its process has it."""
    directory = f"/proc/{vm.pid}/fd"
    for name in os.listdir(directory):
        try:
            if "memfd:ferry-ram" in os.readlink(f"{directory}/{name}"):
                return f"{directory}/{name}"
        except FileNotFoundError:
            pass
    return None


def digest_of(vm, memory=32 << 20):
    with open(ram_of(vm), "rb") as ram:
        return hashlib.sha256(ram.read(memory)).hexdigest()


class OneVm(FerryTest):
    def begin(self, *args):
        source = self.run_vm("tick=2 fill=8 dirty=500 check end=byte", *args)
        source.stdout.wait_for(rb"^# fill done")
        return source


class SharedMemory(OneVm):
    """It can all that other memory can."""

    @cases({
        "pre_copy": ("pre-copy",),
        "stop_and_copy": ("stop-and-copy",),
        "post_copy": ("post-copy",),
        "hybrid": ("hybrid",),
        "auto": ("auto",),
    })
    def moves_by(self, mode):
        source = self.begin(*SHARED)
        target, report = self.move(source, "--mode", mode, "--verify", receive=SHARED)
        self.assertEqual(report["pages"]["handed_over"], 0)
        target.wait_ticks(20)
        third, report = self.move(target, "--mode", "local", "--verify", transport="unix")
        self.assertGreater(report["pages"]["handed_over"], 0)
        third.wait_ticks(20)
        self.end(third)
        self.assert_sound(source, target, third)

    def test_is_not_in_an_image_store_too(self):
        refused = self.run_vm("end=byte", *SHARED, "--image-store", self.directory)
        self.assertEqual(refused.wait(), 64)
        self.assertIn("--image-store excludes --memory-backing", refused.stderr.text())

    def test_is_anonymous_or_shared(self):
        refused = self.run_vm("end=byte", "--memory-backing", "huge")
        self.assertEqual(refused.wait(), 64)
        self.assertIn("neither anonymous nor shared", refused.stderr.text())


class OnThisHost(OneVm):
    @cases({"auto": ("auto",), "local": ("local",)})
    def hands_the_memory_over_by(self, mode):
        source = self.begin(*SHARED)
        target, report = self.move(source, "--mode", mode, "--verify", transport="unix")
        pages = report["pages"]
        self.assertEqual(report["mode"], mode)
        self.assertEqual(pages["handed_over"], pages["total"])
        self.assertEqual(pages["raw"] + pages["compressed"] + pages["zero"], 0)
        self.assertLess(report["wire_bytes"], 200_000)
        self.assertIs(report["verified"], True)
        target.wait_ticks(20)
        self.end(target)
        self.assert_sound(source, target)

    def test_goes_on_and_on_and_back_to_copies(self):
        vms = [self.begin(*SHARED)]
        for _ in range(5):
            vm, report = self.move(vms[-1], "--mode", "local", "--verify", transport="unix")
            self.assertGreater(report["pages"]["handed_over"], 0)
            vm.wait_ticks(10)
            vms.append(vm)
        vm, report = self.move(vms[-1], "--verify")
        self.assertEqual(report["pages"]["handed_over"], 0)
        self.assertIsNone(ram_of(vm))
        vm.wait_ticks(10)
        vms.append(vm)
        self.end(vm)
        self.assert_sound(*vms)

    def test_counts_what_it_did_not_touch_when_it_goes_on(self):
        """Nothing of it is resident in the process that has just got it, and the stop is bounded by
        what is to be sent."""
        source = self.run_vm("tick=2 fill=48 zero=0 random=100 text=0 end=byte", *SHARED,
                             memory="64M")
        source.stdout.wait_for(rb"^# fill done")
        target, _ = self.move(source, "--mode", "local", transport="unix")
        third, _ = self.move(target, "--mode", "stop-and-copy", "--max-bandwidth", "80Mbit",
                             "--timeout", "1s")
        third.wait_ticks(20)
        self.end(third)
        self.assert_sound(source, target, third)

    def test_of_a_paused_vm_leaves_its_memory_as_it_is(self):
        source = self.begin(*SHARED)
        source.cli("pause")
        before = digest_of(source)
        target, _ = self.move(source, "--mode", "local", "--verify", transport="unix")
        self.assertEqual(target.info()["state"], "paused")
        self.assertEqual(digest_of(target), before)
        target.cli("resume")
        target.wait_ticks(20)
        self.end(target)
        self.assert_sound(source, target)

    @cases({
        "over_tcp": (SHARED, "tcp", (), "unix: address"),
        "of_other_memory": ((), "unix", (), "--memory-backing shared"),
        "with_an_image": (SHARED, "unix", ("--keep-image",), "no image"),
    })
    def is_refused(self, backing, transport, options, why):
        source = self.begin(*backing)
        target = self.receive(transport)
        report = self.migrate(source, target, "--mode", "local", *options).report(1)
        self.assertIn("cannot be handed over", report["error"])
        self.assertIn(why, report["error"])
        self.assertEqual(report["downtime_ms"], 0)
        source.wait_ticks(20)
        self.assertEqual(target.info()["state"], "listening")
        self.end(source)
        self.assert_sound(source)

    def behind_a_proxy(self):
        """One that passes no descriptors."""
        source = self.begin(*SHARED)
        target = self.receive("unix")
        between = local_proxy.LocalProxy(target.address, self.path("sock"), descriptors=False)
        self.addCleanup(between.close)
        return source, target, between

    def test_through_a_proxy_is_refused(self):
        source, _, between = self.behind_a_proxy()
        report = self.migrate(source, between.address, "--mode", "local").report(1)
        self.assertIn("did not come with the offer", report["error"])
        source.wait_ticks(20)
        self.end(source)
        self.assert_sound(source)

    def test_auto_through_a_proxy_copies(self):
        source, target, between = self.behind_a_proxy()
        report = self.migrate(source, between.address, "--verify").report()
        self.assertEqual(report["pages"]["handed_over"], 0)
        self.assertRegex(source.stderr.text(), "the memory is copied, and not handed over: it did")
        target.wait_ticks(20)
        self.end(target)
        self.assert_sound(source, target)


class LocalHandover(HandoverTest):
    """The proxy stands between, and passes the memory on."""

    memory = SHARED
    transport = "unix"

    def begin(self, *options, timeout=PATIENT, paused=False):
        super().begin("--mode", "local", *options, timeout=timeout)
        if paused:
            self.source.cli("pause")

    def make_proxy(self):
        return local_proxy.LocalProxy(self.target.address, self.path("sock"))

    def end_target(self):
        self.target.kill()
        self.between.cut()


@labels("no-tsan", "no-standard-kvm")
class TheMemoryOfTheSource(LocalHandover):
    """A guest that stands: none of its bytes changes."""

    devices = ("--rng", "--balloon")

    def assert_as_it_was(self, before):
        self.assertEqual(digest_of(self.source), before)
        self.source.cli("resume")
        self.source.wait_ticks(20)
        self.end(self.source)
        self.assert_sound(self.source)

    @cases({
        "the_offer": ("accept",),
        "the_state": ("state",),
        "the_last_word": ("last_round",),
        "loading": ("prepared",),
    })
    def is_as_it_was_when_the_target_dies_after(self, frame):
        self.begin(paused=True)
        before = digest_of(self.source)
        self.break_at(frame, hold)
        self.assertEqual(digest_of(self.source), before)
        self.end_target()
        self.assertEqual(self.migration.report(1)["outcome"], "failed")
        self.assert_as_it_was(before)

    @cases({
        "the_offer": ("accept",),
        "the_state": ("state",),
        "loading": ("prepared",),
    })
    def is_as_it_was_when_it_is_cancelled_after(self, frame):
        self.begin(paused=True)
        before = digest_of(self.source)
        self.break_at(frame, hold)
        self.source.cli("cancel")
        self.assertEqual(self.migration.report(1)["outcome"], "cancelled")
        self.assert_as_it_was(before)

    def test_is_as_it_was_when_the_target_refuses(self):
        self.begin("--verify", paused=True)
        before = digest_of(self.source)
        # Found out when the vCPUs are loaded.
        other = payload(lambda state: state.replace(b"device/serial0", b"device/serial9"))
        self.break_at("state", other)
        self.assertIn("lacks section device/serial0", self.migration.report(1)["error"])
        self.assert_as_it_was(before)


@labels("no-tsan", "no-standard-kvm")
class AKilledTargetOnThisHost(LocalHandover):
    @cases({
        "that_has_accepted": ("accept",),
        "after_the_stop": ("state",),
        "that_has_prepared": ("prepared",),
    })
    def leaves_the_guest_at_the_source(self, frame):
        self.kill_target_at(frame)
        self.assert_stays()
        self.assert_moves_elsewhere()

    def test_before_commit_arrives_leaves_a_doubt_that_force_ends(self):
        self.kill_target_at("commit")
        self.assert_force_ends_the_doubt()

    def test_that_ran_the_guest_leaves_nothing_to_force(self):
        self.begin()
        self.break_at("running", hold)
        self.target.wait_ticks(20)
        self.target.kill()
        self.assert_source_in_doubt()
        refused = self.source.cli("resume", "--force", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("the guest has run at the destination", refused.stderr)
        self.source.cli("stop")
        self.assertEqual(self.source.wait(), 0)
        self.assert_sound(self.source, self.target)


@labels("no-tsan", "no-standard-kvm")
class AKilledSourceOnThisHost(LocalHandover):
    @cases({"after_prepared": ("prepared",), "before_commit_arrives": ("commit",)})
    def leaves_a_guest_that_goes_on_by_force(self, frame):
        self.kill_source_at(frame)
        self.assert_target_waits()
        self.target.cli("resume", "--force")
        self.target.wait_ticks(20)
        third, report = self.move(self.target, "--verify", transport="unix")
        self.assertGreater(report["pages"]["handed_over"], 0)
        third.wait_ticks(20)
        self.end(third)
        self.assert_sound(self.source, self.target, third)

    @cases({"has_accepted": ("accept",), "lacks_the_state": ("state",)})
    def ends_a_receiver_that(self, frame):
        self.kill_source_at(frame)
        self.assert_target_gives_up()

    def test_after_commit_leaves_a_guest_that_runs(self):
        self.begin()
        self.break_at("running", hold)
        self.source.kill()
        self.target.wait_ticks(50)
        self.end(self.target)
        self.assert_sound(self.source, self.target)


@labels("no-tsan", "no-standard-kvm")
class ALostLinkOnThisHost(LocalHandover):
    def test_leaves_no_guest_to_force_at_the_target_when_it_went_on_at_the_source(self):
        self.begin()
        self.break_at("prepared", lose_the_source)
        self.assert_stays()
        self.between.cut()
        self.assert_target_waits()
        self.target.cli("resume", "--force", check=False)
        self.target.stderr.wait_for(rb"its memory has gone on at the source")
        self.source.wait_ticks(20)
        self.assertEqual(self.target.stdout.bytes(), b"")
        self.end(self.source)
        self.assert_sound(self.source)

    def test_leaves_no_guest_at_the_source_when_the_target_was_forced_to_run_it(self):
        """Against what the operator vouched for, the source lives."""
        self.begin(timeout=1.0)
        self.patience = ("--timeout", peer_timeout(30))
        self.break_at("prepared", fall_silent)
        self.assert_target_waits()
        self.target.cli("resume", "--force")
        self.target.wait_ticks(20)
        self.between.cut()
        self.assertEqual(self.migration.report(1)["outcome"], "failed")
        self.assertEqual(self.source.wait(), 70)
        self.assertIn("its memory belongs to the process", self.source.stderr.text())
        self.target.wait_ticks(20)
        self.end(self.target)
        self.assert_sound(self.source, self.target)

    def test_after_commit_is_settled_when_it_is_back(self):
        self.begin()
        self.break_at("running", cut)
        self.target.wait_ticks(20)
        self.between.restore()
        self.assert_moved()


if __name__ == "__main__":
    unittest.main()
