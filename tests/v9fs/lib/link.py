# SPDX-License-Identifier: Apache-2.0 OR MIT
"""The processes of a run, and the way from the guest to the server."""
import ctypes
import os
import signal
import socket
import subprocess
import threading

from packages import Unable, note, sh, which

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1
CLONE_NEWNET = 0x40000000


class Processes:
    """Children in their own sessions; they die with us or in stop()."""

    def __init__(self):
        self.started = []

    def start(self, command, **kw):
        if not which(command[0]):
            raise Unable("no program %s; gofer is made by: cargo build --release -p gofer" % command[0])
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True,
                                   preexec_fn=lambda: LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), **kw)
        self.started.append(process)
        return process

    def stop(self):
        for process in reversed(self.started):
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(1.5)
                except subprocess.TimeoutExpired:
                    pass
            try:
                os.killpg(process.pid, signal.SIGKILL)  # its own session: nothing else is in the group
            except (ProcessLookupError, PermissionError):
                pass
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                note("process %d did not end" % process.pid)


def dial(address):
    if address[0] == "unix":
        s = socket.socket(socket.AF_UNIX)
        s.connect(address[1])
    else:
        s = socket.create_connection(address[1:], 5)
        s.settimeout(None)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def pump(source, target):
    view = memoryview(bytearray(1 << 20))
    try:
        while n := source.recv_into(view):
            target.sendall(view[:n])
    except OSError:
        pass
    for s in (source, target):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def relay(listener, address):
    """Copy each connection to `listener` to a new connection to the server."""

    def run():
        while True:
            try:
                guest, _ = listener.accept()
            except OSError:
                return
            try:
                guest.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                server = dial(address)
            except OSError as e:
                note("relay: cannot connect to the server:", e)
                guest.close()
                continue
            for ends in ((guest, server), (server, guest)):
                threading.Thread(target=pump, args=ends, daemon=True).start()

    threading.Thread(target=run, daemon=True).start()


def listen(host, port):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((host, port))
    s.listen(16)
    return s


class Network(threading.Thread):
    """A thread in a network namespace of its own, with a tap device. What must run there is given to call().
    The namespace goes away with this process."""

    HOST, GUEST, PORT, TAP, MAC = "10.9.0.1", "10.9.0.2", 5640, "v9tap", "02:00:00:00:09:02"

    def __init__(self):
        super().__init__(daemon=True)
        self.wanted, self.done = threading.Semaphore(0), threading.Semaphore(0)
        self.job = self.result = self.error = None
        self.start()
        self.call(self.set_up)

    def run(self):
        while True:
            self.wanted.acquire()
            try:
                self.result, self.error = self.job(), None
            except Exception as e:  # handed to the thread that asked
                self.error = e
            self.done.release()

    def call(self, job):
        self.job = job
        self.wanted.release()
        self.done.acquire()
        if self.error:
            raise self.error
        return self.result

    def set_up(self):
        if LIBC.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNET)")
        for words in ("link set lo up", f"tuntap add dev {self.TAP} mode tap",
                      f"link set {self.TAP} address 02:00:00:00:09:01", f"addr add {self.HOST}/24 dev {self.TAP}",
                      f"link set {self.TAP} up",
                      f"neigh replace {self.GUEST} lladdr {self.MAC} dev {self.TAP} nud permanent"):
            sh(["ip", *words.split()], timeout=10)
