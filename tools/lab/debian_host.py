# SPDX-License-Identifier: GPL-2.0-or-later
"""A Debian 12 host inside a guest, its own kernel and systemd, on which pagefold is installed with
`make install`.

    with DebianHost(guests.Lab()) as host:
        host.systemctl("start", "pagefoldd")
        print(host.pagefold("status"))
"""

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import time
from pathlib import Path

from lab import debian_image, paths
from lab.agent_line import GuestError

MEMORY_MIB = 1024
# Two NUMA nodes, each with half of the memory. There is one processor: with two of them whatever begins
# and ends meanwhile is in the way of counting pages.
NODES = [option for node, cpus in enumerate((",cpus=0", "")) for option in (
    "-object", f"memory-backend-ram,id=node{node},size={MEMORY_MIB // 2}M",
    "-numa", f"node,nodeid={node},memdev=node{node}{cpus}")]
DISK_MIB = 64
UNIT = "pagefoldd"
# It checks its memory and writes none of it.
CHECKER = ("--hot", "0", "--hot-writes", "0", "--stray-writes", "0", "--pause-ms", "500")
# What the test installation starts from: nothing of an earlier test is left.
CLEAN = """\
systemctl stop pagefoldd ksmtuned ksm 2>/dev/null; systemctl reset-failed
rm -rf /var/lib/pagefold/* /etc/pagefold/policy.d/* /etc/pagefold/pagefold.conf.d/* \
       /etc/systemd/system/pagefoldd.service.d
systemctl daemon-reload
cd /sys/kernel/mm/ksm && echo 2 >run && echo 0 >run && echo 100 >pages_to_scan &&
echo 20 >sleep_millisecs && echo 0 >use_zero_pages && echo 1 >merge_across_nodes
"""


class DebianHost:
    """The guest as a host: run() a shell command, systemctl(), pagefold(), checkers."""

    def __init__(self, lab):
        self._lab = lab
        self.guest = None

    def __enter__(self):
        self._lab.__enter__()
        try:
            disk = _install_disk(Path(self._lab.directory))
            self.guest = self._lab.start(
                "debian", memory_mib=MEMORY_MIB, disk=debian_image.HOST.path, many_programs=True,
                extra=[*NODES,
                       "-drive", f"file={disk},if=virtio,format=raw,snapshot=on"])
            self.guest.wait_ready()
            self.run("mount -o ro /dev/vdb /mnt && cp -a /mnt/tree/. / && systemctl daemon-reload")
        except BaseException:
            self._lab.__exit__()
            raise
        return self

    def __exit__(self, *exception):
        self._lab.__exit__(*exception)

    def run(self, command, **options):
        return self.guest.run(command, **options)

    def systemctl(self, verb, *words):
        """The exit status is the caller's matter where the verb only asks."""
        return self.run(f"systemctl {verb} {' '.join(words)}", check=not verb.startswith("is-")).strip()

    def property(self, name, unit=UNIT):
        return self.run(f"systemctl show -p {name} --value {unit}").strip()

    def clean(self):
        """Nothing runs, is folded, configured or recorded, and KSM's knobs are the kernel's."""
        self.run(CLEAN)

    def drop_in(self, *lines):
        """Settings of [Service] beside those of the installed unit."""
        self.write(f"/etc/systemd/system/{UNIT}.service.d/test.conf",
                   "".join(f"{line}\n" for line in ("[Service]", *lines)))
        self.systemctl("daemon-reload")

    def write(self, path, text):
        self.run(f"mkdir -p {os.path.dirname(path)} && printf %s {shlex.quote(text)} >{path}")

    def configure(self, **keys):
        """[pagefold] of a file that overrides the installed one; underscores for dashes."""
        lines = "".join(f"{key.replace('_', '-')} = {value}\n" for key, value in keys.items())
        self.write("/etc/pagefold/pagefold.conf.d/test.conf", f"[pagefold]\n{lines}")

    def merge(self, *matches):
        """A policy that merges what is matched, and nothing that an earlier call did."""
        self.write("/etc/pagefold/policy.d/test.conf", "".join(
            f"[target t{number}]\nmatch = {match}\nmode = merge\n"
            for number, match in enumerate(matches)))

    def pagefold(self, *arguments):
        """What pagefold ARGUMENTS --json says."""
        return json.loads(self.run(f"pagefold {' '.join(arguments)} --json 2>&1"))

    def vm(self, pid):
        for vm in self.pagefold("vms")["vms"]:
            if vm["pid"] == pid:
                return vm
        return None

    def wait_for(self, question, timeout=60):
        """Asks until the answer is true, and returns it."""
        deadline = time.monotonic() + timeout
        while True:
            with contextlib.suppress(GuestError):
                if answer := question():
                    return answer
            if time.monotonic() > deadline:
                raise GuestError(f"not within {timeout} s; {self.run('pagefold status', check=False)}"
                                 f"{self.journal()}")
            # A question costs the one processor in there a quarter of a second.
            time.sleep(0.3)

    def journal(self, *arguments, since="@0"):
        """The unit's messages, one a line; since: a now()."""
        return self.run(f"journalctl --sync; journalctl -q -u {UNIT} -o cat --since={since} "
                        f"{' '.join(arguments)}")

    def now(self):
        return self.run("date +@%s.%6N").strip()

    def knobs(self):
        shown = self.run("cd /sys/kernel/mm/ksm && grep . run pages_to_scan sleep_millisecs "
                         "use_zero_pages merge_across_nodes max_page_sharing")
        return dict(line.split(":") for line in shown.split())

    def set_knobs(self, **knobs):
        self.run("; ".join(f"echo {value} >/sys/kernel/mm/ksm/{knob}"
                           for knob, value in knobs.items()))

    def anon_pages(self, *pids):
        """The host's AnonPages, in bytes, less what all but those processes have: nothing else in there
        stands still."""
        return int(self.run(f"python3 /mnt/anon_pages.py {' '.join(map(str, pids))}"))

    @contextlib.contextmanager
    def program(self, command):
        """A program that says "ready PID ..." and is talked to in lines."""
        program = self.guest.start(command)
        try:
            ready = program.read_line()
            if not ready.startswith("ready "):
                raise GuestError(f"{command}: {ready}")
            program.pid = int(ready.split()[1])
            yield program
        finally:
            program.kill()

    @contextlib.contextmanager
    def checker(self, mib, *options, service=None):
        """A process of twins, zeros and pages of its own that checks them all the time; service: of
        systemd's, "NAME SETTING=VALUE..."."""
        with self.program(f"{_service(*service.split()) if service else ''} "
                          f"memcheck --mib {mib} {' '.join((*CHECKER, *options))}") as program:
            yield program
            rounds(program)

    @contextlib.contextmanager
    def on_node(self, node, *specs):
        """A process with twins, as its SPECs say, whose memory is all on that NUMA node."""
        service = _service(f"node-{time.monotonic_ns()}", "NUMAPolicy=bind", f"NUMAMask={node}")
        with self.program(f"{service} /mnt/twins {' '.join(specs)}") as program:
            yield program


