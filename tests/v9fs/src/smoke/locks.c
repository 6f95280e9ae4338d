// SPDX-License-Identifier: Apache-2.0 OR MIT
// flock, fcntl and OFD locks.
#include "smoke.h"

static void t_flock(void) {
    int f = open("a", O_CREAT | O_RDWR, 0644), g = open("a", O_RDWR);
    CK(!flock(f, LOCK_EX));
    ERR(flock(g, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    CK(!flock(f, LOCK_SH));
    CK(!flock(g, LOCK_SH | LOCK_NB));
    ERR(flock(f, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    CK(!flock(g, LOCK_UN));
    CK(!flock(f, LOCK_EX | LOCK_NB));
    close(f);
    CK(!flock(g, LOCK_EX | LOCK_NB));
}

static void t_fcntl_lock(void) {
    int f = open("a", O_CREAT | O_RDWR, 0644);
    EQ(write(f, "0123456789", 10), 10);
    CK(!lk(f, F_WRLCK, F_SETLK, 0, 5));
    pid_t c = fork();
    if (!c) {
        int g = open("a", O_RDWR);
        if (lk(g, F_WRLCK, F_SETLK, 0, 5) != -1 || (errno != EAGAIN && errno != EACCES)) _exit(1);
        if (lk(g, F_WRLCK, F_SETLK, 5, 5)) _exit(2);
        struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 10};
        if (fcntl(g, F_GETLK, &l)) _exit(3);
        if (l.l_type != F_WRLCK || l.l_pid != getppid()) _exit(4);
        _exit(0);
    }
    int s;
    waitpid(c, &s, 0);
    EQ(WEXITSTATUS(s), 0);
    CK(!lk(f, F_UNLCK, F_SETLK, 0, 0));
}

static void t_fcntl_lock_wait(void) {
    int f = open("a", O_CREAT | O_RDWR, 0644), p[2];
    CK(!pipe(p));
    pid_t c = fork();
    if (!c) {
        int g = open("a", O_RDWR);
        if (lk(g, F_WRLCK, F_SETLK, 0, 0)) _exit(1);
        if (write(p[1], "l", 1) != 1) _exit(2);
        nap(400);
        _exit(0); // exit drops the lock
    }
    char x;
    EQ(read(p[0], &x, 1), 1);
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    CK(!lk(f, F_WRLCK, F_SETLKW, 0, 0));
    clock_gettime(CLOCK_MONOTONIC, &b);
    double d = b.tv_sec - a.tv_sec + (b.tv_nsec - a.tv_nsec) / 1e9;
    if (d < 0.15) FAIL("lock was given after %.3f s while another process held it", d);
    wait(0);
}

static void t_fcntl_lock_close_drops(void) {
    int f = open("a", O_CREAT | O_RDWR, 0644), g = open("a", O_RDWR);
    CK(!lk(f, F_WRLCK, F_SETLK, 0, 0));
    close(g); // POSIX: closing any descriptor of the file drops the process's locks
    pid_t c = fork();
    if (!c) {
        int h = open("a", O_RDWR);
        _exit(lk(h, F_WRLCK, F_SETLK, 0, 0) ? 1 : 0);
    }
    int s;
    waitpid(c, &s, 0);
    EQ(WEXITSTATUS(s), 0);
}

static void t_ofd_lock(void) {
    int f = open("a", O_CREAT | O_RDWR, 0644), g = open("a", O_RDWR);
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    CK(!fcntl(f, F_OFD_SETLK, &l));
    ERR(fcntl(g, F_OFD_SETLK, &l), EAGAIN);
    l.l_type = F_UNLCK;
    CK(!fcntl(f, F_OFD_SETLK, &l));
}

const struct test locks_tests[] = {
    T(flock), T(fcntl_lock), T(fcntl_lock_wait), T(fcntl_lock_close_drops), T(ofd_lock),
    {0},
};
