# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Containers of gVisor's runsc, with its own gofer and with ours."""
import json
import os
import shutil
import signal
import subprocess
import time

import packages

SECONDS = 90
CAPABILITIES = ["CAP_" + name for name in (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP MKNOD SYS_CHROOT NET_BIND_SERVICE "
    "SYS_ADMIN SETFCAP AUDIT_WRITE SYS_PTRACE LINUX_IMMUTABLE").split()]
BIND = {"type": "bind", "options": ["rbind", "rw"]}


class Result:
    """What became of a program: its status, output and errors, the time to its first output and to its end."""

    def __init__(self, status, out, err, first, seconds):
        self.status, self.out, self.err, self.first, self.seconds = status, out, err, first, seconds

    def said(self):
        return "status %s\n%s%s" % (self.status, self.out, self.err)


class Runsc:
    """A runsc and its state. `name` tells the gofer: 'original' or 'gofer'."""

    def __init__(self, name, program, tmp):
        self.name, self.program, self.tmp = name, program, tmp
        self.state = os.path.join(tmp, "state-" + name)
        self.made = 0

    def command(self, *words, flags=()):
        return [self.program, "--root=" + self.state, "--network=none", "--ignore-cgroups", *flags, *words]

    def call(self, *words, flags=(), status=0, seconds=SECONDS, **kw):
        """A command of runsc that is to end with `status`, or any if that is None -> Result"""
        result = run(self.command(*words, flags=flags), seconds, **kw)
        if status is not None and result.status != status:
            raise RuntimeError("%s %s: %s" % (self.name, " ".join(words), result.said()[-1500:]))
        return result

    def bundle(self, **spec):
        self.made += 1
        return Bundle(os.path.join(self.tmp, "%s-%d" % (self.name, self.made)), **spec)

    def run(self, bundle, *args, flags=(), **kw):
        """A container of its own for `args`, until they end -> Result"""
        bundle.write(args)
        return self.call("run", "-bundle", bundle.path, bundle.id, flags=flags, status=kw.pop("status", None), **kw)

    def gofers(self):
        """-> the processes that are gofers of this runsc's containers"""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/cmdline" % pid, "rb") as f:
                    words = f.read().split(b"\0")
            except OSError:
                continue
            if words[0].endswith(b"runsc-gofer") and ("--root=" + self.state).encode() in words:
                found.append(int(pid))
        return found


class Bundle:
    """A container's directory: `rootfs`, with busybox in it unless `root` is another directory."""

    def __init__(self, path, root=None, mounts=(), readonly=False, cwd="/", env=()):
        self.path, self.id = path, os.path.basename(path)
        self.mounts, self.readonly, self.cwd, self.env = list(mounts), readonly, cwd, list(env)
        self.linux = {}  # mappings of users, with which there is a namespace of them
        os.makedirs(path)
        os.chmod(path, 0o755)
        self.root = root or os.path.join(path, "rootfs")
        if not root:
            busybox_root(self.root)

    def directory(self, name):
        """A new directory beside the root."""
        path = os.path.join(self.path, name)
        os.makedirs(path)
        return path

    def bind(self, source, destination, *options):
        self.mounts.append({"destination": destination, "type": "bind", "source": source,
                            "options": ["bind", *(options or ("rw",))]})

    def write(self, args, **annotations):
        sets = ("bounding", "effective", "inheritable", "permitted")
        spec = {
            "ociVersion": "1.0.0", "hostname": "test", "annotations": annotations,
            "root": {"path": self.root, "readonly": self.readonly},
            "process": {"user": {"uid": 0, "gid": 0}, "args": list(args), "cwd": self.cwd,
                        "env": ["PATH=/bin:/usr/bin:/usr/local/bin", "HOME=/tmp", *self.env],
                        "capabilities": {name: CAPABILITIES for name in sets}},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}, *self.mounts],
            "linux": {"namespaces": [{"type": name} for name in (
                "pid", "network", "ipc", "uts", "mount", *(["user"] if self.linux else []))], **self.linux},
        }
        with open(os.path.join(self.path, "config.json"), "w") as f:
            json.dump(spec, f)


def busybox_root(root):
    """A root directory with busybox's programs."""
    for name in ("bin", "etc", "tmp", "work"):
        os.makedirs(os.path.join(root, name))
    busybox = packages.which("busybox")
    shutil.copy(busybox, os.path.join(root, "bin/busybox"))
    for name in packages.sh([busybox, "--list"]).split():
        if name != "busybox":
            os.symlink("busybox", os.path.join(root, "bin", name))
    with open(os.path.join(root, "etc/passwd"), "w") as f:
        f.write("root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\ntests:x:64000:64000::/:/bin/sh\n")
    with open(os.path.join(root, "etc/group"), "w") as f:
        f.write("root:x:0:\nnobody:x:65534:\ntests:x:64000:\n")


def run(command, seconds=SECONDS, **kw):
    """Runs a command in a session of its own, which is ended with it -> Result"""
    start, first, chunks = time.perf_counter(), None, []
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               start_new_session=True, **kw)
    timer = subprocess.threading.Timer(seconds, os.killpg, (process.pid, signal.SIGKILL))
    timer.start()
    try:
        while chunk := os.read(process.stdout.fileno(), 65536):
            first = first or time.perf_counter() - start
            chunks.append(chunk)
        err = process.stderr.read()
        status = process.wait()
    finally:
        timer.cancel()
        process.stdout.close()
        process.stderr.close()
    out = b"".join(chunks)
    end = time.perf_counter() - start
    return Result(status, out.decode(errors="replace"), err.decode(errors="replace"), first or end, end)


def both(gofer, tmp):
    """-> the original, and a copy that starts `gofer`, which is installed into `tmp`"""
    packages.require([("runsc", "runsc"), ("busybox", "busybox-static")])
    original = os.path.realpath(packages.which("runsc"))
    out = os.path.join(tmp, "installed")
    said = packages.sh([gofer, "runsc-install", "--runsc", original, "--out", out])
    packages.note(said.splitlines()[0])
    return Runsc("original", original, tmp), Runsc("gofer", os.path.join(out, "runsc"), tmp)
