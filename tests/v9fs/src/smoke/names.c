// SPDX-License-Identifier: Apache-2.0 OR MIT
// Links, renames.
#include "smoke.h"

static void t_mkdir_rmdir(void) {
    CK(!mkdir("d", 0750));
    EQ(st("d").st_mode, S_IFDIR | 0750);
    ERR(mkdir("d", 0755), EEXIST);
    put("d/x", "1");
    ERR(rmdir("d"), ENOTEMPTY);
    ERR(unlink("d"), EISDIR);
    CK(!unlink("d/x"));
    CK(!rmdir("d"));
    ERR(rmdir("d"), ENOENT);
    put("f", "");
    ERR(rmdir("f"), ENOTDIR);
    ERR(mkdir("no/x", 0755), ENOENT);
    ERR(mkdir("f/x", 0755), ENOTDIR);
}

static void t_dir_nlink(void) {
    CK(!mkdir("d", 0755));
    nlink_t n = st("d").st_nlink;
    if (n < 2) SKIP("st_nlink of an empty directory is %d (file system counts no subdirectories)", (int)n);
    CK(!mkdir("d/1", 0755));
    CK(!mkdir("d/2", 0755));
    EQ(st("d").st_nlink, n + 2);
    CK(!rmdir("d/1"));
    EQ(st("d").st_nlink, n + 1);
}

static void t_hardlink(void) {
    put("a", "x");
    CK(!link("a", "b"));
    struct stat x = st("a"), y = st("b");
    EQ(x.st_ino, y.st_ino);
    EQ(x.st_dev, y.st_dev);
    EQ(x.st_nlink, 2);
    put("b", "changed");
    CK(!strcmp(get("a"), "changed"));
    ERR(link("a", "b"), EEXIST);
    CK(!unlink("a"));
    EQ(st("b").st_nlink, 1);
    CK(!mkdir("d", 0755));
    ERR(link("d", "e"), EPERM);
    ERR(link("nope", "e"), ENOENT);
}

static void t_hardlink_to_symlink(void) {
    CK(!symlink("target", "l"));
    CK(!link("l", "m"));
    CK(S_ISLNK(st("m").st_mode));
    EQ(st("l").st_nlink, 2);
}

