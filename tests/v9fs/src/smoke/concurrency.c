// SPDX-License-Identifier: Apache-2.0 OR MIT
// Several processes or threads at once, signals and kills in the middle of requests.
#include "smoke.h"

static void t_concurrent_append(void) {
    int n = 4, k = 100;
    put("log", "");
    for (int c = 0; c < n; c++)
        if (!fork()) {
            int f = open("log", O_WRONLY | O_APPEND);
            char b[17];
            for (int i = 0; i < k; i++) {
                sprintf(b, "%02d:%08d....\n", c, i);
                if (write(f, b, 16) != 16) _exit(1);
            }
            _exit(0);
        }
    int s, bad = 0;
    for (int c = 0; c < n; c++) { wait(&s); bad |= s; }
    EQ(bad, 0);
    EQ(st("log").st_size, n * k * 16);
    char *b = get("log");
    int next[4] = {0};
    for (int i = 0; i < n * k; i++) {
        int c, v;
        if (sscanf(b + i * 16, "%2d:%8d....", &c, &v) != 2 || c < 0 || c > 3 || v != next[c]++) FAIL("record %d is torn or lost", i);
    }
}

static void t_concurrent_create_excl(void) { // exactly one of N creators wins each name
    int n = 4, k = 40;
    int p[2];
    CK(!pipe(p));
    for (int c = 0; c < n; c++)
        if (!fork()) {
            int won = 0;
            char q[32];
            for (int i = 0; i < k; i++) {
                sprintf(q, "n%d", i);
                int f = open(q, O_CREAT | O_EXCL | O_WRONLY, 0644);
                if (f >= 0) { won++; close(f); }
                else if (errno != EEXIST) _exit(1);
            }
            if (write(p[1], &won, sizeof won) < 0) _exit(1);
            _exit(0);
        }
    int s, bad = 0, tot = 0, w;
    for (int c = 0; c < n; c++) { wait(&s); bad |= s; }
    EQ(bad, 0);
    for (int c = 0; c < n; c++) { EQ(read(p[0], &w, sizeof w), sizeof w); tot += w; }
    EQ(tot, k);
}

static void t_concurrent_tree(void) {
    for (int c = 0; c < 4; c++)
        if (!fork()) {
            char p[64], q[64], b[64];
            sprintf(p, "w%d", c);
            if (mkdir(p, 0755)) _exit(1);
            for (int i = 0; i < 50; i++) {
                sprintf(p, "w%d/%d", c, i);
                sprintf(q, "w%d/r%d", c, i);
                int f = open(p, O_CREAT | O_RDWR, 0644);
                int n = sprintf(b, "%d %d", c, i);
                if (f < 0 || write(f, b, n) != n || rename(p, q)) _exit(2);
                char r[64] = {0};
                if (pread(f, r, 63, 0) != n || strcmp(r, b)) _exit(3);
                close(f);
                if (i % 3 == 0 && unlink(q)) _exit(4);
            }
            _exit(0);
        }
    int s, bad = 0;
    for (int c = 0; c < 4; c++) { wait(&s); if (s) bad = s; }
    EQ(WEXITSTATUS(bad), 0);
    for (int c = 0; c < 4; c++) {
        char p[8];
        sprintf(p, "w%d", c);
        EQ(listdir(p), 33);
    }
}

static void t_concurrent_rename_dirs(void) { // renames of a parent while another process works below it
    CK(!mkdir("p", 0755));
    CK(!mkdir("p/s", 0755));
    put("p/s/f", "x");
    pid_t c = fork();
    if (!c) {
        for (int i = 0; i < 60; i++) {
            if (rename("p", "q")) _exit(1);
            if (rename("q", "p")) _exit(2);
        }
        _exit(0);
    }
    int hit = 0, miss = 0, s;
    while (waitpid(c, &s, WNOHANG) == 0) {
        int f = open("p/s/f", O_RDONLY);
        if (f >= 0) {
            char b;
            if (read(f, &b, 1) != 1 || b != 'x') FAIL("read through a moving parent: %s", strerror(errno));
            close(f);
            hit++;
        } else if (errno == ENOENT) miss++;
        else FAIL("open under a moving parent: %s", strerror(errno));
    }
    EQ(s, 0);
    CK(!strcmp(get("p/s/f"), "x"));
}

