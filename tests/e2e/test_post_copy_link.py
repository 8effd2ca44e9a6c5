"""The link breaks while pages are missing: it is taken up again by itself, and nothing is lost."""

import json
import unittest

import proxy
from labels import labels
from post_copy import BrokenPostCopyTest
from proxy import drop, fall_silent
from reuse import ReuseTest

TIMES = 10


@labels("no-asan", "no-standard-kvm")
class ALink(ReuseTest, BrokenPostCopyTest):
    def is_lost(self, action, nth=100, *options, frame="request"):
        """Once, and comes back by itself."""
        self.begin_through_proxy(*options)
        broken = self.between.on(frame, action, nth=nth)
        self.go()
        self.wait_for(broken)
        return self.assert_completes()

    def is_lost_often(self, *options, receive=()):
        self.begin_through_proxy(*options, receive=receive)
        rules = [self.between.on("request", drop(by_reset=True), nth=50)]
        self.go()
        for count in range(1, TIMES + 1):
            self.wait_for(rules[-1])
            self.assertEqual(self.source.state(), "migrating")
            if count < TIMES:
                # The guest gets some pages further each time before the link breaks again.
                rules.append(
                    self.between.on("request", drop(by_reset=count % 2 == 0), nth=100)
                )
        report = self.assert_completes()
        self.assertGreaterEqual(self.target.stderr.text().count("the source is back"), TIMES)
        return report

    def test_that_is_lost_ten_times_loses_nothing(self):
        report = self.is_lost_often()
        self.assertGreater(report["faults"]["count"], 500)

    def test_that_is_lost_ten_times_loses_nothing_of_three_channels_that_are_verified(self):
        report = self.is_lost_often("--channels", 3, "--verify")
        self.assertIs(report["verified"], True)

    def test_that_is_lost_ten_times_loses_nothing_where_ram_is_a_file(self):
        report = self.is_lost_often("--verify", receive=("--image-store", self.make_store()))
        self.assertIs(report["verified"], True)

    def test_that_is_lost_with_the_last_word_brings_the_report_when_it_is_back(self):
        def lose_the_last(between, _direction, frame):
            if json.loads(frame[proxy.HEADER.size:])["missing"] == 0:
                between.drop_now("control")
            else:
                between.on("running", lose_the_last)

        self.begin_through_proxy()
        self.between.on("running", lose_the_last)
        self.go()
        self.wait_missing(self.target)
        self.complete()
        self.assertEqual(self.between.seen.count("inquire"), 1)
        info = self.target.wait_info(lambda info: info["arrived_by"], "told how the VM came")
        self.assertEqual(info["arrived_by"]["outcome"], "completed")
        self.assertNotIn("is lost", self.target.stderr.text())
        self.finish(self.source, self.target)

    def test_that_is_being_taken_up_when_the_guest_ends_lets_the_source_go(self):
        """It waits for the list of what is missing, as it does while there is no room for pages."""

        lost = []

        def lose_the_list(between, _direction, _frame):
            lost.append(between.on("missing", lambda *_: proxy.HEADER.pack(proxy.ALIVE, 0, 0, 0)))

        self.begin_through_proxy(timeout=10)
        back = self.between.on("status", lose_the_list)
        broken = self.between.on("request", drop(), nth=100)
        self.go()
        self.wait_for(broken)
        # The destination says that the source is back before its answer has come by here.
        self.target.stderr.wait_for(rb"the source is back")
        self.wait_for(back)
        self.wait_for(lost[0])
        self.target.cli("stop")
        self.assertEqual(self.target.wait(), 0, self.target.stderr.text())
        self.assertIn("has ended", self.migration.report()["owner"])
        self.assertEqual(self.source.wait(), 0, self.source.stderr.text())

    def test_that_is_closed_in_good_form_is_taken_up_again(self):
        self.is_lost(drop(by_reset=False))

    def test_whose_fault_connection_alone_is_lost_is_taken_up_again(self):
        for by_reset in (True, False):
            with self.subTest(by_reset=by_reset):
                self.is_lost(drop("faults", by_reset))

    def test_whose_page_channels_alone_are_lost_is_taken_up_again(self):
        for by_reset in (True, False):
            with self.subTest(by_reset=by_reset):
                self.is_lost(drop("pages", by_reset), 100, "--channels", 2)

    def test_one_of_whose_page_channels_alone_is_lost_is_taken_up_again(self):
        self.is_lost(drop("pages", most=1), 100, "--channels", 2)

    def test_whose_control_connection_alone_is_lost_is_taken_up_again(self):
        for by_reset in (True, False):
            with self.subTest(by_reset=by_reset):
                self.is_lost(drop("control", by_reset))

    def test_that_is_silent_for_longer_than_the_timeout_is_taken_up_again(self):
        self.begin_through_proxy()
        broken = self.between.on("request", fall_silent, nth=100)
        self.go()
        self.wait_for(broken)
        self.target.stderr.wait_for(rb"the link to it is lost")
        self.source.wait_info(lambda info: info["state"] == "in-doubt", "in doubt")
        self.assertRegex(self.source.cli("info").stdout, r"(?m)^  phase +link lost; \d+ % done$")
        self.assertTrue(self.target.info()["arrival"]["link_lost"])
        self.assertRegex(self.target.cli("info").stdout, r"(?m)^  link +lost: ")
        self.between.restore()
        self.source.wait_info(lambda info: info["state"] == "migrating", "back")
        self.assertFalse(self.target.info()["arrival"]["link_lost"])
        # `ferry migrate` has told the doubt, and ended by it.
        self.assertEqual(self.migration.report(1)["outcome"], "in-doubt")
        self.source.cli("set", "--max-bandwidth", "8Gbit")
        self.assertEqual(self.source.wait(), 0)
        self.wait_all_here(self.target)
        self.wait_walk(self.target)
        self.finish(self.source, self.target)

    def test_that_is_lost_again_while_it_is_taken_up_comes_back_all_the_same(self):
        for frame, when in (
            ("inquire", "before"), ("inquire", "after"), ("status", "after"), ("running", "before"),
            ("missing", "before"), ("missing", "after"), ("channel", "before"),
            ("channel", "after"),
        ):
            with self.subTest(frame=frame, when=when):
                self.begin_through_proxy("--channels", 2)
                again = []

                def lose(between, direction, sent, frame=frame, when=when, again=again):
                    again.append(between.on(frame, drop(), when))
                    between.drop_now()

                broken = self.between.on("request", lose, nth=100)
                self.go()
                self.wait_for(broken)
                self.wait_for(again[0])
                self.assert_completes()

    def test_through_another_address_is_taken_up_by_set(self):
        self.begin_through_proxy()
        broken = self.between.on("request", lambda between, *_: between.cut_now(), nth=100)
        self.go()
        self.wait_for(broken)
        self.source.wait_info(lambda info: info["state"] == "in-doubt", "in doubt")
        self.source.cli("set", "--to", self.target.address)
        self.source.wait_info(lambda info: info["state"] == "migrating", "back")
        self.source.cli("set", "--max-bandwidth", "8Gbit")
        self.assertEqual(self.source.wait(), 0)
        self.wait_walk(self.target)
        self.finish(self.source, self.target)


if __name__ == "__main__":
    unittest.main()
