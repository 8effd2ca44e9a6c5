"""The manual page: it tells of every command and every option, and of no other."""

import os
import re
import unittest

from harness import FerryTest

MANUAL = os.path.join(os.path.dirname(__file__), "../../docs/ferry.1")


class TheManual(FerryTest):
    needs_kvm = False
    OTHERS = ("info", "pause", "resume", "stop", "cancel")
    SHARED = "OPTIONS OF MIGRATE, PREDICT, SET AND THE OTHER COMMANDS"
    # Which sections tell of a command's options.
    SECTIONS = {
        "run": ("OPTIONS OF RUN",),
        "receive": ("OPTIONS OF RECEIVE",),
        "migrate": ("OPTIONS OF MIGRATE", SHARED),
        "predict": ("OPTIONS OF PREDICT", SHARED),
        "set": ("OPTIONS OF SET", SHARED),
        "images": ("IMAGES",),
        "plan": ("PLAN",),
        **dict.fromkeys(OTHERS, ("OTHER COMMANDS", SHARED)),
    }

    def sections(self):
        """Each section's text, and the options that its entries are about."""
        with open(MANUAL, encoding="utf-8") as file:
            text = file.read().replace("\\-", "-")
        parts = re.split(r'^\.SH "?([^"\n]+)"?\n', text, flags=re.MULTILINE)[1:]
        found = {}
        for title, body in zip(parts[::2], parts[1::2]):
            heads = re.findall(r"^\.(?:TP|PP)\n(\..*)$", body, re.MULTILINE)
            found[title] = set(re.findall(r"--[a-z][a-z-]*", " ".join(heads)))
        return found

    def options(self, command):
        text = self.ferry(command, "--help").stdout.text()
        return set(re.findall(r"^  (?:-h,)?(--[a-z-]+)", text, re.MULTILINE)) - {"--help"}

    def test_has_every_option_and_no_other(self):
        sections = self.sections()
        for command, titles in self.SECTIONS.items():
            with self.subTest(command=command):
                told = set().union(*(sections[title] for title in titles))
                if command in self.OTHERS:
                    self.assertLessEqual(self.options(command), told)
                else:
                    self.assertEqual(self.options(command), told)
        self.assertEqual(set().union(*map(self.options, self.OTHERS)),
                         {"--api-socket", "--json", "--force"})

    def test_has_every_command(self):
        text = self.ferry("help").stdout.text()
        commands = re.findall(r"^  ([a-z]+)  ", text.split("Subcommands:")[1], re.MULTILINE)
        with open(MANUAL, encoding="utf-8") as file:
            manual = file.read()
        self.assertGreater(len(commands), 10)
        for command in commands:
            self.assertRegex(manual, rf"(?m)^\.B\w*.*\b{command}\b", command)


if __name__ == "__main__":
    unittest.main()
