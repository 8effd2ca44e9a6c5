#!/usr/bin/env python3
"""Prints each test of a folder with its labels, a line each: MODULE.CLASS.METHOD LABEL...

Fails on a label that is not among the declared ones, and on two tests of one class name and method
name, which ctest could not tell apart. Usage: list_tests.py FOLDER DECLARED_LABEL...
"""

import importlib
import pathlib
import sys
import unittest

sys.dont_write_bytecode = True

from labels import labels_of  # noqa: E402


def tests_of(module):
    """Pairs of a class that the module itself defines, and the name of a test method."""
    for thing in vars(module).values():
        if isinstance(thing, type) and issubclass(thing, unittest.TestCase):
            if thing.__module__ == module.__name__:
                for method in unittest.defaultTestLoader.getTestCaseNames(thing):
                    yield thing, method


def main(folder, *declared):
    sys.path.insert(0, folder)
    module_of = {}
    for path in sorted(pathlib.Path(folder).glob("test_*.py")):
        for test_class, method in tests_of(importlib.import_module(path.stem)):
            name = f"{test_class.__name__}.{method}"
            if name in module_of:
                sys.exit(f"{path}: {name} is also in {module_of[name]}.py")
            module_of[name] = path.stem
            labels = labels_of(test_class, method)
            for label in labels:
                if label not in declared:
                    sys.exit(f"{path}: {name} has the label {label}; there are: {' '.join(declared)}")
            print(f"{path.stem}.{name}", *labels)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
