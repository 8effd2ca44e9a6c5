"""An image that is damaged, or not the right one: what is unsound travels, and the VM is whole."""

import os
import shutil
import unittest

from cases import cases
from labels import labels
from reuse import FEW, PAGE, SMALL, ReuseTest

NOT_USED = rb"image of [0-9a-f-]{36} not used: "


def flip(path, at):
    """Changes a bit. A negative place counts from the end."""
    with open(path, "r+b") as file:
        file.seek(at, os.SEEK_END if at < 0 else os.SEEK_SET)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 0x10]))


def halve(path):
    os.truncate(path, os.path.getsize(path) // 2)


def swap(one, other):
    """Their contents change places; names, modes and owners stay."""
    with open(one, "r+b") as first, open(other, "r+b") as second:
        here, there = first.read(), second.read()
        for file, data in ((first, there), (second, here)):
            file.seek(0)
            file.truncate()
            file.write(data)


class DamageTest(ReuseTest):
    """The keeper has ended, so that nothing but the test touches the image."""

    def go_away(self, cmdline=SMALL, **options):
        self.here = self.make_store()
        self.source = self.guest_with_store(self.here, cmdline, **options)
        self.away, left = self.leave(self.source, self.make_store())
        self.wait_read(self.away)
        self.end_keeper(self.source)
        self.kept = left["kept_image"]["pages"]

    def damage(self, kind, change):
        change(self.file(self.here, kind))

    def return_home(self, *args):
        self.back, report = self.come_back(self.away, self.here, *args)
        self.assert_pages_add_up(report)
        self.finish(self.source, self.away, self.back)
        self.assertEqual(self.images(self.here), [])
        return report

    def assert_useless(self, why, *args):
        report = self.return_home(*args)
        self.back.stderr.wait_for(NOT_USED + why)
        self.assertEqual(report["pages"]["reused"], 0)
        self.assertEqual(os.listdir(self.here), [], "something of the image was left behind")


def empty(path):
    os.truncate(path, 0)


@labels("no-tsan", "no-standard-kvm")
class AnImage(DamageTest):
    @cases({
        "whose_manifest_is_cut_short_is_none": ("image", halve, b".*checksum does not match"),
        "whose_manifest_is_empty_is_none": ("image", empty, b".*too short"),
        "whose_ram_is_cut_short_is_none": ("ram", halve, b"its RAM has 16777216 bytes"),
        "whose_ram_is_missing_is_none": ("ram", os.unlink, b"its RAM is not there"),
        "whose_hashes_are_cut_short_is_none": ("hashes", halve, b"its hashes are cut short"),
        "whose_hashes_are_damaged_is_none":
            ("hashes", lambda path: flip(path, 2000 * 16 + 3), b"its hashes are damaged"),
        "whose_hashes_are_missing_is_none": ("hashes", os.unlink, b"its hashes are not there"),
    })
    def is_none(self, kind, change, why):
        self.go_away()
        self.damage(kind, change)
        self.assert_useless(why)


@labels("no-tsan", "no-standard-kvm")
class ADamagedManifest(DamageTest):
    def test_with_another_bit_makes_no_image(self):
        for at, why in ((0, b"Ferry's"), (8, b"version"), (60, b"checksum"), (-1, b"checksum")):
            with self.subTest(at=at):
                self.go_away()
                self.damage("image", lambda path: flip(path, at))
                self.assert_useless(b".*" + why)

    def test_of_another_vm_makes_no_image(self):
        self.go_away()
        manifest = self.file(self.here, "image")
        other = self.guest_with_store(self.here, SMALL)
        gone, _ = self.leave(other, self.make_store())
        self.wait_read(gone)
        self.end_keeper(other)
        theirs = f"{self.here}/{other_id(self, manifest)}.image"
        shutil.copyfile(theirs, manifest)
        self.back, report = self.come_back(self.away, self.here)
        self.back.stderr.wait_for(NOT_USED + b".*another VM")
        self.assertEqual(report["pages"]["reused"], 0)
        again, report = self.come_back(gone, self.here)
        self.assertGreater(report["pages"]["reused"], self.kept - FEW)
        self.finish(self.source, self.away, self.back)
        self.finish(other, gone, again)


def other_id(test, manifest):
    ids = [image["id"] for image in test.images(test.here)]
    return next(each for each in ids if each not in manifest)


@labels("no-tsan", "no-standard-kvm")
class DamagedRam(DamageTest):
    def test_with_another_bit_in_some_pages_is_used_but_for_these(self):
        for args in ((), ("--reuse", "content"), ("--mode", "post-copy")):
            with self.subTest(args):
                self.go_away()
                for page in (1500, 2000, 2001):  # of what the guest filled
                    self.damage("ram", lambda path: flip(path, page * PAGE + 77))
                report = self.return_home(*args)
                self.back.stderr.wait_for(rb"image of .*: 3 of \d+ pages are damaged and not used")
                self.assertGreater(report["pages"]["reused"], self.kept - FEW)
                self.assertLessEqual(report["pages"]["reused"], self.kept - 3)

    def test_of_another_vm_is_used_where_it_is_the_same(self):
        self.go_away()
        ram, source, away, here = self.file(self.here, "ram"), self.source, self.away, self.here
        self.go_away("tick=2 dirty=2000 ws=8 fill=8 check end=byte")
        swap(ram, self.file(self.here, "ram"))
        report = self.return_home()
        self.back.stderr.wait_for(rb"image of .*: \d+ of \d+ pages are damaged and not used")
        self.assertLess(report["pages"]["reused"], self.kept - 3)
        self.source, self.away, self.here = source, away, here
        self.return_home()
        self.back.stderr.wait_for(rb"image of .*: \d+ of \d+ pages are damaged and not used")


if __name__ == "__main__":
    unittest.main()
