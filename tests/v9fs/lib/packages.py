# SPDX-License-Identifier: Apache-2.0 OR MIT
"""What the harness needs on this machine: Debian packages, kernels, test programs. All but packages goes to a cache."""
import contextlib
import fcntl
import hashlib
import io
import os
import random
import re
import shutil
import subprocess
import tarfile
import tempfile

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CACHE = os.environ.get("V9FS_CACHE", os.path.expanduser("~/.cache/v9fs-harness"))
CRATES = {"pjdfstest": "0.2.2", "fsx": "0.3.2"}
LIBC_A = "/usr/lib/x86_64-linux-gnu/libc.a"


class Unable(Exception):
    """This machine cannot do what was asked; the text says what to do about it."""


def note(*words):
    print("#", *words, flush=True)


def sh(command, timeout=600, **kw):
    return subprocess.run(command, check=True, timeout=timeout, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, **kw).stdout


def which(program):
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/bin:/bin")


def is_static(program):
    return subprocess.run(["ldd", program], capture_output=True).returncode != 0


def present(program):
    path = program if os.path.isfile(program) else which(program)
    return path is not None and (program != "busybox" or is_static(path))


def apt_get(*words, **kw):
    """apt-get, once more with fresh package lists if it fails at first."""
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    try:
        sh(["apt-get", *words], env=env, **kw)
    except subprocess.CalledProcessError:
        sh(["apt-get", "update"], env=env)
        sh(["apt-get", *words], env=env, **kw)


def require(programs):
    """Install the packages of the programs that are missing. `programs`: pairs of program (or file) and package."""
    packages = sorted({package for program, package in programs if not present(program)})
    if not packages:
        return
    if os.geteuid() != 0:
        raise Unable("missing Debian packages; as root: apt-get install " + " ".join(packages))
    note("apt-get install", *packages)
    apt_get("install", "-y", "--no-install-recommends", *packages)
    still = sorted(program for program, _ in programs if not present(program))
    if still:
        raise Unable("the Debian packages %s were installed, yet there is no %s" % (packages, ", ".join(still)))


@contextlib.contextmanager
def alone(name):
    """Others who would make the same thing in the cache wait."""
    os.makedirs(CACHE, mode=0o755, exist_ok=True)
    with open(os.path.join(CACHE, name + ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def uml():
    """-> (user-mode Linux, its modules)"""
    base = "/usr/lib/uml/modules"
    return which("linux.uml"), os.path.join(base, sorted(os.listdir(base))[-1])


def kernel(version):
    """-> (vmlinuz, its modules) of a Debian kernel package, unpacked in the cache; nothing is installed."""
    place = os.path.join(CACHE, "kernel-" + version)
    with alone("kernel-" + version):
        if not os.path.isdir(place):
            fetch_kernel(version, place)
    image = next(f for f in os.listdir(place + "/boot") if f.startswith("vmlinuz-"))
    for lib in ("lib", "usr/lib"):
        modules = os.path.join(place, lib, "modules", image[len("vmlinuz-"):])
        if os.path.isdir(modules):
            return os.path.join(place, "boot", image), modules
    raise Unable("the kernel in %s has no modules; remove that directory" % place)


def fetch_kernel(version, place):
    meta = "linux-image-%samd64" % ("" if version == "6.1" else version + "-")
    wanted = re.compile(r"Depends: (linux-image-%s\S*-amd64)\s" % re.escape(version))

    def newest():
        return wanted.search(subprocess.run(["apt-cache", "depends", meta], text=True, capture_output=True).stdout)

    found = newest() or (sh(["apt-get", "update"]) and newest())
    if not found:
        raise Unable("apt knows no package %s; it is in bookworm-security" % meta)
    note("fetching", found[1])
    with tempfile.TemporaryDirectory(dir=CACHE) as tmp:
        os.chmod(tmp, 0o755)
        apt_get("download", found[1], cwd=tmp)
        package = next(f for f in os.listdir(tmp) if f.endswith(".deb"))
        sh(["dpkg-deb", "-x", package, "x"], cwd=tmp)
        os.rename(os.path.join(tmp, "x"), place)


def crate(name, version, flags=""):
    """Path of a program from crates.io."""
    program = os.path.join(CACHE, "bin", "%s-%s" % (name, version))
    with alone(name):
        if not os.path.exists(program):
            build_crate(name, version, flags, program)
    return program


def build_crate(name, version, flags, program):
    cargo = which("cargo") or os.path.expanduser("~/.cargo/bin/cargo")
    note("building crate", name, version)
    os.makedirs(os.path.dirname(program), exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as tmp:
        # With --target, the flags are not applied to procedural macros, which cannot be static.
        sh([cargo, "install", "--locked", "--quiet", "--root", tmp, "--target", "x86_64-unknown-linux-gnu",
            "%s@%s" % (name, version)], timeout=1800, cwd=CACHE,
           env=dict(os.environ, RUSTFLAGS=flags, CARGO_TARGET_DIR=os.path.join(tmp, "target")))
        os.rename(os.path.join(tmp, "bin", name), program)


def program(name):
    """Path of a static test program: a crate, or the C sources `src/NAME.c` or `src/NAME/`."""
    if name in CRATES:
        return crate(name, CRATES[name], "-C target-feature=+crt-static")
    source = os.path.join(HERE, "src", name)
    sources = [os.path.join(source, f) for f in sorted(os.listdir(source))] if os.path.isdir(source) else [source + ".c"]
    text = b"".join(open(f, "rb").read() for f in sources)
    path = os.path.join(CACHE, "bin", "%s-%s" % (name, hashlib.sha256(text).hexdigest()[:12]))
    with alone(name):
        if not os.path.exists(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            sh(["gcc", "-O2", "-Wall", "-Werror", "-static", "-o", path + ".tmp"]
               + [f for f in sources if f.endswith(".c")] + ["-lpthread"])
            os.rename(path + ".tmp", path)
    return path


def virtiofsd():
    found = which("virtiofsd")
    if not found:
        require([("/usr/include/cap-ng.h", "libcap-ng-dev"), ("/usr/include/seccomp.h", "libseccomp-dev")])
        found = crate("virtiofsd", "1.14.0")
    return found


def source_tree():
    """Path of a tar file, always the same: 20 directories, 300 text files, about 2 MB."""
    path = os.path.join(CACHE, "tree.tar")
    with alone("tree"):
        if not os.path.exists(path):
            make_source_tree(path)
    return path


def make_source_tree(path):
    r = random.Random(9)
    words = "fn let mut struct impl match Some None self fid qid walk buf len u32 return".split()

    def entry(name, **attributes):
        info = tarfile.TarInfo(name)
        for key, value in attributes.items():
            setattr(info, key, value)
        return info

    with tarfile.open(path + ".tmp", "w") as tar:
        for d in range(20):
            folder = "src%d/mod%d/part%d" % (d % 4, d % 13, d)
            for f in range(15):
                wanted = int(200 * 2 ** (r.random() * 8.5))
                text = ""
                while len(text) < wanted:
                    text += " ".join(r.choice(words) for _ in range(9)) + ";\n"
                tar.addfile(entry("%s/file%02d.%s" % (folder, f, "rs" if f % 5 else "md"), size=len(text),
                                  mode=0o755 if f == 7 else 0o644, mtime=1700000000 + f), io.BytesIO(text.encode()))
            tar.addfile(entry(folder + "/link", type=tarfile.SYMTYPE, linkname="file00.md", mtime=1700000000))
    os.rename(path + ".tmp", path)
