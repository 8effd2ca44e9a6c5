"""Names of hosts, with a name server that is silent: whoever waits for it waits no longer than asked."""

import os
import shutil
import signal
import subprocess
import sys
import unittest

import netns
from harness import FERRY, SCALE, FerryTest, Process, Vm

UNAVAILABLE = 69
NAME = "host.example"
# Within this everything ends that is told to, however long the name server is silent.
SOON = 5.0 * SCALE


SERVER = """
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
print("bound", flush=True)
sys.stdin.read()
"""


class Inside:
    """A network in which a name server takes every question and answers none."""

    address = "127.0.0.1"

    def __init__(self, test):
        if os.geteuid() != 0:
            test.skipTest("needs root to make a network with a name server of its own")
        for tool in ("ip", "nsenter", "unshare"):
            if not shutil.which(tool):
                test.skipTest(f"{tool} is missing (package {netns.TOOLS[tool]})")
        self.namespace = netns.Namespace("127.0.0.1")
        test.addCleanup(self.namespace.close)
        self.namespace.run("ip", "link", "set", "lo", "up")
        self.resolver = test.path("resolv.conf")
        with open(self.resolver, "w", encoding="ascii") as file:
            file.write("nameserver 127.0.0.1\noptions timeout:30 attempts:3\n")
        server = test.start(
            Process, self.namespace.command([sys.executable, "-c", SERVER]), stdin=subprocess.PIPE
        )
        server.stdout.wait_for(rb"bound")

    def command(self, args):
        """The same, where the name server is that one; it keeps the process id."""
        mount = 'mount --bind "$0" "$(readlink -f /etc/resolv.conf)" && exec "$@"'
        shell = ["unshare", "--mount", "sh", "-c", mount, self.resolver, *map(str, args)]
        return self.namespace.command(shell)


class ASilentNameServer(FerryTest):
    def setUp(self):
        super().setUp()
        self.inside = Inside(self)

    def begin(self, *options):
        vm = self.run_vm("tick=2 end=byte", inside=self.inside)
        vm.wait_ticks(5)
        migration = self.migrate(vm, f"tcp:{NAME}:7000", *options)
        vm.wait_info(lambda info: info["state"] == "migrating", "on its way")
        return vm, migration

    def assert_goes_on(self, vm):
        vm.wait_ticks(10)
        self.end(vm)
        self.assert_sound(vm)

    def test_does_not_outlast_the_timeout_of_a_migration(self):
        vm, migration = self.begin("--timeout", "300ms")
        report = migration.report(1, SOON)
        self.assertEqual(report["outcome"], "failed")
        self.assertRegex(report["error"], f"cannot resolve tcp:{NAME}:7000: no name server")
        self.assert_goes_on(vm)

    def test_does_not_delay_a_cancel_nor_does_a_second_one_do_harm(self):
        vm, migration = self.begin("--timeout", "3600s")
        for _ in range(3):
            vm.cli("cancel", check=False)
        self.assertEqual(migration.report(1, SOON)["outcome"], "cancelled")
        self.assert_goes_on(vm)

    def test_does_not_delay_the_end_of_the_vm(self):
        vm, migration = self.begin("--timeout", "3600s")
        vm.signal(signal.SIGTERM)
        vm.wait(SOON)
        migration.wait(SOON)

    def receive_by_name(self, *options):
        api = self.path("api")
        listen = [FERRY, "receive", "--listen", f"tcp:{NAME}:0", "--api-socket", api, *options]
        receiver = self.start(Vm, self.inside.command(listen), api=api)
        receiver.wait_ready()
        return receiver

    def test_does_not_outlast_the_timeout_of_a_receiver(self):
        receiver = self.receive_by_name("--timeout", "500ms")
        self.assertEqual(receiver.wait(SOON), UNAVAILABLE)
        text = receiver.stderr.text()
        self.assertRegex(text, f"cannot resolve tcp:{NAME}:0: no name server")
        self.assertNotIn("listening", text)

    def test_does_not_delay_the_end_of_a_receiver(self):
        receiver = self.receive_by_name("--timeout", "3600s")
        self.assertEqual(receiver.info()["state"], "listening")
        receiver.signal(signal.SIGTERM)
        receiver.wait(SOON)


if __name__ == "__main__":
    unittest.main()