static void t_linkat_o_tmpfile(void) {
    int f = open(".", O_TMPFILE | O_RDWR, 0600);
    if (f < 0) SKIP("O_TMPFILE: %s", strerror(errno));
    EQ(write(f, "t", 1), 1);
    char p[64];
    sprintf(p, "/proc/self/fd/%d", f);
    CK(!linkat(AT_FDCWD, p, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
    CK(!strcmp(get("named"), "t"));
}

static void t_symlink(void) {
    put("a", "x");
    CK(!symlink("a", "l"));
    struct stat s = st("l");
    CK(S_ISLNK(s.st_mode));
    EQ(s.st_size, 1);
    char b[300];
    EQ(readlink("l", b, sizeof b), 1);
    CK(!strcmp(get("l"), "x"));
    ERR(symlink("q", "l"), EEXIST);
    CK(!symlink("nowhere/at/all", "dang"));
    ERR(open("dang", O_RDONLY), ENOENT);
    CK(!symlink("loop2", "loop1"));
    CK(!symlink("loop1", "loop2"));
    ERR(open("loop1", O_RDONLY), ELOOP);
    ERR(readlink("a", b, sizeof b), EINVAL);
    EQ(readlink("dang", b, 3), 3); // truncated buffer
    char big[1001];
    memset(big, 'q', 1000);
    big[1000] = 0;
    CK(!symlink(big, "long"));
    char r[2000];
    EQ(readlink("long", r, sizeof r), 1000);
    EQ(st("long").st_size, 1000);
    CK(!symlink("/etc", "abs"));
    EQ(readlink("abs", b, sizeof b), 4);
    CK(!unlink("l"));
    CK(isthere("a"));
}

static void t_symlink_special_chars(void) {
    const char *t = "a b\n\t\xff\xfe'\"\\*";
    CK(!symlink(t, "l"));
    char b[100] = {0};
    EQ(readlink("l", b, 99), strlen(t));
    CK(!strcmp(b, t));
}

static void t_rename(void) {
    put("a", "A");
    put("b", "B");
    ino_t i = st("a").st_ino;
    CK(!rename("a", "c"));
    CK(!isthere("a"));
    EQ(st("c").st_ino, i);
    CK(!rename("c", "b")); // over a file
    CK(!strcmp(get("b"), "A"));
    CK(!mkdir("d", 0755));
    CK(!rename("b", "d/b"));
    CK(!strcmp(get("d/b"), "A"));
    CK(!mkdir("e", 0755));
    ERR(rename("e", "d"), ENOTEMPTY);
    put("f", "");
    ERR(rename("f", "e"), EISDIR);
    ERR(rename("e", "f"), ENOTDIR);
    CK(!rename("d", "e")); // over an empty directory
    CK(!strcmp(get("e/b"), "A"));
    CK(!mkdir("e/sub", 0755));
    ERR(rename("e", "e/sub/x"), EINVAL);
    ERR(rename("nope", "x"), ENOENT);
    CK(!rename("f", "f"));
    CK(!link("f", "g"));
    CK(!rename("f", "g")); // two links of one file: no-op
    CK(isthere("f") && isthere("g"));
}

static void t_rename_dir_with_content(void) {
    CK(!mkdir("d", 0755));
    CK(!mkdir("d/s", 0755));
    put("d/s/f", "deep");
    int f = open("d/s/f", O_RDWR), dd = open("d/s", O_RDONLY | O_DIRECTORY);
    CK(f >= 0 && dd >= 0);
    CK(!rename("d", "moved"));
    CK(!strcmp(get("moved/s/f"), "deep"));
    EQ(pwrite(f, "D", 1, 0), 1);
    CK(!strcmp(get("moved/s/f"), "Deep"));
    int g = openat(dd, "new", O_CREAT | O_WRONLY, 0644); // through the directory opened before
    CK(g >= 0);
    CK(isthere("moved/s/new"));
    CK(!isthere("d"));
    CK(!mkdir("d", 0755));
    CK(!isthere("d/s"));
}

static void t_rename_cwd(void) {
    CK(!mkdir("d", 0755));
    CK(!chdir("d"));
    put("x", "1");
    CK(!rename("../d", "../e"));
    CK(!strcmp(get("x"), "1"));
    put("y", "2");
    CK(isthere("../e/y"));
    CK(!chdir(".."));
}

static void t_rename_noreplace(void) {
    put("a", "A");
    put("b", "B");
    int r = renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE), e = errno;
    if (r && e == EINVAL) SKIP("renameat2 flags: EINVAL");
    EQ(r, -1);
    EQ(e, EEXIST);
    CK(!strcmp(get("b"), "B"));
    if (renameat2(AT_FDCWD, "a", AT_FDCWD, "c", RENAME_NOREPLACE)) {
        if (errno == EINVAL) SKIP("renameat2 flags: EINVAL");
        FAIL("renameat2: %s", strerror(errno));
    }
    CK(!isthere("a") && isthere("c"));
}

static void t_rename_exchange(void) {
    put("a", "A");
    put("b", "B");
    if (renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_EXCHANGE)) SKIP("RENAME_EXCHANGE: %s", strerror(errno));
    CK(!strcmp(get("a"), "B"));
}

static void t_rename_while_open(void) {
    int f = open("a", O_CREAT | O_RDWR, 0644);
    EQ(write(f, "1", 1), 1);
    CK(!rename("a", "b"));
    EQ(write(f, "2", 1), 1);
    struct stat s;
    CK(!fstat(f, &s));
    EQ(s.st_size, 2);
    EQ(s.st_ino, st("b").st_ino);
    CK(!fchmod(f, 0600));
    CK(!ftruncate(f, 1));
    CK(!strcmp(get("b"), "1"));
    ERR(open("a", O_RDONLY), ENOENT);
    put("a", "other");
    EQ(pwrite(f, "X", 1, 0), 1);
    CK(!strcmp(get("a"), "other"));
    CK(!strcmp(get("b"), "X"));
}

static void t_rename_over_open(void) { // the replaced file stays readable through its descriptor
    put("a", "old");
    put("b", "new");
    int f = open("a", O_RDONLY);
    CK(!rename("b", "a"));
    char b[9] = {0};
    EQ(read(f, b, 8), 3);
    CK(!strcmp(b, "old"));
    CK(!strcmp(get("a"), "new"));
}

static void t_rename_chain_many(void) {
    char p[32], q[32];
    put("n0", "x");
    for (int i = 0; i < 60; i++) {
        sprintf(p, "n%d", i);
        sprintf(q, "n%d", i + 1);
        CK(!rename(p, q));
    }
    CK(!strcmp(get("n60"), "x"));
    EQ(listdir("."), 1);
}

const struct test names_tests[] = {
    T(mkdir_rmdir), T(dir_nlink), T(hardlink), T(hardlink_to_symlink), T(linkat_o_tmpfile), T(symlink),
    T(symlink_special_chars), T(rename), T(rename_dir_with_content), T(rename_cwd), T(rename_noreplace),
    T(rename_exchange), T(rename_while_open), T(rename_over_open), T(rename_chain_many),
    {0},
};
