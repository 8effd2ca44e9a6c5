"""What the tests of bad input share: how it is refused, and a migration that fails by it."""

from harness import FerryTest, peer_timeout


class BadInputTest(FerryTest):
    def assert_refused(self, process, status, *words):
        text = process.stderr.text()
        self.assertEqual(process.status, status, text)
        for word in words:
            self.assertRegex(text, word)
        self.assertNotIn("internal error", text)

    def run_once(self, *args):
        return self.ferry("run", *args)

    def failed_migration(self, to, *words):
        vm = self.run_vm("tick=2 end=byte")
        vm.wait_ticks(5)
        migration = self.migrate(vm, to, "--timeout", peer_timeout(1.0))
        report = migration.report(1)
        self.assertEqual(report["outcome"], "failed")
        for word in words:
            self.assertRegex(report["error"], word)
        self.assertIn("here", report["owner"])
        vm.wait_ticks(10)
        self.end(vm)
        self.assert_sound(vm)

    def file(self, data, suffix="elf"):
        path = self.path(suffix)
        with open(path, "wb") as file:
            file.write(data)
        return path
