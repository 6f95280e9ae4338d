// SPDX-License-Identifier: Apache-2.0 OR MIT
// smoke: checks of file-system semantics, one process each, no dependencies.
// usage: smoke DIR [part of a name...]     environment: V9_MMAP=1 (shared writable mmap is expected to work)
// output: "ok NAME", "FAIL NAME: why", "skip NAME: why"; exit status 0 if none failed
#include "smoke.h"

#include <grp.h>
#include <stdarg.h>

enum { LIMIT_SECONDS = 60, SLOW_SECONDS = 4 };

static const struct test *families[] = {
    files_tests, names_tests, unlinked_tests, attributes_tests, xattr_tests, directories_tests,
    special_tests, space_tests, mapping_tests, locks_tests, concurrency_tests,
};
static int message_fd = -1;
static int passed, failed, skipped;

void leave(int status, const char *format, ...) {
    char b[600];
    va_list a;
    va_start(a, format);
    int n = vsnprintf(b, sizeof b, format, a);
    va_end(a);
    if (n > (int)sizeof b - 1) n = sizeof b - 1;
    if (write(message_fd, b, n) < 0) { /* the status still tells */ }
    _exit(status);
}

void put(const char *path, const char *content) {
    int f = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0644);
    if (f < 0) FAIL("put open %s: %s", path, strerror(errno));
    size_t n = strlen(content);
    if (write(f, content, n) != (ssize_t)n) FAIL("put write %s: %s", path, strerror(errno));
    if (close(f)) FAIL("put close %s: %s", path, strerror(errno));
}

char *get(const char *path) {
    static char b[1 << 16];
    int f = open(path, O_RDONLY);
    if (f < 0) FAIL("get open %s: %s", path, strerror(errno));
    ssize_t r, n = 0;
    while ((r = read(f, b + n, sizeof b - 1 - n)) > 0) n += r;
    if (r < 0) FAIL("get read %s: %s", path, strerror(errno));
    b[n] = 0;
    close(f);
    return b;
}

struct stat st(const char *path) {
    struct stat s;
    if (lstat(path, &s)) FAIL("lstat %s: %s", path, strerror(errno));
    return s;
}

int listdir(const char *path) {
    DIR *D = opendir(path);
    if (!D) FAIL("opendir %s: %s", path, strerror(errno));
    int n = 0;
    errno = 0;
    struct dirent *e;
    while ((e = readdir(D)))
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) n++;
    if (errno) FAIL("readdir %s: %s", path, strerror(errno));
    closedir(D);
    return n;
}

int isthere(const char *path) {
    struct stat s;
    return !lstat(path, &s);
}

void nap(int milliseconds) {
    struct timespec t = {milliseconds / 1000, (milliseconds % 1000) * 1000000L};
    nanosleep(&t, 0);
}

int as(uid_t uid, gid_t gid, int (*f)(void)) {
    pid_t p = fork();
    if (!p) {
        if (setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid)) _exit(99);
        _exit(f());
    }
    int s;
    waitpid(p, &s, 0);
    return WIFEXITED(s) ? WEXITSTATUS(s) : 100 + WTERMSIG(s);
}

int lk(int fd, int type, int cmd, off_t start, off_t length) {
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    return fcntl(fd, cmd, &l);
}

static int remove_tree(int at, const char *name) {
    if (!unlinkat(at, name, 0)) return 0;
    if (errno != EISDIR && errno != EPERM) return -1;
    int d = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (d < 0) return -1;
    DIR *D = fdopendir(d);
    struct dirent *e;
    int bad = 0;
    for (int pass = 0; pass < 3; pass++) {
        rewinddir(D);
        while ((e = readdir(D)))
            if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) bad = remove_tree(dirfd(D), e->d_name);
        if (!bad) break;
    }
    closedir(D);
    return unlinkat(at, name, AT_REMOVEDIR);
}

static void report(const struct test *t, int status, int messages) {
    char m[700] = "";
    ssize_t n = read(messages, m, sizeof m - 1);
    m[n < 0 ? 0 : n] = 0;
    for (char *c = m; *c; c++)
        if ((unsigned char)*c < 32) *c = ' ';
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        printf("ok %s\n", t->name);
        passed++;
    } else if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        printf("skip %s: %s\n", t->name, m);
        skipped++;
    } else {
        printf("FAIL %s: %s (status 0x%x)\n", t->name, m, status);
        failed++;
    }
}

// Wait for the child, and kill it and its group at the limit. -> whether it ended by itself
static int wait_for(pid_t child, int *status) {
    for (int waited = 0; waited < LIMIT_SECONDS * 200; waited++) {
        if (waitpid(child, status, WNOHANG) == child) {
            kill(-child, SIGKILL);
            return 1;
        }
        nap(5);
    }
    kill(-child, SIGKILL);
    for (int k = 0; k < 1000 && waitpid(child, status, WNOHANG) != child; k++) nap(5);
    return 0;
}

static void run(const struct test *t) {
    char directory[64];
    snprintf(directory, sizeof directory, "smoke.%s", t->name);
    remove_tree(AT_FDCWD, directory);
    int p[2];
    if (mkdir(directory, 0755) || chmod(directory, 0755) || pipe(p)) {
        printf("FAIL %s: no work directory: %s\n", t->name, strerror(errno));
        failed++;
        return;
    }
    time_t start = time(0);
    pid_t child = fork();
    if (!child) {
        setpgid(0, 0);
        close(p[0]);
        message_fd = p[1];
        umask(022);
        if (chdir(directory)) FAIL("chdir: %s", strerror(errno));
        t->run();
        _exit(0);
    }
    setpgid(child, child);
    close(p[1]);
    fcntl(p[0], F_SETFL, O_NONBLOCK);
    int status = 0;
    if (wait_for(child, &status)) {
        report(t, status, p[0]);
    } else {
        printf("FAIL %s: no end after %d s\n", t->name, LIMIT_SECONDS);
        failed++;
    }
    close(p[0]);
    if (time(0) - start > SLOW_SECONDS) printf("note %s: took %ld s\n", t->name, (long)(time(0) - start));
    if (remove_tree(AT_FDCWD, directory))
        printf("note %s: work directory could not be removed: %s\n", t->name, strerror(errno));
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "--true")) return 0; // what the exec check runs
    if (argc < 2 || chdir(argv[1])) {
        fprintf(stderr, "usage: smoke DIR [part of a name...]\n");
        return 2;
    }
    setvbuf(stdout, 0, _IOLBF, 0);
    for (size_t f = 0; f < sizeof families / sizeof *families; f++)
        for (const struct test *t = families[f]; t->name; t++) {
            int wanted = argc == 2;
            for (int a = 2; a < argc; a++) wanted |= strstr(t->name, argv[a]) != NULL;
            if (wanted) run(t);
        }
    printf("smoke: %d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed ? 1 : 0;
}
