"""The shell of a Linux guest, on its serial port."""

import re


class Shell:
    """The shell of a guest, in whichever process that runs. The terminal echoes what is typed."""

    def __init__(self, vm):
        self.vm = vm
        self._asked = 0

    def ask(self, command):
        """What the command printed."""
        self._asked += 1
        seen = len(self.vm.stdout.bytes())
        # What is typed must not look like the answer that is waited for.
        number = f"$(({self._asked}))"
        self.vm.write(f"echo begin-{number}; {command}; echo end-{number}:$?\n".encode())
        end = rb"begin-%d\r?\n(.*?)end-%d:(\d+)\r?\n" % (self._asked, self._asked)
        answer = self.vm.stdout.wait_until(
            lambda data: re.compile(end, re.DOTALL).search(data, seen), what=f"answer to {command}"
        )
        printed = answer[1].decode("utf-8", "backslashreplace").replace("\r", "")
        if answer[2] != b"0":
            raise AssertionError(f"{command}: status {answer[2].decode()}: {printed}")
        return printed

    def start_and_type(self, seconds, keys):
        """Types `keys` while something that sleeps so long has the terminal."""
        seen = len(self.vm.stdout.bytes())
        self.vm.write(f"sh -c 'echo on-$((1 + 1)); exec sleep {seconds}'\n".encode())
        self.vm.stdout.wait_for(rb"on-2", start=seen)
        self.vm.write(keys)
