"""Debian packages, fetched into a cache folder without touching the host's own packages.

apt runs with a configuration, package lists and a status file of its own. Only how the host reaches
its mirror is taken over: the mirror's address, proxies and other `Acquire` settings.
"""

import os
import re
import subprocess
import sys


class Failed(Exception):
    """Says what went wrong and, where it is known, what to do."""


def say(text):
    print(f"on-standard-kvm: {text}", file=sys.stderr, flush=True)


def output_of(command, **options):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def host_mirror():
    """The mirror of the host's own release, from its apt sources."""
    with open("/etc/os-release", encoding="utf-8") as file:
        release = dict(re.findall(r'^(\w+)="?(.*?)"?$', file.read(), re.MULTILINE))
    targets = output_of(["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)",
                         "Created-By: Packages", "Component: main"])
    for uri, name in map(str.split, targets.splitlines()):
        if release.get("ID") == "debian" and name == release.get("VERSION_CODENAME"):
            return uri
    raise Failed("no Debian mirror among this machine's apt sources: name one with --mirror URL")


class Suite:
    """One Debian release on the mirror, as apt sees it from a folder of its own."""

    def __init__(self, folder, mirror, name):
        self.name = name
        self._folder = os.path.abspath(folder)
        self._environment = {**os.environ, "APT_CONFIG": f"{self._folder}/apt.conf", "LC_ALL": "C"}
        for each in ("lists/partial", "cache/archives/partial"):
            os.makedirs(f"{self._folder}/{each}", exist_ok=True)
        self._write("status", "")
        self._write("sources.list", f"deb {mirror} {name} main\n")
        acquire = re.findall(r"^Acquire::.*$", output_of(["apt-config", "dump"]), re.MULTILINE)
        self._write("apt.conf", "\n".join(acquire) + f"""
Dir::Etc::Main "/dev/null";
Dir::Etc::Parts "/dev/null";
Dir::Etc::SourceList "{self._folder}/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State "{self._folder}";
Dir::State::Lists "{self._folder}/lists";
Dir::State::Status "{self._folder}/status";
Dir::Cache "{self._folder}/cache";
APT::Architecture "amd64";
APT::Architectures "amd64";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "3";
Debug::NoLocking "true";
""")
        self._apt("apt-get", "update", "--error-on=any", "--quiet=2")

    def _write(self, name, text):
        with open(f"{self._folder}/{name}", "w", encoding="utf-8") as file:
            file.write(text)

    def _apt(self, *command):
        return output_of(list(command), env=self._environment, cwd=self._folder)

    def kernel_package(self, metapackage):
        """The package that today's version of, for example, linux-image-amd64 stands for."""
        found = re.search(r"^Depends: (linux-image-[^ ,]+)", self._apt("apt-cache", "show", metapackage),
                          re.MULTILINE)
        return found.group(1)

    def download(self, package):
        """That package alone; returns the path of the .deb file."""
        return self._fetch(package, ["apt-get", "download", package])[0]

    def download_with_dependencies(self, package):
        """The package and everything that it needs, down to libc: nothing counts as installed."""
        return self._fetch(package, ["apt-get", "install", "--yes", "--no-install-recommends", package])

    def _fetch(self, package, command):
        listing = self._apt(*command, "--print-uris")
        lines = re.findall(r"^'(\S+)' (\S+) (\d+) ", listing, re.MULTILINE)
        size = sum(int(size) for *_, size in lines)
        say(f"fetching {package} of Debian {self.name}: {len(lines)} packages, {size / 1e6:.0f} MB")
        if command[1] == "install":
            self._apt(*command, "--download-only")
            return [f"{self._folder}/cache/archives/{name}" for _, name, _ in lines]
        self._apt(*command)
        return [f"{self._folder}/{name}" for _, name, _ in lines]


def extract(deb, folder, *members):
    """Unpacks a package, or the named members (patterns of tar) of it."""
    os.makedirs(folder, exist_ok=True)
    tree = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE)
    wildcards = ["--wildcards", *members] if members else []
    tar = subprocess.run(["tar", "-x", "-C", folder, *wildcards], stdin=tree.stdout)
    tree.stdout.close()
    if tree.wait() != 0 or tar.returncode != 0:
        raise Failed(f"cannot unpack {deb}")
