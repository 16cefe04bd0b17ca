"""Hosts of this test's own on one machine: each has an address, a process list, a /tmp, a home and an sshd.

Linux namespaces give them that. What runs on one cannot see the processes of another or of the machine, so
even ``ray stop`` ends nothing else there. Files outside /tmp and the homes are shared with the machine.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

NETWORK = "10.213.77"
OPERATOR = "operator"
NEEDED = ("ip", "unshare", "ssh", "ssh-keygen", "rsync", "/usr/sbin/sshd")

SSHD = """\
Port 22
HostKey {folder}/hostkey
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
StrictModes no
MaxStartups 100
"""


def why_not() -> str | None:
    """Return why hosts cannot be made here; ``None`` if they can."""
    missing = [tool for tool in NEEDED if shutil.which(tool) is None]
    if missing:
        return f"needs {', '.join(missing)}: apt-get install openssh-server rsync iproute2"
    if any(Path(place).resolve().is_relative_to("/tmp") for place in (__file__, sys.prefix)):
        return "every host has a /tmp of its own: rewa and its Python must be elsewhere"
    if os.geteuid() != 0:
        return "network namespaces need root"
    tried = subprocess.run(
        ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "true"],
        capture_output=True,
        text=True,
    )
    return None if tried.returncode == 0 else f"namespaces are not allowed here ({tried.stderr.strip()})"


class Hosts:
    """Hosts on a network of their own, and an operator's machine beside them; a context manager.

    Args:
        folder: For homes, keys and /tmp of the hosts; must be short and not below /tmp.
        names: The hosts; they get the addresses ``address(name)``.
    """

    def __init__(self, folder: Path, names: list[str]) -> None:
        self.folder = folder
        self.names = names
        self.key = folder / "key"
        self._prefix = f"rewa{os.getpid()}"
        self._inits: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Hosts:
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for init in self._inits.values():
            init.kill()  # its process namespace goes with it
            init.wait()
        for name in [*self.names, OPERATOR]:
            subprocess.run(["ip", "netns", "del", self._space(name)], capture_output=True)

    def address(self, name: str) -> str:
        """Return a host's address."""
        return f"{NETWORK}.{10 + self.names.index(name)}"

    def home(self, name: str) -> Path:
        """Return a host's home, as the machine sees it."""
        return self.folder / name / "home"

    def operator(self, *command: str, env: dict[str, str], cwd: Path) -> subprocess.Popen[str]:
        """Start a command on the operator's machine, in process and file namespaces of its own."""
        script = f'mount --bind {self.folder / OPERATOR / "tmp"} /tmp && cd {cwd} && exec "$@"'
        return subprocess.Popen(
            [*self._inside(OPERATOR), "bash", "-c", script, "-", *command],
            env={**env, "HOME": str(self.home(OPERATOR))},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def processes(self, name: str, part: str) -> list[int]:
        """Return the machine's numbers of a host's processes whose command line contains ``part``."""
        listed = subprocess.run(
            ["ip", "netns", "pids", self._space(name)], check=True, capture_output=True, text=True
        )
        return [int(pid) for pid in listed.stdout.split() if part in _command_line(int(pid))]

    def kill(self, name: str, part: str) -> int:
        """Kill those processes as a power cut would; return how many there were."""
        found = self.processes(name, part)
        for pid in found:
            os.kill(pid, signal.SIGKILL)
        return len(found)

    def _start(self) -> None:
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key))
        _run("ip", "netns", "add", self._space(OPERATOR))
        at_operator = ["ip", "-n", self._space(OPERATOR)]
        _run(*at_operator, "link", "set", "lo", "up")
        _run(*at_operator, "link", "add", "bridge", "type", "bridge")
        _run(*at_operator, "addr", "add", f"{NETWORK}.1/24", "dev", "bridge")
        _run(*at_operator, "link", "set", "bridge", "up")
        for name in self.names:
            self._connect(name)
        for name in [*self.names, OPERATOR]:
            for part in ("tmp", "home"):
                (self.folder / name / part).mkdir(parents=True)
        for name in self.names:
            self._boot(name)
        for name in self.names:
            self._wait_for(name)

    def _connect(self, name: str) -> None:
        """Plug a host into the operator's bridge."""
        space, plug = self._space(name), f"to-{name}"
        _run("ip", "netns", "add", space)
        peer = ["type", "veth", "peer", "name", "eth0", "netns", space]
        _run("ip", "link", "add", plug, "netns", self._space(OPERATOR), *peer)
        _run("ip", "-n", self._space(OPERATOR), "link", "set", plug, "master", "bridge", "up")
        _run("ip", "-n", space, "link", "set", "lo", "up")
        _run("ip", "-n", space, "addr", "add", f"{self.address(name)}/24", "dev", "eth0")
        _run("ip", "-n", space, "link", "set", "eth0", "up")
        _run("ip", "-n", space, "route", "add", "default", "via", f"{NETWORK}.1")  # Ray finds its address so

    def _boot(self, name: str) -> None:
        """Start a host's first process, sshd, with the home as root's."""
        folder = self.folder / name
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "hostkey"))
        shutil.copy(self.key.with_suffix(".pub"), folder / "authorized_keys")
        (folder / "home" / ".bashrc").write_text("")
        (folder / "sshd_config").write_text(SSHD.format(folder=folder))
        users = Path("/etc/passwd").read_text().splitlines()
        root = f"root:x:0:0:root:{folder / 'home'}:/bin/bash"
        (folder / "passwd").write_text(
            "\n".join([root, *(user for user in users if not user.startswith("root:"))]) + "\n"
        )
        (folder / "run" / "sshd").mkdir(parents=True)
        mounts = " && ".join(
            f"mount --bind {folder / mine} {theirs}"
            for mine, theirs in (("passwd", "/etc/passwd"), ("run", "/run"), ("tmp", "/tmp"))
        )
        sshd = f"exec /usr/sbin/sshd -D -f {folder}/sshd_config -E {folder}/sshd.log"
        self._inits[name] = subprocess.Popen(
            [*self._inside(name), "bash", "-c", f"{mounts} && {sshd}"],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(folder / "boot.log").open("wb"),
        )

    def _wait_for(self, name: str, seconds: float = 20) -> None:
        """Wait until a host's sshd listens."""
        log = self.folder / name / "sshd.log"
        end = time.monotonic() + seconds
        while not (log.is_file() and "Server listening" in log.read_text()):
            if time.monotonic() > end or self._inits[name].poll() is not None:
                raise RuntimeError(f"{name} did not start: {(self.folder / name / 'boot.log').read_text()}")
            time.sleep(0.05)

    def _inside(self, name: str) -> list[str]:
        """Return the words that put a command into a host's namespaces; it dies with the first of them."""
        unshare = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
        return ["ip", "netns", "exec", self._space(name), *unshare]

    def _space(self, name: str) -> str:
        return f"{self._prefix}-{name}"


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""  # ended meanwhile


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
