# SPDX-License-Identifier: GPL-2.0-or-later
"""A domain of the lab's libvirtd: a real Linux guest that libvirt manages."""

import contextlib
import os
import socket
import time
import uuid
from xml.sax.saxutils import escape

from lab import accel, children
from lab.agent_line import AgentLine, GuestError

METADATA_URI = "urn:pagefold:domain:1"
METADATA_KEY = "pagefold"
CONNECT_SECONDS = 30
BOOT = "console=ttyS0 quiet panic=-1 random.trust_cpu=on"


class Domain(AgentLine):
    """Defined, and then switched on and off at will: name, uuid, and while it runs pid, run().

    nosharepages: as in the domain XML. mergeable=False: QEMU's own default is taken back behind
    libvirt's back, so that a domain without nosharepages leaves the host's KSM alone. policy: the
    element in its persistent metadata. max_memory_mib: memory can be plugged in up to that. devices:
    more XML.
    """

    def __init__(self, libvirtd, name, memory_mib=256, nosharepages=False, mergeable=True,
                 policy=None, max_memory_mib=None, devices="", kernel_options=""):
        super().__init__()
        self.name = name
        self.uuid = str(uuid.uuid4())
        self.memory_mib = memory_mib
        self.pid = self._pidfd = self._line = None
        self._libvirtd = libvirtd
        self._directory = libvirtd.directory
        self._listener = None
        self._nosharepages = nosharepages
        self._mergeable = mergeable
        self._policy = policy
        self._max_memory_mib = max_memory_mib
        self._devices = devices
        self._kernel_options = kernel_options

    def xml(self):
        lines = self._directory / "lines" / self.name
        backing = "<memoryBacking><nosharepages/></memoryBacking>" if self._nosharepages else ""
        metadata = f"<metadata>{self._policy}</metadata>" if self._policy else ""
        slots = numa = ""
        if self._max_memory_mib:
            slots = f"<maxMemory slots='8' unit='MiB'>{self._max_memory_mib}</maxMemory>"
            numa = (f"<cpu><numa><cell id='0' cpus='0' memory='{self.memory_mib}' unit='MiB'/>"
                    "</numa></cpu>")
        qemu = "" if self._mergeable else (
            "<qemu:commandline><qemu:arg value='-machine'/><qemu:arg value='mem-merge=off'/>"
            "</qemu:commandline>")
        kind = "kvm" if accel.name() == "kvm" else "qemu"
        return f"""
<domain type='{kind}' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{self.name}</name><uuid>{self.uuid}</uuid>{metadata}
  {slots}<memory unit='MiB'>{self.memory_mib}</memory>{backing}{numa}
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>{self._directory}/boot/vmlinuz</kernel>
    <initrd>{self._directory}/boot/initramfs.cpio</initrd>
    <cmdline>{escape(f"{BOOT} {self._kernel_options}")}</cmdline>
  </os>
  <features><acpi/>{"<tcg><tb-cache unit='MiB'>32</tb-cache></tcg>" if kind == "qemu" else ""}</features>
  <devices>
    <controller type='usb' model='none'/>
    <serial type='file'><source path='{lines}.console'/><target port='0'/></serial>
    <serial type='unix'><source mode='connect' path='{lines}'/><target port='1'/></serial>
    {self._devices}
  </devices>{qemu}
</domain>"""

    def define(self):
        path = self._directory / f"{self.name}.xml"
        path.write_text(self.xml())
        self._libvirtd.virsh("define", path)

    def power_on(self, paused=False):
        """Starts it; wait_ready() waits for its Linux. Paused it is there, and does nothing."""
        self._release()
        super().__init__()
        self._listen()
        self._libvirtd.virsh("start", self.name, *(["--paused"] if paused else []))
        self._find()
        return self

    def _listen(self):
        path = self._directory / "lines" / self.name
        path.unlink(missing_ok=True)
        with children.shielded():
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.settimeout(CONNECT_SECONDS)
        self._listener.bind(str(path))
        path.chmod(0o666)
        self._listener.listen()

    def _find(self):
        """After whatever has given the domain a (new) QEMU."""
        pid = int((self._directory / f"run/libvirt/qemu/{self.name}.pid").read_text())
        with children.shielded():
            self._pidfd = os.pidfd_open(pid)
            self.pid = pid
        with children.shielded():
            self._line = self._listener.accept()[0]

    def find_again(self):
        """After it was restored, or reverted: what runs in it goes on, in another QEMU."""
        with children.shielded():
            self._line.close()
            os.close(self._pidfd)
            self._line = self._pidfd = None
        self._received = b""
        self._find()
        return self

    def wait_ended(self, timeout=CONNECT_SECONDS):
        """Until its QEMU has ended, by whatever was done to it; its pid."""
        pid = self.pid
        if not children.wait_readable([self._pidfd], time.monotonic() + timeout):
            self._fail(f"did not end within {timeout} s")
        self._release()
        return pid

    def power_off(self):
        """virsh destroy: as if the plug was pulled."""
        self._libvirtd.virsh("destroy", self.name)
        self._release()

    def running(self):
        return self._libvirtd.virsh("domstate", self.name).strip() in ("running", "paused")

    def set_policy(self, element, *flags):
        """virsh metadata --set; flags: --live, --config."""
        self._libvirtd.virsh("metadata", self.name, "--uri", METADATA_URI, "--key", METADATA_KEY,
                             *flags, "--set", element)

    def remove_policy(self, *flags):
        self._libvirtd.virsh("metadata", self.name, "--uri", METADATA_URI, *flags, "--remove")

    def policy(self, *flags):
        """What virsh metadata shows; None where there is none."""
        done = self._libvirtd.virsh_run("metadata", self.name, "--uri", METADATA_URI, *flags)
        return done.stdout.strip() if done.returncode == 0 else None

    def console(self):
        with contextlib.suppress(OSError):
            path = self._directory / f"lines/{self.name}.console"
            return path.read_text(errors="replace")
        return ""

    def close(self):
        """Lets go of it; its QEMU is ended by the libvirtd that started it."""
        self._release()

    def _release(self):
        with children.shielded():
            for end in (self._line, self._listener):
                if end:
                    end.close()
            if self._pidfd is not None:
                os.close(self._pidfd)
            self._line = self._listener = self._pidfd = self.pid = None

    def _fail(self, complaint):
        log = ""
        with contextlib.suppress(OSError):
            path = self._directory / f"log/libvirt/qemu/{self.name}.log"
            log = path.read_text(errors="replace")[-2000:]
        raise GuestError(f"domain {self.name} {complaint}\n{log}\n--- end of its console:\n"
                         f"{self.console()[-4000:]}")
