// SPDX-License-Identifier: Apache-2.0 OR MIT
// Holes, allocation, copying inside the kernel, durability.
#include "smoke.h"

static void t_sparse(void) {
    int f = open("a", O_CREAT | O_RDWR, 0644);
    EQ(pwrite(f, "x", 1, 10 << 20), 1);
    EQ(st("a").st_size, (10 << 20) + 1);
    char b[4096];
    EQ(pread(f, b, 4096, 5 << 20), 4096);
    for (int i = 0; i < 4096; i++) if (b[i]) FAIL("hole is not zero");
    if (st("a").st_blocks * 512 > 5 << 20) FAIL("10 MiB hole takes %ld blocks", (long)st("a").st_blocks);
}

static void t_seek_hole_data(void) {
    int f = open("a", O_CREAT | O_RDWR, 0644);
    EQ(pwrite(f, "x", 1, 1 << 20), 1);
    off_t d = lseek(f, 0, SEEK_DATA), h = lseek(f, 1 << 20, SEEK_HOLE);
    CK(h == (1 << 20) + 1 || h == (1 << 20) + 4096);
    CK(d >= 0);
    if (d == 0) SKIP("SEEK_DATA says no holes (allowed, not exact)");
    CK(d <= 1 << 20);
}

static void t_fallocate(void) {
    int f = open("a", O_CREAT | O_RDWR, 0644);
    if (fallocate(f, 0, 0, 65536)) SKIP("fallocate: %s", strerror(errno));
    EQ(st("a").st_size, 65536);
    CK(!fallocate(f, FALLOC_FL_KEEP_SIZE, 65536, 65536));
    EQ(st("a").st_size, 65536);
}

static void t_posix_fallocate(void) { // glibc falls back to writing when the file system refuses
    int f = open("a", O_CREAT | O_RDWR, 0644);
    EQ(posix_fallocate(f, 0, 20000), 0);
    EQ(st("a").st_size, 20000);
}

static void t_punch_hole(void) {
    int f = open("a", O_CREAT | O_RDWR, 0644);
    char b[16384];
    memset(b, 1, sizeof b);
    EQ(write(f, b, sizeof b), sizeof b);
    if (fallocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096)) SKIP("punch: %s", strerror(errno));
    EQ(pread(f, b, 8192, 0), 8192);
    CK(b[4095] == 1 && b[4096] == 0 && b[8191] == 0);
}

static void t_copy_file_range(void) {
    put("a", "0123456789");
    int f = open("a", O_RDONLY), g = open("b", O_CREAT | O_RDWR, 0644);
    off_t i = 2, o = 0;
    ssize_t n = copy_file_range(f, &i, g, &o, 5, 0);
    if (n < 0) FAIL("copy_file_range: %s", strerror(errno));
    EQ(n, 5);
    CK(!strcmp(get("b"), "23456"));
}

static void t_sendfile(void) {
    put("a", "0123456789");
    int f = open("a", O_RDONLY), g = open("b", O_CREAT | O_RDWR, 0644);
    EQ(sendfile(g, f, NULL, 10), 10);
    CK(!strcmp(get("b"), "0123456789"));
}

static void t_splice(void) {
    put("a", "splice me");
    int f = open("a", O_RDONLY), g = open("b", O_CREAT | O_RDWR, 0644), p[2];
    CK(!pipe(p));
    EQ(splice(f, NULL, p[1], NULL, 9, 0), 9);
    EQ(splice(p[0], NULL, g, NULL, 9, 0), 9);
    CK(!strcmp(get("b"), "splice me"));
}

static void t_fsync(void) {
    int f = open("a", O_CREAT | O_RDWR, 0644);
    EQ(write(f, "x", 1), 1);
    CK(!fsync(f));
    CK(!fdatasync(f));
    int d = open(".", O_RDONLY);
    CK(!fsync(d));
    CK(!syncfs(f));
    f = open("a", O_RDWR | O_SYNC);
    EQ(write(f, "y", 1), 1);
}

static void t_o_direct(void) {
    int f = open("a", O_CREAT | O_RDWR | O_DIRECT, 0644);
    if (f < 0) SKIP("O_DIRECT: %s", strerror(errno));
    void *p;
    CK(!posix_memalign(&p, 4096, 65536));
    memset(p, 7, 65536);
    EQ(pwrite(f, p, 65536, 0), 65536);
    memset(p, 0, 65536);
    EQ(pread(f, p, 65536, 0), 65536);
    for (int i = 0; i < 65536; i++) CK(((char *)p)[i] == 7);
    EQ(st("a").st_size, 65536);
}

const struct test space_tests[] = {
    T(sparse), T(seek_hole_data), T(fallocate), T(posix_fallocate), T(punch_hole), T(copy_file_range),
    T(sendfile), T(splice), T(fsync), T(o_direct),
    {0},
};
