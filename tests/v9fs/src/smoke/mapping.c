// SPDX-License-Identifier: Apache-2.0 OR MIT
// mmap and exec.
#include "smoke.h"

static void t_mmap_read(void) {
    char b[10000];
    for (int i = 0; i < 10000; i++) b[i] = i * 7;
    int f = open("a", O_CREAT | O_RDWR, 0644);
    EQ(write(f, b, 10000), 10000);
    char *m = mmap(0, 10000, PROT_READ, MAP_SHARED, f, 0);
    if (m == MAP_FAILED) SKIP("mmap shared read: %s", strerror(errno));
    CK(!memcmp(m, b, 10000));
    for (int i = 10000; i < 12288; i++) CK(m[i] == 0);
}

static void t_mmap_private(void) {
    put("a", "private mapping");
    int f = open("a", O_RDWR);
    char *m = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, f, 0);
    CK(m != MAP_FAILED);
    CK(!memcmp(m, "private", 7));
    m[0] = 'X';
    CK(!strcmp(get("a"), "private mapping"));
}

static void t_mmap_shared_write(void) {
    int f = open("a", O_CREAT | O_RDWR, 0644);
    CK(!ftruncate(f, 8192));
    char *m = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, f, 0);
    if (m == MAP_FAILED) {
        if (!getenv("V9_MMAP") || !*getenv("V9_MMAP")) SKIP("shared writable mmap: %s", strerror(errno));
        FAIL("mmap: %s", strerror(errno));
    }
    memcpy(m + 4090, "0123456789", 10);
    CK(!msync(m, 8192, MS_SYNC));
    char b[10];
    EQ(pread(f, b, 10, 4090), 10);
    CK(!memcmp(b, "0123456789", 10));
    EQ(pwrite(f, "ZZ", 2, 0), 2);
    CK(m[0] == 'Z');
    CK(!munmap(m, 8192));
    close(f);
    EQ(st("a").st_size, 8192);
}

static void t_mmap_exec(void) { // run a program that lives on the file system
    int i = open("/proc/self/exe", O_RDONLY), o = open("prog", O_CREAT | O_WRONLY, 0755);
    CK(i >= 0 && o >= 0);
    char b[65536];
    ssize_t r;
    while ((r = read(i, b, sizeof b)) > 0) EQ(write(o, b, r), r);
    close(o);
    pid_t c = fork();
    if (!c) {
        execl("./prog", "smoke", "--true", NULL);
        _exit(9);
    }
    int s;
    waitpid(c, &s, 0);
    EQ(s, 0);
}

const struct test mapping_tests[] = {
    T(mmap_read), T(mmap_private), T(mmap_shared_write), T(mmap_exec),
    {0},
};
