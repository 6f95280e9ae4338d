// SPDX-License-Identifier: Apache-2.0 OR MIT
// Reading, writing, truncating.
#include "smoke.h"

static void t_create_read_write(void) {
    put("a", "hello");
    CK(!strcmp(get("a"), "hello"));
    EQ(st("a").st_size, 5);
    int f = open("a", O_RDWR);
    CK(f >= 0);
    EQ(pwrite(f, "J", 1, 0), 1);
    EQ(pwrite(f, "tail", 4, 5), 4);
    char b[16];
    EQ(pread(f, b, 16, 0), 9);
    CK(!memcmp(b, "Jellotail", 9));
    EQ(pread(f, b, 16, 100), 0);
    close(f);
}

static void t_open_flags(void) {
    ERR(open("no", O_RDONLY), ENOENT);
    put("a", "12345");
    ERR(open("a", O_CREAT | O_EXCL | O_WRONLY, 0644), EEXIST);
    int f = open("a", O_WRONLY | O_TRUNC);
    CK(f >= 0);
    EQ(st("a").st_size, 0);
    close(f);
    CK(!mkdir("d", 0755));
    ERR(open("d", O_WRONLY), EISDIR);
    ERR(open("a", O_RDONLY | O_DIRECTORY), ENOTDIR);
    ERR(open("a/x", O_RDONLY), ENOTDIR);
    CK(!symlink("a", "l"));
    ERR(open("l", O_RDONLY | O_NOFOLLOW), ELOOP);
    ERR(open("l", O_CREAT | O_EXCL | O_WRONLY, 0600), EEXIST);
    f = open("a", O_RDONLY);
    ERR(write(f, "x", 1), EBADF);
    close(f);
}

static void t_append(void) {
    put("a", "one");
    int f = open("a", O_WRONLY | O_APPEND), g = open("a", O_WRONLY | O_APPEND);
    CK(f >= 0 && g >= 0);
    EQ(write(f, "two", 3), 3);
    EQ(write(g, "three", 5), 5);
    EQ(write(f, "4", 1), 1);
    CK(!strcmp(get("a"), "onetwothree4"));
}

static void t_big_file(void) {
    int f = open("a", O_CREAT | O_RDWR, 0644);
    CK(f >= 0);
    size_t n = 3 << 20;
    unsigned char *b = malloc(n), *c = malloc(n);
    for (size_t i = 0; i < n; i++) b[i] = (i * 2654435761u) >> 13;
    EQ(write(f, b, n), n);
    EQ(lseek(f, 0, SEEK_SET), 0);
    size_t o = 0;
    while (o < n) {
        ssize_t r = read(f, c + o, n - o);
        CK(r > 0);
        o += r;
    }
    CK(!memcmp(b, c, n));
    // odd-sized, unaligned
    EQ(pread(f, c, 131073, 4095), 131073);
    CK(!memcmp(b + 4095, c, 131073));
}

static void t_vectored_io(void) {
    int f = open("a", O_CREAT | O_RDWR, 0644);
    struct iovec v[3] = {{"ab", 2}, {"cde", 3}, {"f", 1}};
    EQ(writev(f, v, 3), 6);
    char x[4], y[4];
    struct iovec w[2] = {{x, 2}, {y, 4}};
    EQ(preadv(f, w, 2, 0), 6);
    CK(!memcmp(x, "ab", 2) && !memcmp(y, "cdef", 4));
}

static void t_offset_4g(void) {
    int f = open("a", O_CREAT | O_RDWR, 0644);
    off_t o = (5LL << 30) + 7;
    EQ(pwrite(f, "x", 1, o), 1);
    EQ(st("a").st_size, o + 1);
    char b[2];
    EQ(pread(f, b, 2, o), 1);
    CK(b[0] == 'x');
    EQ(pread(f, b, 1, o - 1), 1);
    CK(b[0] == 0);
    CK(!ftruncate(f, 0));
}

static void t_truncate(void) {
    put("a", "0123456789");
    CK(!truncate("a", 4));
    CK(!strcmp(get("a"), "0123"));
    CK(!truncate("a", 8));
    EQ(st("a").st_size, 8);
    CK(!memcmp(get("a"), "0123\0\0\0\0", 8));
    int f = open("a", O_RDWR);
    CK(!ftruncate(f, 2));
    EQ(st("a").st_size, 2);
    struct stat s;
    CK(!fstat(f, &s));
    EQ(s.st_size, 2);
    close(f);
    f = open("a", O_RDONLY);
    ERR(ftruncate(f, 1), EINVAL);
    CK(!mkdir("d", 0755));
    ERR(truncate("d", 0), EISDIR);
    ERR(truncate("nope", 0), ENOENT);
}

static void t_truncate_stale_tail(void) { // grown area must read as zeros, not as old data
    int f = open("a", O_CREAT | O_RDWR, 0644);
    char b[8192];
    memset(b, 'z', sizeof b);
    EQ(write(f, b, sizeof b), sizeof b);
    CK(!ftruncate(f, 100));
    CK(!ftruncate(f, 8192));
    EQ(pread(f, b, sizeof b, 0), sizeof b);
    for (int i = 100; i < 8192; i++) if (b[i]) FAIL("byte %d is %d", i, b[i]);
}

static void t_open_no_write_perm_create(void) { // O_CREAT with mode 0444 still gives a writable descriptor
    int f = open("a", O_CREAT | O_EXCL | O_RDWR, 0444);
    CK(f >= 0);
    EQ(write(f, "x", 1), 1);
    close(f);
    EQ(st("a").st_mode & 07777, 0444);
}

const struct test files_tests[] = {
    T(create_read_write), T(open_flags), T(append), T(big_file), T(vectored_io), T(offset_4g), T(truncate),
    T(truncate_stale_tail), T(open_no_write_perm_create),
    {0},
};
