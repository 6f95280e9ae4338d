# SPDX-License-Identifier: Apache-2.0 OR MIT
"""The guest: what it is made of, how it is started, and how long we listen to it."""
import os
import re
import select
import shlex
import stat
import time

import packages
from initramfs import Cpio, Modules

HERE = packages.HERE
PASSWD = "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\ntests:x:65533:65533::/:/bin/sh\n"
GROUP = "root:x:0:\nnobody:x:65534:\ntests:x:65533:\n"
BOOT_SECONDS = 90


class Suite:
    """How long a suite may take in each guest, and the programs it runs: our own, and the host's by package."""

    def __init__(self, uml, qemu, own=(), host=()):
        self.seconds = {"uml": uml, "native": uml, "qemu": qemu}
        self.own, self.host = own, host


SUITES = {
    "smoke": Suite(300, 500, own=["smoke"]),
    "pjdfstest": Suite(300, 600, own=["pjdfstest"]),
    "fsx": Suite(300, 600, own=["fsx"]),
    "fio": Suite(300, 600, host=[("fio", "fio")]),
    "bench": Suite(400, 600, own=["fsbench"], host=[("git", "git")]),
    "load": Suite(400, 900, host=[("git", "git")]),
    "stress": Suite(600, 900, host=[("stress-ng", "stress-ng")]),
    "dbench": Suite(150, 150, host=[("dbench", "dbench")]),
    "multi": Suite(120, 180),
    "shell": Suite(300, 600, own=["smoke", "fsbench"]),
}


def programs_needed(vm, suites):
    """-> pairs of program and Debian package"""
    needed = [("gcc", "gcc"), (packages.LIBC_A, "libc6-dev")]
    if vm != "native":
        needed += [("busybox", "busybox-static"), ("flock", "util-linux")]
    if vm == "uml":
        needed += [("linux.uml", "user-mode-linux"), ("ip", "iproute2")]
    if vm == "qemu":
        needed += [("qemu-system-x86_64", "qemu-system-x86")]
    for suite in suites:
        needed += SUITES[suite].host
    return needed


class Guest:
    """A kernel, its modules, and (after start) the process that runs it and the pipe that it reports to."""

    def __init__(self, vm, kernel_version, wanted_modules):
        self.vm = vm
        self.kernel, modules = packages.uml() if vm == "uml" else packages.kernel(kernel_version)
        self.modules, self.wanted = Modules(modules), wanted_modules

    def image(self, suites, env):
        """The initramfs that runs `suites`."""
        c = Cpio()
        busybox = packages.which("busybox")
        c.copy("bin/busybox", busybox)
        for name in packages.sh([busybox, "--list"]).split():
            if name != "busybox":
                c.symlink("bin/" + name, "busybox")
        order = self.modules.resolve(self.wanted)
        for name in order:
            c.file("mod/%s.ko" % name, self.modules.load(name), 0o644)
        c.file("etc/modules", "\n".join(order) + "\n", 0o644)
        own = {"fdmount"}.union(*(SUITES[s].own for s in suites))
        host = {"flock"}.union(*((program for program, _ in SUITES[s].host) for s in suites))
        for suite in suites:
            c.copy("suites/" + suite, os.path.join(HERE, "guest/suites", suite))
        for name in sorted(own):
            c.copy("bin/" + name, packages.program(name))
        for name in sorted(host):
            c.program(packages.which(name))
        if "git" in host:
            for name in ("git-upload-pack", "git-receive-pack", "git-upload-archive"):
                c.symlink("bin/" + name, "git")
            c.copy("tree.tar", packages.source_tree(), 0o644)
        if "dbench" in host:
            c.copy("client.txt", "/usr/share/dbench/client.txt", 0o644)
        c.file("etc/passwd", PASSWD, 0o644)
        c.file("etc/group", GROUP, 0o644)
        assignments = ["export %s=%s\n" % (key, shlex.quote(str(value))) for key, value in env.items()]
        c.file("job/env", "".join(assignments), 0o644)
        for name in ("proc", "sys", "dev", "mnt", "mnt2", "sec", "tmp", "root"):
            c.mkdir(name)
        c.node("dev/console", stat.S_IFCHR | 0o600, 5, 1)
        c.node("dev/null", stat.S_IFCHR | 0o666, 1, 3)
        c.copy("init", os.path.join(HERE, "guest/init"))
        return c.bytes()

    def start(self, processes, place, console, devices, memory, network=None):
        """Boot. `place`: a directory with `initrd`; `devices`: further arguments; results come from self.reports."""
        self.reports, results = os.pipe()
        self.console = console
        command = self.uml if self.vm == "uml" else self.qemu
        argv = command(place, results, memory) + devices
        with open(console, "wb") as log:
            def boot():
                return processes.start(argv, stdout=log, stderr=log, pass_fds=[results],
                                       env=dict(os.environ, TMPDIR=place))
            self.process = network.call(boot) if network else boot()
        os.close(results)

    def uml(self, place, results, memory):
        return [self.kernel, "mem=%dM" % memory, "initrd=" + os.path.join(place, "initrd"), "con=null",
                "con0=null,fd:1", "con1=null,fd:%d" % results, "ssl=null", "quiet", "panic=-1",
                "umid=v9fs-%d" % os.getpid(), "uml_dir=" + place]

    def qemu(self, place, results, memory):
        return ["qemu-system-x86_64", "-accel", "tcg,thread=multi,tb-size=512", "-cpu", "Nehalem", "-m", str(memory),
                "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
                "-kernel", self.kernel, "-initrd", os.path.join(place, "initrd"),
                "-append", "console=ttyS0 panic=-1 quiet nokaslr mitigations=off",
                "-chardev", "file,id=con,path=%s,append=on" % self.console, "-serial", "chardev:con",
                "-device", "virtio-serial-pci",
                "-chardev", "file,id=res,path=/proc/self/fd/%d" % results,
                "-device", "virtserialport,chardev=res,name=v9fs.out,nr=1"]

    def listen(self, results, deadline, idle, log):
        """Read the guest's reports until it is done, or for too long."""
        buffered, start, last, why = b"", time.time(), time.time(), None
        with open(log, "wb") as raw:
            while why is None:
                why = too_long(start, last, deadline, idle, "up" in results.info)
                ready, _, _ = select.select([self.reports], [], [], 0.5)
                if not ready:
                    if self.process.poll() is not None or (results.done and time.time() - last > 3):
                        break
                    continue
                data = os.read(self.reports, 65536)
                if not data:
                    break
                last = time.time()
                raw.write(data)
                raw.flush()
                *lines, buffered = (buffered + data).split(b"\n")
                for line in lines:
                    results.line(line.decode(errors="replace"))
        os.close(self.reports)
        if not results.mounted:
            results.add("FAIL", "mount", "%s | %s" % (results.info.get("mount", why or "the guest did not come up"),
                                                      self.last_words()))
        elif not results.done:
            results.add("FAIL", "guest_end", why or "the guest ended early (rc=%s)" % self.process.poll())
        for line in results.kernel_complaints:
            if re.search("BUG:|Oops|general protection", line):
                results.add("FAIL", "guest_kernel", line)

    def last_words(self):
        with open(self.console, "rb") as f:
            return f.read()[-500:].decode(errors="replace").replace("\n", " | ")


def too_long(start, last, deadline, idle, booted):
    now = time.time()
    if now > deadline:
        return "time limit for the whole run"
    if now - last > idle:
        return "no output for %d s" % idle
    if not booted and now - start > BOOT_SECONDS:
        return "the guest did not boot in %d s" % BOOT_SECONDS
    return None