def _service(name, *settings):
    """The command that makes a service of the command behind it, which has the same input and output: two
    FIFOs, by their names."""
    settings = " ".join(f"-p {setting}" for setting in settings)
    return ("sh -c 'fifo=$(readlink /proc/self/fd/0); exec systemd-run --quiet --collect "
            f"--unit={name} -p StandardInput=file:$fifo -p StandardOutput=file:${{fifo%.in}}.out "
            f"{settings} -- \"$@\"' sh")


def check(program):
    """Alive, and not one byte is wrong in one more round."""
    before = rounds(program)
    while rounds(program) == before:
        pass


def rounds(program):
    """How often a checker has found all of its memory right; it never found it wrong."""
    answer = program.ask("status")
    match = re.match(r"rounds (\d+) errors 0$", answer)
    if not match:
        raise AssertionError(answer)
    return int(match[1])


# AnonPages is counted in batches; the file behind stat_refresh adds them up.
ANON_PAGES = """\
import os, re, sys

def field(path, name):
    try:
        return int(re.search(name + r":\\s+(\\d+) kB", open(path).read())[1])
    except (OSError, TypeError):
        return 0  # a kernel thread, or gone

ours = sys.argv[1:]
open("/proc/sys/vm/stat_refresh", "w").write("1")
others = [pid for pid in os.listdir("/proc") if pid.isdigit() and pid not in ours]
print(1024 * (field("/proc/meminfo", "AnonPages") -
              sum(field(f"/proc/{pid}/smaps_rollup", "Pss_Anon") for pid in others)))
"""


def _install_disk(directory):
    """A disk with what `make install` installs in tree/, and the tests' own beside it."""
    content, disk = directory / "install", directory / "install.ext4"
    # -o all: what was built is what is tested, whatever changed since.
    subprocess.run(["make", "-s", "-o", "all", "-C", paths.TOP, f"BUILD={paths.BUILD}",
                    f"DESTDIR={content / 'tree'}", "install"], check=True,
                   stdout=subprocess.DEVNULL)
    (content / "anon_pages.py").write_text(ANON_PAGES)
    shutil.copy(paths.test_helper("twins"), content)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-m", "0", "-d", content, disk, f"{DISK_MIB}M"],
                   check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(content)
    return disk
