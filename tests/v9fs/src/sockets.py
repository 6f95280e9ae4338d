# SPDX-License-Identifier: Apache-2.0 OR MIT
"""What a program makes of the sockets at /mnt; with SERVE in its environment, it makes some, too."""
import os
import socket
import stat

def t(name, f):
    try:
        print(name, f())
    except OSError as e:
        print(name, e.strerror)


def connect(path, kind=socket.SOCK_STREAM):
    s = socket.socket(socket.AF_UNIX, kind)
    s.connect(path)
    s.sendall(b"from inside")
    return s.recv(100)


def serve(path):
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    s.listen()
    print("mode %o" % os.stat(path).st_mode)
    open("/mnt/ready", "w").close()
    connection, _ = s.accept()
    connection.sendall(b"got " + connection.recv(100))


t("stat", lambda: stat.filemode(os.stat("/mnt/host").st_mode))
t("connect", lambda: connect("/mnt/host"))
t("wrong kind", lambda: connect("/mnt/host", socket.SOCK_DGRAM))
t("nobody listens", lambda: connect("/mnt/dead"))
t("open", lambda: open("/mnt/host"))
t("chmod", lambda: os.chmod("/mnt/host", 0o700))
if os.environ["SERVE"]:
    t("bind again", lambda: socket.socket(socket.AF_UNIX).bind("/mnt/host"))
    t("serve", lambda: serve("/mnt/made"))
t("unlink", lambda: os.unlink("/mnt/dead"))
