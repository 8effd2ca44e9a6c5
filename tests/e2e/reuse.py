"""What the tests of memory reuse share: two hosts, each with a store, and a guest that commutes."""

import glob
import json
import os
import shutil
import subprocess
import tempfile
import time

from harness import DEADLINE, FERRY, pages_sent
from post_copy import WORK, PostCopyTest

PAGE = 4096
MIB = 1 << 20
# Writes next to nothing: what is not reused has a reason.
QUIET = "tick=2 timer=100 fill=16 check regs echo end=byte"
SMALL = "tick=2 fill=8 check end=byte"
# Pages that even such a guest changes meanwhile, or reads for the first time since the log was taken,
# which the log names too. Of these there are more where the host moves pages meanwhile: then the guest
# maps them anew. Mostly 6, up to 245 were seen on a busy host; a huge page that is taken apart has 512.
FEW = 600


class ReuseTest(PostCopyTest):
    def make_store(self, on_tmpfs=True):
        """An empty store; on tmpfs it holds RAM too."""
        store = tempfile.mkdtemp(prefix="ferry-store-", dir="/dev/shm" if on_tmpfs else None)
        self.addCleanup(shutil.rmtree, store, ignore_errors=True)
        try:
            os.close(os.open(store, os.O_TMPFILE | os.O_RDWR))
        except OSError as error:
            self.skipTest(f"{store} cannot be a store, its file system has no O_TMPFILE: {error}")
        return store

    def mount(self, options):
        """A tmpfs of its own, gone with the test."""
        if os.geteuid() != 0:
            self.skipTest("needs root to mount")
        at = tempfile.mkdtemp(prefix="ferry-mount-")
        tried = subprocess.run(["mount", "-t", "tmpfs", "-o", f"mode=700,{options}", "tmpfs", at],
                               stdin=subprocess.DEVNULL, capture_output=True, text=True,
                               timeout=DEADLINE)
        if tried.returncode != 0:
            self.skipTest(f"nothing can be mounted here: {tried.stderr.strip()}")
        self.addCleanup(os.rmdir, at)
        self.addCleanup(subprocess.run, ["umount", "--lazy", at], check=True, timeout=DEADLINE)
        return at

    def fill_up(self, store):
        """Others do. The file that has all the room that was left."""
        with open(f"{store}/filler", "wb", buffering=0) as filler:
            with self.assertRaises(OSError):
                while True:
                    filler.write(bytes(65536))
        return filler.name

    def images(self, store):
        """The images of a store, oldest first, as `ferry images` lists them."""
        done = subprocess.run(
            [FERRY, "images", "--image-store", store, "--json"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE, check=True,
        )
        return json.loads(done.stdout)["images"]

    def file(self, store, kind):
        """The one file of that kind: ram, hashes or image."""
        (path,) = glob.glob(f"{store}/*.{kind}")
        return path

    def guest_with_store(self, store, cmdline=WORK, *args, **options):
        source = self.run_vm(cmdline, "--image-store", store, *args, **options)
        source.stdout.wait_for(rb"^# fill done")
        source.wait_ticks(20)
        return source

    def leave(self, source, store, *args, receive=(), to=None, inside=None):
        """A leg after which the image is kept: the receiver and the report. The source stays."""
        target = self.receive("tcp", "--image-store", store, *receive)
        report = self.migrate(source, to(target) if to else target, "--keep-image", *args).report()
        self.assertEqual(report["outcome"], "completed", report)
        self.assertGreater(report["kept_image"]["pages"], 0, source.stderr.text())
        return target, report

    def wait_read(self, away):
        """Until a guest that walks has read all its pages there. The dirty log names a page that is
        read for the first time, too, and what it names while the VM returns is sent."""
        self.wait_walk(away)

    def come_back(self, away, store, *args, receive=()):
        """The leg to the host with the image: its receiver and the report. The source ends."""
        back = self.receive("tcp", "--image-store", store, *receive)
        report = self.migrate(away, back, "--verify", *args).report()
        self.assertEqual(report["outcome"], "completed", report)
        self.assertIs(report["verified"], True)
        self.assertEqual(away.wait(), 0, away.stderr.text())
        return back, report

    def drop(self, store, vm_id):
        subprocess.run(
            [FERRY, "images", "drop", "--image-store", store, vm_id],
            stdin=subprocess.DEVNULL, timeout=DEADLINE, check=True,
        )

    def wait_held(self, store, condition):
        """Until `condition(pages held)` of the only image. Each question is a whole process."""
        end = time.monotonic() + DEADLINE
        while True:
            (image,) = self.images(store)
            if condition(image["pages_held"]):
                return image["pages_held"]
            self.assertLess(time.monotonic(), end, image)

    def end_keeper(self, keeper):
        """The image stays, and nobody looks after it any more."""
        keeper.cli("stop")
        self.assert_keeper_ends(keeper)

    def assert_keeper_ends(self, keeper):
        """The image was taken or dropped: nothing holds the keeper any more."""
        self.assertEqual(keeper.wait(), 0, keeper.stderr.text())

    def assert_pages_add_up(self, report):
        pages = report["pages"]
        sent = pages_sent(pages)
        self.assertEqual(
            sent - pages["resent"] + pages["reused"] + pages["duplicate"] + pages["free"]
            + pages["unpopulated"],
            pages["total"], pages,
        )

    def assert_nothing_reused(self, report):
        self.assertEqual(report["pages"]["reused"], 0, report["pages"])
        self.assert_pages_add_up(report)
