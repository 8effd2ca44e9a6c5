"""A destination that may not use userfaultfd."""

import unittest

import no_userfault
from labels import labels
from post_copy import PostCopyTest


@labels("no-standard-kvm")
class WithoutUserfaultfd(PostCopyTest):
    def assert_fails_before_the_stop(self, mode):
        source = self.busy_guest()
        target = self.receive(inside=no_userfault)
        migration = self.migrate(source, target, "--mode", mode)
        report = migration.report(1)
        self.assertEqual(report["outcome"], "failed")
        for needed in ("vm.unprivileged_userfaultfd", "CAP_SYS_PTRACE", "/dev/userfaultfd"):
            self.assertIn(needed, report["error"])
        self.assertEqual(report["downtime_ms"], 0)  # it was never stopped
        self.assertEqual(report["rounds"], [])
        self.assertEqual(target.wait(), 69)
        self.assertEqual(target.stdout.bytes(), b"")
        self.assertEqual(source.info()["state"], "running")
        # It is free to go elsewhere.
        third, _ = self.move(source, "--mode", mode)
        self.finish(source, third)

    def test_post_copy_fails_before_the_guest_is_stopped(self):
        self.assert_fails_before_the_stop("post-copy")

    def test_hybrid_fails_before_the_guest_is_stopped(self):
        self.assert_fails_before_the_stop("hybrid")

    def test_auto_goes_on_as_pre_copy_and_says_so(self):
        source = self.busy_guest()
        target, report = self.move(source, "--mode", "auto", "--verify", inside=no_userfault)
        self.assertIsNone(report["switched"])
        self.assertEqual(report["pages"]["demand"], 0)
        self.assertRegex(source.stderr.text(), "stays a pre-copy migration.*CAP_SYS_PTRACE")
        self.finish(source, target)

    def test_pre_copy_does_not_need_it(self):
        source = self.busy_guest()
        target, _ = self.move(source, "--mode", "pre-copy", inside=no_userfault)
        self.assertNotIn("userfaultfd", source.stderr.text())
        self.finish(source, target)


if __name__ == "__main__":
    unittest.main()
