// SPDX-License-Identifier: Apache-2.0 OR MIT
// What every family of checks uses. A check runs in a child process, in an empty directory of its own, as root.
#ifndef SMOKE_H
#define SMOKE_H
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

struct test {
    const char *name;
    void (*run)(void);
};
#define T(n) {#n, t_##n}
// One table per family, ended by an entry without a name.
extern const struct test files_tests[], names_tests[], unlinked_tests[], attributes_tests[], xattr_tests[],
    directories_tests[], special_tests[], space_tests[], mapping_tests[], locks_tests[], concurrency_tests[];

// End this check: 0 passed, 1 failed, 77 skipped.
__attribute__((noreturn, format(printf, 2, 3))) void leave(int status, const char *format, ...);
#define SKIP(...) leave(77, __VA_ARGS__)
#define FAIL(...) leave(1, __VA_ARGS__)
// The condition must hold.
#define CK(c) \
    do { errno = 0; if (!(c)) leave(1, "line %d: %s [%s]", __LINE__, #c, errno ? strerror(errno) : "no errno"); } while (0)
// Both numbers must be equal.
#define EQ(a, b) \
    do { \
        long long x_ = (long long)(a), y_ = (long long)(b); \
        if (x_ != y_) leave(1, "line %d: %s = %lld, want %lld", __LINE__, #a, x_, y_); \
    } while (0)
// The call must fail with errno e.
#define ERR(call, e) \
    do { \
        errno = 0; \
        long r_ = (long)(call); \
        int e_ = errno; \
        if (r_ != -1 || e_ != (e)) \
            leave(1, "line %d: %s -> %ld %s, want -1 %s", __LINE__, #call, r_, strerror(e_), strerror(e)); \
    } while (0)

// These fail the check if they cannot do their work.
void put(const char *path, const char *content);      // the whole file
char *get(const char *path);                          // the whole file, at most 64 KiB, in a static buffer
struct stat st(const char *path);                     // lstat
int listdir(const char *path);                        // number of entries without . and ..

int isthere(const char *path);                        // also a symlink to nowhere

void nap(int milliseconds);
int as(uid_t uid, gid_t gid, int (*f)(void));         // f() in a child with these ids; its exit status
int lk(int fd, int type, int cmd, off_t start, off_t length);  // a byte-range lock request
#endif
