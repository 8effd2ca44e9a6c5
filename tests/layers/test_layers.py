"""The folders are layers: no arrow runs up or sideways, and who draws one hears of it."""

import pathlib
import subprocess
import tempfile
import unittest

CHECK = pathlib.Path(__file__).resolve().parent.parent.parent / "scripts/check-layers"


def check(*args):
    return subprocess.run([CHECK, *args], capture_output=True, text=True, timeout=20)


class Layers(unittest.TestCase):
    def test_of_this_tree_hold(self):
        done = check()
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        lowest, *_, highest = check("--arrows").stdout.splitlines()
        self.assertEqual(lowest, "vmm_bytes -> nothing")
        self.assertTrue(highest.startswith("ferry_program -> "), highest)


class ATree(unittest.TestCase):
    """Two layers, `devices` on top of `vmm/os`, and what is wrong with them."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.write("vmm/os/CMakeLists.txt", "ferry_layer(low\n  SOURCES\n    a.cpp\n)\n")
        self.write("devices/CMakeLists.txt", "ferry_layer(high\n  USES low\n  SOURCES\n    b.cpp\n)\n")
        self.write("vmm/os/a.cpp", '#include "vmm/os/a.hpp"\n#include <vector>\n')
        self.write("devices/b.cpp", '#include "vmm/os/a.hpp"\n')

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def assert_fault(self, *parts):
        done = check("--root", self.root)
        self.assertEqual(done.returncode, 1, done.stderr)
        for part in parts:
            self.assertIn(part, done.stderr)

    def test_that_is_in_order(self):
        self.assertEqual(check("--root", self.root).returncode, 0)

    def test_with_an_include_that_runs_up(self):
        self.write("vmm/os/a.cpp", '#include "devices/b.hpp"\n')
        self.assert_fault("vmm/os/a.cpp", "devices/b.hpp", "low does not use high")

    def test_with_a_circle(self):
        self.write("vmm/os/CMakeLists.txt", "ferry_layer(low\n  USES high\n  SOURCES\n    a.cpp\n)\n")
        self.write("vmm/os/a.cpp", '#include "devices/b.hpp"\n')
        self.assert_fault("circle")

    def test_with_a_use_that_is_none(self):
        self.write("devices/b.cpp", "")
        self.assert_fault("high says that it uses low")

    def test_with_a_folder_of_its_own(self):
        self.write("devices/new/c.cpp", "")
        self.assert_fault("devices/new/c.cpp: its folder is no layer")


if __name__ == "__main__":
    unittest.main()