static void t_concurrent_rw_same_file(void) {
    int f = open("a", O_CREAT | O_RDWR, 0644);
    CK(!ftruncate(f, 64 * 4096));
    for (int c = 0; c < 4; c++)
        if (!fork()) {
            int g = open("a", O_RDWR);
            char b[4096], r[4096];
            for (int i = c; i < 64; i += 4) {
                memset(b, i + 1, 4096);
                if (pwrite(g, b, 4096, i * 4096) != 4096) _exit(1);
                if (pread(g, r, 4096, i * 4096) != 4096 || memcmp(b, r, 4096)) _exit(2);
            }
            _exit(0);
        }
    int s, bad = 0;
    for (int c = 0; c < 4; c++) { wait(&s); bad |= s; }
    EQ(bad, 0);
    char b[4096];
    for (int i = 0; i < 64; i++) {
        EQ(pread(f, b, 4096, i * 4096), 4096);
        if (b[0] != i + 1 || b[4095] != i + 1) FAIL("block %d", i);
    }
}

static void t_concurrent_lock_counter(void) { // fcntl locks guard a read-modify-write
    put("cnt", "0");
    for (int c = 0; c < 3; c++)
        if (!fork()) {
            for (int i = 0; i < 20; i++) {
                int f = open("cnt", O_RDWR);
                if (lk(f, F_WRLCK, F_SETLKW, 0, 0)) _exit(1);
                char b[16] = {0};
                if (pread(f, b, 15, 0) < 1) _exit(2);
                int n = sprintf(b, "%d", atoi(b) + 1);
                if (pwrite(f, b, n, 0) != n) _exit(3);
                close(f);
            }
            _exit(0);
        }
    int s, bad = 0;
    for (int c = 0; c < 3; c++) { wait(&s); if (s) bad = s; }
    EQ(WEXITSTATUS(bad), 0);
    EQ(atoi(get("cnt")), 60);
}

static void *thr(void *a) {
    char p[32];
    for (int i = 0; i < 30; i++) {
        sprintf(p, "t%ld_%d", (long)a, i);
        int f = open(p, O_CREAT | O_RDWR, 0644);
        if (f < 0 || write(f, p, 4) != 4) return (void *)1;
        close(f);
        if (unlink(p)) return (void *)2;
    }
    return 0;
}

static void t_threads(void) {
    pthread_t t[6];
    for (long i = 0; i < 6; i++) CK(!pthread_create(&t[i], 0, thr, (void *)i));
    for (int i = 0; i < 6; i++) {
        void *r;
        pthread_join(t[i], &r);
        EQ((long)r, 0);
    }
    EQ(listdir("."), 0);
}

static void alrm(int s) { (void)s; }
static void t_signal_during_io(void) { // a signal must not corrupt later traffic (Tflush on the wire)
    struct sigaction sa = {.sa_handler = alrm};
    sigaction(SIGALRM, &sa, 0);
    struct itimerval it = {{0, 3000}, {0, 3000}};
    setitimer(ITIMER_REAL, &it, 0);
    char p[32], b[32];
    int eintr = 0;
    for (int i = 0; i < 150; i++) {
        sprintf(p, "f%d", i);
        int f;
        do f = open(p, O_CREAT | O_RDWR, 0644); while (f < 0 && errno == EINTR && ++eintr);
        CK(f >= 0);
        ssize_t n;
        do n = pwrite(f, p, strlen(p), 0); while (n < 0 && errno == EINTR && ++eintr);
        EQ(n, strlen(p));
        do n = pread(f, b, 32, 0); while (n < 0 && errno == EINTR && ++eintr);
        EQ(n, strlen(p));
        CK(!memcmp(b, p, n));
        close(f);
    }
    it = (struct itimerval){0};
    setitimer(ITIMER_REAL, &it, 0);
    EQ(listdir("."), 150);
}

static void t_kill_during_io(void) { // killed writers leave the mount usable
    for (int k = 0; k < 8; k++) {
        pid_t c = fork();
        if (!c) {
            char *b = calloc(1, 1 << 20);
            for (int i = 0;; i++) {
                int f = open("k", O_CREAT | O_WRONLY | O_TRUNC, 0644);
                if (f < 0) _exit(1);
                if (write(f, b, 1 << 20) < 0) _exit(1);
                close(f);
            }
        }
        nap(20 + 15 * k);
        kill(c, SIGKILL);
        waitpid(c, 0, 0);
    }
    put("after", "alive");
    CK(!strcmp(get("after"), "alive"));
    EQ(listdir("."), 2);
}

const struct test concurrency_tests[] = {
    T(concurrent_append), T(concurrent_create_excl), T(concurrent_tree), T(concurrent_rename_dirs),
    T(concurrent_rw_same_file), T(concurrent_lock_counter), T(threads), T(signal_during_io),
    T(kill_during_io),
    {0},
};
