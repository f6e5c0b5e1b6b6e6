# SPDX-License-Identifier: GPL-2.0-or-later
"""A private, real libvirtd and its domains; nothing of the host's own libvirt is touched.

    with Libvirtd() as libvirtd:
        web1 = libvirtd.define("web1", memory_mib=256)
        web1.power_on()
        print(libvirtd.uri, web1.pid, web1.wait_ready().run("uname -r"))

It is the one that `tools/deps test` unpacks into .deps/libvirt. It runs in a mount namespace in which
/etc, /run and parts of /var are directories of its own, so that the paths that are compiled into it
are private; its socket, and everything else in those directories, is seen from outside too.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lab import accel, children, initramfs, paths, procs
from lab.libvirt_domain import Domain

ROOT = paths.DEPS / "libvirt"
# With nothing in its cache it first asks QEMU for all that it can.
READY_SECONDS = 60
STOP_SECONDS = 30
VIRSH_SECONDS = 60
# What it has learned of QEMU's capabilities holds for the next one too, which need not ask for seconds.
CACHE = paths.BUILD / "libvirt-cache"
HELPERS_DIR = "/usr/lib"
KVM_DEVICE = Path("/dev/kvm")
# Directory of ours: the one it stands for.
COVERED = {"etc": Path("/etc"), "run": Path("/run"), "lib": Path("/var/lib"),
           "cache": Path("/var/cache"), "log": Path("/var/log")}
ETC_NEEDED = ("group", "hosts", "ld.so.cache", "localtime", "machine-id", "nsswitch.conf", "passwd")
# Debian's libvirt runs QEMU as this user, which the package creates when it is installed.
QEMU_USER = "libvirt-qemu"


class LibvirtdError(Exception):
    """libvirtd, or virsh, did not do what it was told."""


def missing():
    """Why it cannot run here; None: it can."""
    if not (ROOT / "usr/sbin/libvirtd").exists():
        return "no libvirtd to test with: run `make deps-test`"
    if os.geteuid() != 0:
        return "libvirtd's system mode is root's"
    done = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    return "no mount namespaces here" if done.returncode else None


def _library_dir():
    return next((ROOT / "usr/lib").glob("*/libvirt.so.0")).parent


def _environment():
    directory = _library_dir()
    return {**os.environ, "LD_LIBRARY_PATH": str(directory), "LC_ALL": "C",
            "LIBVIRT_DRIVER_DIR": str(directory / "libvirt/connection-driver"),
            "LIBVIRT_LOCK_MANAGER_PLUGIN_DIR": str(directory / "libvirt/lock-driver")}


class Libvirtd:
    """uri is known, and the directories are laid out, before it starts: start=False leaves it at that."""

    def __init__(self, start=True):
        self._start_at_once = start
        self.domains = []
        self.process = self._guard = self._notify = None

    def __enter__(self):
        with children.shielded():
            self.directory = Path(tempfile.mkdtemp(prefix="pagefold-libvirtd-"))
            # Its QEMUs run as another user, and reach their files in here.
            self.directory.chmod(0o711)
            self._guard = _start_guard(self.directory)
        try:
            self._lay_out()
            if self._start_at_once:
                self.start().wait_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_exception):
        self.close()

    @property
    def socket_path(self):
        return self.directory / "sockets/libvirt-sock"

    @property
    def uri(self):
        return f"qemu+unix:///system?socket={self.socket_path}"

    def _lay_out(self):
        for name in (*COVERED, "sockets", "boot", "lines"):
            (self.directory / name).mkdir()
        shutil.copytree(ROOT / "usr/lib/libvirt", self.directory / "helpers/libvirt")
        for name in ("run", "lib", "log"):
            (self.directory / name / "libvirt").mkdir()
        if CACHE.exists():
            shutil.copytree(CACHE, self.directory / "cache/libvirt")
        etc = self.directory / "etc"
        for name in ETC_NEEDED:
            with contextlib.suppress(FileNotFoundError):
                shutil.copy(Path("/etc") / name, etc)
        self._add_qemu_user(etc)
        shutil.copytree(ROOT / "etc/libvirt", etc / "libvirt")
        with open(etc / "libvirt/qemu.conf", "a", encoding="utf-8") as conf:
            # virtlogd is a service of its own; the host's cgroups are not ours; and a /dev of its own
            # for each QEMU cannot be made out of one on which something is mounted (_mounts).
            conf.write('stdio_handler = "file"\ncgroup_controllers = []\nnamespaces = []\n')
        (etc / "libvirt/libvirtd.conf").write_text(
            f'unix_sock_dir = "{self.socket_path.parent}"\nunix_sock_group = "root"\n'
            'unix_sock_ro_perms = "0700"\nunix_sock_rw_perms = "0700"\n'
            'auth_unix_ro = "none"\nauth_unix_rw = "none"\n')
        # Copies: libvirt gives what its domains start from to their user.
        shutil.copy(paths.DEPS / "kernel/vmlinuz", self.directory / "boot")
        initramfs.build(self.directory / "boot")
        (self.directory / "boot/no-kvm").touch(0o600)

    @staticmethod
    def _add_qemu_user(etc):
        for name, line in (("passwd", f"{QEMU_USER}:x:64055:64055::/var/lib/libvirt:/bin/false"),
                           ("group", f"{QEMU_USER}:x:64055:")):
            text = (etc / name).read_text()
            if f"\n{QEMU_USER}:" not in text:
                (etc / name).write_text(f"{text}{line}\n")

    def _mounts(self):
        """Shell commands that cover the host's directories by ours."""
        commands = []
        for ours, covered in COVERED.items():
            ours = self.directory / ours
            # What it needs below a covered directory is seen there still.
            for kept in {paths.TOP, paths.BUILD.resolve(), self.directory}:
                if kept.is_relative_to(covered):
                    place = ours / kept.relative_to(covered)
                    place.mkdir(parents=True, exist_ok=True)
                    commands.append(f"mount --bind '{kept}' '{place}'")
            commands.append(f"mount --rbind '{ours}' '{covered}'")
        if accel.name() == "tcg" and KVM_DEVICE.exists():
            # QEMU would fail on it, and libvirtd would try again each time that it is asked.
            commands.append(f"mount --bind '{self.directory}/boot/no-kvm' '{KVM_DEVICE}'")
        # Its helpers, which it needs to save a domain to a file; the rest goes without them.
        helpers = self.directory / "helpers"
        commands.append(f"{{ mount -t overlay -o lowerdir='{helpers}':{HELPERS_DIR} none "
                        f"{HELPERS_DIR} 2>/dev/null || :; }}")
        return " && ".join(commands)

    def start(self):
        """May be called again when it has ended; the domains have gone on meanwhile."""
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c",
                   f"{self._mounts()} && exec \"$@\"", "sh",
                   ROOT / "usr/sbin/libvirtd", "-p", self.directory / "libvirtd.pid"]
        environment = {**_environment(), "NOTIFY_SOCKET": self._open_notify_socket()}
        with children.shielded(), open(self.directory / "output", "ab") as output:
            self.process = children.start(command, stdin=subprocess.DEVNULL, stdout=output,
                                          stderr=output, env=environment)
        self.pid = self.process.pid
        return self

    def _open_notify_socket(self):
        path = self.directory / "notify"
        path.unlink(missing_ok=True)
        if self._notify:
            self._notify.close()
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._notify.bind(str(path))
        return str(path)

    def wait_ready(self, timeout=READY_SECONDS):
        deadline = time.monotonic() + timeout
        pidfd = children.pidfd(self.process)
        try:
            while True:
                readable = children.wait_readable([self._notify.fileno(), pidfd], deadline)
                if self._notify.fileno() in readable:
                    if b"READY=1" in self._notify.recv(65536):
                        return self
                else:
                    said = "ended" if readable else f"was not ready within {timeout} s"
                    raise LibvirtdError(f"libvirtd {said}:\n{self.output()}")
        finally:
            os.close(pidfd)

    def output(self):
        return (self.directory / "output").read_text(errors="replace")[-4000:]

    def stop(self):
        """As a restart of its service does: the domains go on."""
        children.end(self.process, STOP_SECONDS)

    def kill(self):
        """kill -9: the domains go on."""
        children.end(self.process)

    def hang(self):
        """It stands still; who asks it anything waits."""
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self):
        os.kill(self.pid, signal.SIGCONT)

    def virsh_run(self, *arguments, timeout=VIRSH_SECONDS):
        """A CompletedProcess, whatever the exit status."""
        command = [ROOT / "usr/bin/virsh", "-q", "-c", self.uri, *arguments]
        return subprocess.run([str(word) for word in command], env=_environment(), check=False,
                              capture_output=True, text=True, timeout=timeout)

    def virsh(self, *arguments, **options):
        done = self.virsh_run(*arguments, **options)
        if done.returncode != 0:
            raise LibvirtdError(f"virsh {' '.join(map(str, arguments))} ended with "
                                f"{done.returncode}: {done.stderr}\n{self.output()}")
        return done.stdout

    def define(self, name, **options):
        """A domain that does not run yet: options of Domain."""
        domain = Domain(self, name, **options)
        with children.shielded():
            self.domains.append(domain)
        domain.define()
        return domain

    def _keep_cache(self):
        learned = self.directory / "cache/libvirt"
        if CACHE.exists() or not list(learned.glob("qemu/capabilities/*.xml")):
            return
        # Two that end at once: either's is as good.
        with tempfile.TemporaryDirectory(dir=CACHE.parent) as part, contextlib.suppress(OSError):
            shutil.copytree(learned, Path(part) / "cache")
            os.rename(Path(part) / "cache", CACHE)

    def close(self):
        """Ends it and every QEMU that it has started, and removes all files."""
        with children.shielded():
            if self.process:
                children.end(self.process)
                self.process = None
                self._keep_cache()
            for domain in self.domains:
                domain.close()
            if self._notify:
                self._notify.close()
                self._notify = None
            if self._guard:
                self._guard.stdin.close()
                self._guard.wait()
                self._guard = None


def _start_guard(directory):
    """A QEMU is libvirtd's child, then nobody's: it would outlive a test run that is killed. This
    process ends them when the other end of its standard input closes, for whatever reason."""
    return subprocess.Popen([sys.executable, __file__, str(directory)], start_new_session=True,
                            stdin=subprocess.PIPE)


def _started_here(directory):
    """The processes with that directory in their command line, as pidfds."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            pidfd = os.pidfd_open(int(entry))
            if directory.encode() in Path(f"/proc/{entry}/cmdline").read_bytes():
                yield pidfd
            else:
                os.close(pidfd)


def _guard(directory):
    sys.stdin.buffer.read()
    for pidfd in _started_here(directory):
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        children.wait_readable([pidfd], time.monotonic() + procs.ANSWER_SECONDS)
        os.close(pidfd)
    shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    _guard(sys.argv[1])
