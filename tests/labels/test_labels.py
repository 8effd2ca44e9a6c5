"""Tests are chosen by labels, and by no label that is not declared."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LIST_TESTS = ROOT / "tests/e2e/list_tests.py"
DECLARED = os.environ["FERRY_TEST_LABELS"].split()


class Stage(unittest.TestCase):
    """A script that runs some of the tests."""

    def setUp(self):
        self.scripts = {name: (ROOT / name).read_text(encoding="utf-8")
                        for name in (".ci/run", "scripts/on-standard-kvm")}

    def test_chooses_no_test_by_its_name(self):
        for name, script in self.scripts.items():
            self.assertNotRegex(script, r"--(tests|exclude)-regex|ctest.* -[RE] ", name)

    def test_chooses_by_declared_labels(self):
        chosen = set()
        for script in self.scripts.values():
            for labels in re.findall(r"--label-\w+ '?\^?\(?([\w|-]+)", script):
                chosen.update(labels.split("|"))
        # The one script has some labels in two tuples.
        for labels in re.findall(r"^[A-Z]+ = (\(\"[^)]+\))$", self.scripts["scripts/on-standard-kvm"],
                                 re.MULTILINE):
            chosen.update(re.findall(r'"([\w-]+)"', labels))
        self.assertGreaterEqual(chosen, {"slow", "no-tsan", "no-asan", "no-standard-kvm", "disk"})
        self.assertEqual(chosen - set(DECLARED), set())


class AListOfTests(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def write(self, name, *classes):
        head = "import unittest\nfrom labels import labels\n"
        (self.folder / name).write_text(head + "\n".join(classes), encoding="ascii")

    def list(self):
        return subprocess.run([sys.executable, LIST_TESTS, self.folder, "near", "far"],
                              capture_output=True, text=True, timeout=20)

    def test_has_the_labels_of_class_base_class_and_method(self):
        self.write(
            "test_a.py", "@labels('near')", "class Base(unittest.TestCase): pass", "class A(Base):",
            "  def test_one(self): pass", "  @labels('far')", "  def test_two(self): pass")
        self.assertEqual(self.list().stdout, "test_a.A.test_one near\ntest_a.A.test_two far near\n")

    def test_has_no_undeclared_label(self):
        self.write("test_a.py", "@labels('neer')", "class A(unittest.TestCase):",
                   "  def test_one(self): pass")
        done = self.list()
        self.assertEqual(done.returncode, 1)
        self.assertIn("A.test_one has the label neer", done.stderr)

    def test_has_no_name_twice(self):
        for name in ("test_a.py", "test_b.py"):
            self.write(name, "class A(unittest.TestCase):", "  def test_one(self): pass")
        done = self.list()
        self.assertEqual(done.returncode, 1)
        self.assertIn("A.test_one is also in test_a.py", done.stderr)


if __name__ == "__main__":
    unittest.main()
