"""What a program with rights of its own may do: its VM leaves as any other does."""

import os
import unittest

import undumpable
from post_copy import PostCopyTest
from undumpable import Undumpable


class AProgramThatIsNotDumpable(PostCopyTest):
    def assert_undumpable(self, vm):
        self.assertEqual(os.stat(f"/proc/{vm.pid}/pagemap").st_uid, 0, "it is dumpable")

    def assert_leaves(self, grant):
        inside = Undumpable(self.directory, grant)
        source = self.busy_guest(inside=inside)
        self.assert_undumpable(source)
        target, report = self.move(source, "--mode", "pre-copy", "--verify")
        self.assertGreater(report["pages"]["unpopulated"], 0)
        self.assertNotIn("pagemap", source.stderr.text())
        self.finish(source, target)

    def test_by_a_set_group_id_bit(self):
        self.assert_leaves(undumpable.set_gid)

    def test_as_its_user_may_not_read_it(self):
        self.assert_leaves(undumpable.unreadable)

    def test_by_a_capability_which_lets_it_fetch_pages(self):
        inside = Undumpable(self.directory, undumpable.capable)
        source = self.busy_guest(inside=inside)
        middle, _ = self.move(source, "--mode", "post-copy", inside=inside)
        self.assert_undumpable(middle)
        target, report = self.move(middle, "--mode", "pre-copy", "--verify")
        self.assertIs(report["verified"], True)
        self.finish(source, middle, target)


if __name__ == "__main__":
    unittest.main()
