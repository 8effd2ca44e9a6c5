"""The control socket and its clients: any text, any HTTP, any number of connections, lost output."""

import json
import os
import re
import shutil
import socket
import subprocess

from harness import DEADLINE, FERRY, GUEST, FerryTest, Process, Vm, silent_port


def spoken(path, request, end=True):
    """All that is answered to these bytes."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(DEADLINE)
        client.connect(path)
        client.sendall(request)
        if end:
            client.shutdown(socket.SHUT_WR)
        answer = b""
        while data := client.recv(65536):
            answer += data
        return answer


def request(line, body=b"", *headers):
    lines = [line.encode("latin-1"), b"Host: x", b"Connection: close", *headers]
    if body:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


class ANameOfAnyBytes(FerryTest):
    def test_is_told_and_travels(self):
        kernel = f"{self.directory}/".encode() + b'a\tb\n"\xe9\xc2\x9b31m\x7f.elf'
        shutil.copy(GUEST, kernel)
        source = self.run_vm("tick=2 end=byte", kernel=os.fsdecode(kernel))
        source.wait_ticks(1)
        self.assertEqual(source.info()["name"], 'a?b?"??31m?.elf')
        self.assertIn('a?b?"??31m?.elf', source.cli("info").stdout)
        target, _ = self.move(source)
        self.assertEqual(target.info()["name"], 'a?b?"??31m?.elf')
        target.wait_ticks(1)
        self.end(target)

    def test_is_no_longer_than_travels(self):
        kernel = f"{self.directory}/".encode() + b"\xff" * 251 + b".elf"
        shutil.copy(GUEST, kernel)
        source = self.run_vm("tick=2", kernel=os.fsdecode(kernel))
        source.wait_ticks(1)
        self.move(source)

    def test_is_refused_as_a_name(self):
        for name in (b"caf\xe9", b"a\tb", b"\xc2\x9b", b"x" * 256):
            done = self.ferry("run", "--kernel", GUEST, "--name", os.fsdecode(name))
            self.assertEqual(done.status, 64)
            self.assertIn("printable", done.stderr.text())


class Http(FerryTest):
    def setUp(self):
        super().setUp()
        self.vm = self.run_vm("tick=5")
        self.vm.wait_ready()

    def answer(self, *args):
        return spoken(self.vm.api, request(*args))

    def assert_status(self, answer, status):
        self.assertRegex(answer, rb"^HTTP/1\.[01] %d " % status)
        head, _, body = answer.partition(b"\r\n\r\n")
        if body:
            json.loads(body)
        return head, body

    def test_answers_json_whatever_is_asked(self):
        for path, status in (("/\xff", 404), ("/" + "a" * 78 + "\xc3\xa9", 404), ("/info?x=1", 200),
                             ("http://ferry/info", 200), ("/info/", 404)):
            self.assert_status(self.answer(f"GET {path} HTTP/1.1"), status)

    def test_says_which_verbs_there_are(self):
        for line, allowed in (("POST /info", b"GET, HEAD"), ("DELETE /info", b"GET, HEAD"),
                              ("GET /pause", b"POST"), ("HEAD /stop", b"POST"),
                              ("POST /migration", b"PUT")):
            answer = self.answer(f"{line} HTTP/1.1")
            self.assertIn(b"\r\nAllow: " + allowed + b"\r\n", answer)
            self.assertRegex(answer, rb"^HTTP/1.1 405 ")
        self.assertEqual(self.vm.info()["state"], "running")

    def test_answers_head_as_get_without_a_body(self):
        def fields(verb):
            head, _, body = self.answer(f"{verb} /info HTTP/1.1").partition(b"\r\n\r\n")
            return re.sub(rb"Content-Length: \d+", b"Content-Length: N", head), body

        self.assertEqual(fields("HEAD"), (fields("GET")[0], b""))
        self.assertEqual(self.answer("HEAD /nowhere HTTP/1.1").partition(b"\r\n\r\n")[2], b"")

    def test_sends_no_chunks_to_http_1_0(self):
        with silent_port() as port:
            body = b'{"to":"tcp:127.0.0.1:%d"}' % port
            old = spoken(self.vm.api, b"POST /migrate HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s"
                         % (len(body), body), end=False)
            new = self.answer("POST /migrate HTTP/1.1", body)
        head, _, lines = old.partition(b"\r\n\r\n")
        self.assertNotIn(b"chunked", head)
        self.assertEqual(json.loads(lines.splitlines()[-1])["outcome"], "failed")
        self.assertIn(b"chunked", new)

    def test_asks_for_a_body_that_waits_to_be_asked_for(self):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(DEADLINE)
            client.connect(self.vm.api)
            client.sendall(b"POST /pause HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                           b"Content-Length: 2\r\n\r\n")
            self.assertEqual(client.recv(4096), b"HTTP/1.1 100 Continue\r\n\r\n")
            client.sendall(b"{}")
            self.assertRegex(client.recv(4096), rb"^HTTP/1.1 200 ")

    def test_says_what_is_too_large_or_no_request(self):
        for asked, status in (
            (b"GET /info HTTP/1.1\r\nX: " + b"x" * 3_000_000 + b"\r\n\r\n", 431),
            (b"POST /pause HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n" + b" " * 3_000_000, 413),
            (b"POST /pause HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n30000\r\n" + b" " * 0x30000,
             413),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
            (b"hello\r\n\r\n", 400),
            (b"POST /pause HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
            (b"POST /pause HTTP/1.1\r\nContent-Length: 9\r\n\r\n{", 400),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ):
            answer = spoken(self.vm.api, asked)
            self.assertRegex(answer, rb"^HTTP/1.1 %d " % status, asked[:60])
        self.assertEqual(self.vm.info()["state"], "running")

    def test_refuses_a_cap_of_nothing(self):
        for cap in (b"0.9", b"1e-9", b"-1", b"1e999"):
            body = b'{"to":"tcp:127.0.0.1:1","max_bandwidth":%s}' % cap
            self.assert_status(self.answer("POST /migrate HTTP/1.1", body), 400)


class ManyConnections(FerryTest):
    def connect(self, vm, count, sent=b""):
        for _ in range(count):
            client = socket.socket(socket.AF_UNIX)
            self.addCleanup(client.close)
            client.connect(vm.api)
            client.sendall(sent)

    def test_that_idle_lock_nobody_out(self):
        vm = self.run_vm("tick=5")
        vm.wait_ready()
        self.connect(vm, 50)
        self.assertEqual(vm.info()["state"], "running")
        self.connect(vm, 50, b"POST /stop HTTP/1.1\r\nContent-Le")
        vm.cli("stop")
        self.assertEqual(vm.wait(), 0)

    def test_that_read_no_answer_lock_nobody_out(self):
        vm = self.run_vm("tick=5")
        vm.wait_ready()
        self.connect(vm, 40, b"GET /info HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
        self.assertEqual(vm.info()["state"], "running")
        vm.cli("pause", deadline=5)


class AClient(FerryTest):
    def test_whose_output_is_lost_says_so(self):
        vm = self.run_vm("tick=5")
        vm.wait_ready()
        for args in (["info"], ["info", "--json"], ["pause", "--json"], ["--help"], ["--version"],
                     ["run", "--help"], ["images"]):
            api = ["--api-socket", vm.api] if args[0] in ("info", "pause") else []
            with open("/dev/full", "wb") as full:
                self.assert_lost([FERRY, *args, *api], stdout=full)
            reader, writer = os.pipe()
            os.close(reader)
            self.assert_lost([FERRY, *args, *api], stdout=writer)
            os.close(writer)
            self.assert_lost(["sh", "-c", 'exec "$@" >&-', "sh", FERRY, *args, *api])

    def assert_lost(self, command, **options):
        done = subprocess.run(
            command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=DEADLINE,
            env={**os.environ, "XDG_STATE_HOME": self.directory}, check=False, **options,
        )
        self.assertEqual(done.returncode, 71, command)
        self.assertIn(b"standard output", done.stderr)

    def test_goes_on_when_nobody_reads_its_progress(self):
        source = self.run_vm("tick=5 fill=24 zero=0 random=100 text=0", memory="64M")
        source.stdout.wait_for(rb"fill done")
        target = self.receive()
        reader, writer = os.pipe()
        client = self.start(
            Process, [FERRY, "migrate", "--api-socket", source.api, "--to", target.address,
                      "--max-bandwidth", "50MB"], stderr=writer)
        os.close(writer)
        os.read(reader, 1)
        os.close(reader)
        self.assertEqual(client.wait(), 0)
        self.assertIn(b"completed", client.stdout.bytes())
        self.assertEqual(target.info()["state"], "running")

    def test_does_not_wait_for_who_reads_its_progress(self):
        source = self.run_vm("tick=5")
        source.wait_ready()
        target = self.receive()
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        try:
            while True:
                os.write(writer, b"x" * 4096)
        except BlockingIOError:
            os.set_blocking(writer, True)
        client = self.start(
            Process, [FERRY, "migrate", "--api-socket", source.api, "--to", target.address],
            stderr=writer)
        os.close(writer)
        self.assertEqual(client.wait(), 0)
        os.close(reader)

    def test_tells_in_json_why_it_failed(self):
        receiver = self.receive()
        for command, status in (
            (["migrate", "--to", "tcp:127.0.0.1:1", "--api-socket", receiver.api], 1),
            (["migrate", "--to", "tcp:127.0.0.1:1", "--api-socket", f"{self.directory}/no"], 69),
            (["pause", "--api-socket", receiver.api], 1),
            (["set", "--max-bandwidth", "1Gbit", "--api-socket", receiver.api], 1),
            (["info", "--api-socket", f"{self.directory}/no"], 69),
            (["info", "--api-socket", ""], 64),
            (["info", "--turbo"], 64),
            (["images", "--image-store", f"{self.directory}/no"], 66),
        ):
            done = self.ferry(*command, "--json")
            self.assertEqual(done.status, status, command)
            error = json.loads(done.stdout.bytes())["error"]
            self.assertIn(error.splitlines()[0], done.stderr.text())

    def test_means_its_own_directory_by_a_relative_path(self):
        os.mkdir(f"{self.directory}/there")
        source = self.run_vm("tick=2", cwd="/")
        source.wait_ready()
        target = self.start(
            Vm, [os.path.abspath(FERRY), "receive", "--listen", "unix:m", "--api-socket", "b"],
            api=f"{self.directory}/there/b", cwd=f"{self.directory}/there",
        )
        target.stderr.wait_for(rb"^listening on")
        client = self.start(
            Process, [os.path.abspath(FERRY), "migrate", "--api-socket", source.api, "--to", "unix:m"],
            cwd=f"{self.directory}/there",
        )
        self.assertEqual(client.wait(), 0, client.stderr.text())

    def test_says_that_who_answers_is_no_ferry(self):
        path = f"{self.directory}/stranger"
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
            server.listen()
            for args in (["info"], ["pause"], ["migrate", "--to", "tcp:h:1"], ["set", "--to", "tcp:h:1"]):
                for body in (b"", b"{}", b'{"state":"running"}\n', b"<html>"):
                    client = self.start(Process, [FERRY, args[0], "--api-socket", path, *args[1:]])
                    connection = server.accept()[0]
                    with connection:
                        connection.recv(4096)
                        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"
                                           % (len(body), body))
                    self.assertEqual(client.wait(), 76, (args, body, client.stderr.text()))
                    self.assertIn("no ferry", client.stderr.text())
