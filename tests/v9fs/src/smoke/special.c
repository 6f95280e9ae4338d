// SPDX-License-Identifier: Apache-2.0 OR MIT
// FIFOs, sockets, devices.
#include "smoke.h"

static void t_special_nodes(void) {
    CK(!mkfifo("fifo", 0640));
    EQ(st("fifo").st_mode, S_IFIFO | 0640);
    CK(!mknod("sock", S_IFSOCK | 0600, 0));
    CK(S_ISSOCK(st("sock").st_mode));
    CK(!mknod("reg", S_IFREG | 0600, 0));
    CK(S_ISREG(st("reg").st_mode));
    CK(!unlink("fifo"));
}

static void t_device_nodes(void) {
    if (mknod("null", S_IFCHR | 0666, makedev(1, 3))) {
        if (errno == EPERM || errno == EOPNOTSUPP) SKIP("mknod char: %s", strerror(errno));
        FAIL("mknod: %s", strerror(errno));
    }
    struct stat s = st("null");
    CK(S_ISCHR(s.st_mode));
    EQ(s.st_rdev, makedev(1, 3));
    int f = open("null", O_RDWR);
    if (f < 0 && errno == EACCES) SKIP("mounted nodev?");
    CK(f >= 0);
    EQ(write(f, "x", 1), 1);
    EQ(read(f, &s, 1), 0);
    CK(!mknod("blk", S_IFBLK | 0600, makedev(259, 70000)));
    EQ(st("blk").st_rdev, makedev(259, 70000));
}

static void t_fifo_io(void) {
    CK(!mkfifo("p", 0600));
    pid_t c = fork();
    if (!c) {
        int f = open("p", O_WRONLY);
        _exit(f < 0 || write(f, "through", 7) != 7);
    }
    int f = open("p", O_RDONLY);
    CK(f >= 0);
    char b[9] = {0};
    EQ(read(f, b, 8), 7);
    CK(!strcmp(b, "through"));
    int s;
    wait(&s);
    EQ(s, 0);
}

static void t_unix_socket(void) {
    int s = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "s"};
    CK(!bind(s, (void *)&a, sizeof a));
    CK(S_ISSOCK(st("s").st_mode));
    CK(!listen(s, 1));
    CK(!connect(c, (void *)&a, sizeof a));
    int t = socket(AF_UNIX, SOCK_STREAM, 0);
    ERR(bind(t, (void *)&a, sizeof a), EADDRINUSE);
    CK(!unlink("s"));
}

const struct test special_tests[] = {
    T(special_nodes), T(device_nodes), T(fifo_io), T(unix_socket),
    {0},
};
