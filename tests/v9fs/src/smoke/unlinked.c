// SPDX-License-Identifier: Apache-2.0 OR MIT
// Files and directories that are open or current and have no name any more.
#include "smoke.h"

static void t_unlink_open_rw(void) {
    int f = open("a", O_CREAT | O_RDWR, 0644);
    EQ(write(f, "abc", 3), 3);
    CK(!unlink("a"));
    CK(!isthere("a"));
    EQ(write(f, "def", 3), 3);
    char b[9] = {0};
    EQ(pread(f, b, 8, 0), 6);
    CK(!strcmp(b, "abcdef"));
    EQ(listdir("."), 0);
}

static void t_unlink_open_fstat(void) {
    int f = open("a", O_CREAT | O_RDWR, 0644);
    EQ(write(f, "abc", 3), 3);
    CK(!unlink("a"));
    struct stat s;
    CK(!fstat(f, &s));
    EQ(s.st_size, 3);
    EQ(s.st_nlink, 0);
}

static void t_unlink_open_ftruncate(void) {
    int f = open("a", O_CREAT | O_RDWR, 0644);
    EQ(write(f, "abcdef", 6), 6);
    CK(!unlink("a"));
    CK(!ftruncate(f, 3));
    char b[9];
    EQ(pread(f, b, 8, 0), 3);
}

static void t_unlink_open_fchmod_utime(void) {
    int f = open("a", O_CREAT | O_RDWR, 0644);
    CK(!unlink("a"));
    CK(!fchmod(f, 0600));
    struct timespec t[2] = {{1000, 0}, {1000, 0}};
    CK(!futimens(f, t));
    struct stat s;
    CK(!fstat(f, &s));
    EQ(s.st_mode & 0777, 0600);
    EQ(s.st_mtime, 1000);
}

static void t_unlink_recreate_same_name(void) {
    int f = open("a", O_CREAT | O_RDWR, 0644);
    EQ(write(f, "old", 3), 3);
    CK(!unlink("a"));
    put("a", "new!");
    char b[9] = {0};
    EQ(pread(f, b, 8, 0), 3);
    CK(!strcmp(b, "old"));
    CK(!ftruncate(f, 1) || errno == ENOENT || errno == ESTALE); // must not hit the new file
    CK(!strcmp(get("a"), "new!"));
}

static void t_rmdir_open_dir(void) {
    CK(!mkdir("d", 0755));
    int f = open("d", O_RDONLY | O_DIRECTORY);
    CK(f >= 0);
    CK(!rmdir("d"));
    ERR(openat(f, "x", O_CREAT | O_WRONLY, 0644), ENOENT);
}

static void t_rmdir_cwd(void) {
    CK(!mkdir("d", 0755));
    CK(!chdir("d"));
    CK(!rmdir("../d"));
    ERR(open("x", O_CREAT | O_WRONLY, 0644), ENOENT);
}

static void t_hardlink_unlink_one(void) {
    int f = open("a", O_CREAT | O_RDWR, 0644);
    CK(!link("a", "b"));
    CK(!unlink("a"));
    struct stat s;
    CK(!fstat(f, &s));
    EQ(s.st_nlink, 1);
    EQ(write(f, "q", 1), 1);
    CK(!strcmp(get("b"), "q"));
}

const struct test unlinked_tests[] = {
    T(unlink_open_rw), T(unlink_open_fstat), T(unlink_open_ftruncate), T(unlink_open_fchmod_utime),
    T(unlink_recreate_same_name), T(rmdir_open_dir), T(rmdir_cwd), T(hardlink_unlink_one),
    {0},
};
