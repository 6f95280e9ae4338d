// SPDX-License-Identifier: Apache-2.0 OR MIT
// Modes, owners, times, and the numbers in stat.
#include "smoke.h"

static void t_chmod(void) {
    put("a", "");
    for (int m = 0; m < 01000; m += 0111) {
        CK(!chmod("a", m));
        EQ(st("a").st_mode & 07777, m);
    }
    CK(!chmod("a", 06755));
    EQ(st("a").st_mode & 07777, 06755);
    CK(!mkdir("d", 0700));
    CK(!chmod("d", 01777));
    EQ(st("d").st_mode & 07777, 01777);
    ERR(chmod("nope", 0600), ENOENT);
    int f = open("a", O_RDONLY);
    CK(!fchmod(f, 0640));
    EQ(st("a").st_mode & 07777, 0640);
}

static void t_umask(void) {
    umask(027);
    int f = open("a", O_CREAT | O_WRONLY, 0666);
    CK(f >= 0);
    EQ(st("a").st_mode & 0777, 0640);
    CK(!mkdir("d", 0777));
    EQ(st("d").st_mode & 0777, 0750);
    umask(0);
    f = open("b", O_CREAT | O_WRONLY, 0666);
    EQ(st("b").st_mode & 0777, 0666);
}

static void t_chown(void) {
    put("a", "");
    CK(!chown("a", 1234, 5678));
    EQ(st("a").st_uid, 1234);
    EQ(st("a").st_gid, 5678);
    CK(!chown("a", -1, 77));
    EQ(st("a").st_uid, 1234);
    EQ(st("a").st_gid, 77);
    CK(!chown("a", 3, -1));
    EQ(st("a").st_uid, 3);
    CK(!symlink("a", "l"));
    CK(!lchown("l", 9, 9));
    EQ(st("l").st_uid, 9);
    EQ(st("a").st_uid, 3);
    CK(!mkdir("d", 0755));
    CK(!chown("d", 70000, 70001));
    EQ(st("d").st_uid, 70000);
}

static void t_chown_clears_suid(void) {
    put("a", "");
    CK(!chmod("a", 06755));
    CK(!chown("a", 1234, 1234));
    EQ(st("a").st_mode & 07777, 0755);
}

static int w1(void) { int f = open("s", O_WRONLY | O_APPEND); return f < 0 ? 1 : write(f, "x", 1) != 1; }
static void t_write_clears_suid(void) {
    put("s", "1");
    CK(!chmod("s", 06777));
    EQ(as(1234, 1234, w1), 0);
    EQ(st("s").st_mode & 07777, 0777);
}

static int mkf(void) { int f = open("sg/f", O_CREAT | O_EXCL | O_WRONLY, 0644); return f < 0 || mkdir("sg/d", 0755); }
static void t_setgid_dir(void) {
    CK(!mkdir("sg", 0777));
    CK(!chown("sg", 0, 4321));
    CK(!chmod("sg", 02777));
    EQ(as(1234, 1234, mkf), 0);
    EQ(st("sg/f").st_gid, 4321);
    EQ(st("sg/d").st_gid, 4321);
    EQ(st("sg/d").st_mode & 02000, 02000);
}

static int mkown(void) {
    int f = open("o/f", O_CREAT | O_EXCL | O_WRONLY, 0644);
    return f < 0 || mkdir("o/d", 0755) || symlink("x", "o/l");
}

static void t_owner_of_new(void) {
    CK(!mkdir("o", 0777));
    CK(!chmod("o", 0777));
    EQ(as(1234, 2345, mkown), 0);
    const char *n[] = {"o/f", "o/d", "o/l"};
    for (int i = 0; i < 3; i++) {
        if (st(n[i]).st_uid != 1234 || st(n[i]).st_gid != 2345)
            FAIL("%s is %d:%d, want 1234:2345", n[i], st(n[i]).st_uid, st(n[i]).st_gid);
    }
}

static int rd(void) { int f = open("p", O_RDONLY); return f >= 0 ? 0 : errno; }
static int un(void) { return unlink("stick/x") ? errno : 0; }
static int cm(void) { return chmod("p", 0777) ? errno : 0; }
static int co(void) { return chown("p", 1234, 1234) ? errno : 0; }
static void t_permissions(void) {
    put("p", "x");
    CK(!chmod("p", 0600));
    EQ(as(1234, 1234, rd), EACCES);
    EQ(as(1234, 1234, cm), EPERM);
    EQ(as(1234, 1234, co), EPERM);
    CK(!chmod("p", 0604));
    EQ(as(1234, 1234, rd), 0);
    CK(!chmod("p", 0640));
    CK(!chown("p", 0, 1234));
    EQ(as(99, 1234, rd), 0);
    CK(!mkdir("stick", 01777));
    CK(!chmod("stick", 01777));
    put("stick/x", "");
    CK(!chmod("stick/x", 0666));
    EQ(as(1234, 1234, un), EPERM);
    CK(!chmod("stick", 0755));
    EQ(as(1234, 1234, un), EACCES);
}

static void t_utimens(void) {
    put("a", "");
    struct timespec t[2] = {{1111111111, 123456789}, {1222222222, 987654321}};
    CK(!utimensat(AT_FDCWD, "a", t, 0));
    struct stat s = st("a");
    EQ(s.st_atim.tv_sec, 1111111111);
    EQ(s.st_mtim.tv_sec, 1222222222);
    struct timespec o[2] = {{0, UTIME_OMIT}, {5, 0}};
    CK(!utimensat(AT_FDCWD, "a", o, 0));
    s = st("a");
    EQ(s.st_atim.tv_sec, 1111111111);
    EQ(s.st_mtim.tv_sec, 5);
    CK(!utimensat(AT_FDCWD, "a", NULL, 0));
    CK(llabs((long long)st("a").st_mtim.tv_sec - time(0)) < 120);
}

static void t_utimens_before_1970(void) {
    put("a", "");
    struct timespec neg[2] = {{-100, 0}, {-200, 0}};
    CK(!utimensat(AT_FDCWD, "a", neg, 0));
    EQ(st("a").st_mtim.tv_sec, -200);
}

static void t_utimens_nsec(void) {
    put("a", "");
    struct timespec t[2] = {{1111111111, 123456789}, {1222222222, 987654321}};
    CK(!utimensat(AT_FDCWD, "a", t, 0));
    struct stat s = st("a");
    EQ(s.st_atim.tv_nsec, 123456789);
    EQ(s.st_mtim.tv_nsec, 987654321);
}

static void t_utimens_symlink(void) {
    CK(!symlink("nowhere", "l"));
    struct timespec t[2] = {{100, 0}, {200, 0}};
    CK(!utimensat(AT_FDCWD, "l", t, AT_SYMLINK_NOFOLLOW));
    EQ(st("l").st_mtim.tv_sec, 200);
}

static int later(struct timespec a, struct timespec b) { return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec); }
static void t_times_move(void) {
    put("a", "1");
    CK(!mkdir("d", 0755));
    struct stat a = st("a"), d = st("d");
    nap(60);
    put("d/x", "");
    CK(later(st("d").st_mtim, d.st_mtim));
    CK(later(st("d").st_ctim, d.st_ctim));
    CK(!chmod("a", 0600));
    struct stat b = st("a");
    CK(later(b.st_ctim, a.st_ctim));
    CK(!later(b.st_mtim, a.st_mtim));
    nap(60);
    put("a", "22");
    CK(later(st("a").st_mtim, b.st_mtim));
}

static void t_blocks_and_inode(void) {
    put("a", "x");
    put("b", "x");
    CK(st("a").st_ino != st("b").st_ino);
    CK(st("a").st_ino != 0);
    CK(st("a").st_blksize > 0);
    char *b = calloc(1, 1 << 20);
    memset(b, 1, 1 << 20);
    int f = open("c", O_CREAT | O_WRONLY, 0644);
    EQ(write(f, b, 1 << 20), 1 << 20);
    CK(!fsync(f));
    if (st("c").st_blocks < 2048 / 2) FAIL("st_blocks of 1 MiB is %ld", (long)st("c").st_blocks);
}

static void t_dirent_ino_type(void) {
    put("f", "");
    CK(!mkdir("d", 0755));
    CK(!symlink("x", "l"));
    DIR *D = opendir(".");
    struct dirent *e;
    int n = 0;
    while ((e = readdir(D))) {
        if (e->d_name[0] == '.') continue;
        n++;
        struct stat s = st(e->d_name);
        EQ(e->d_ino, s.st_ino);
        if (e->d_type != DT_UNKNOWN) EQ(e->d_type, IFTODT(s.st_mode));
    }
    EQ(n, 3);
}

static void t_access(void) {
    put("a", "");
    CK(!access("a", R_OK | W_OK));
    ERR(access("a", X_OK), EACCES);
    ERR(access("no", F_OK), ENOENT);
    CK(!chmod("a", 0755));
    CK(!access("a", X_OK));
}

static void t_statx(void) {
    put("a", "xyz");
    struct statx x;
    CK(!statx(AT_FDCWD, "a", 0, STATX_BASIC_STATS | STATX_BTIME, &x));
    EQ(x.stx_size, 3);
    CK(!statx(AT_FDCWD, "a", AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &x));
    CK(!statx(AT_FDCWD, "a", AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &x));
}

static void t_statfs(void) {
    struct statvfs v;
    CK(!statvfs(".", &v));
    CK(v.f_blocks > 0 && v.f_bsize > 0);
    CK(v.f_namemax >= 255);
    struct statfs s;
    CK(!statfs(".", &s));
    CK(s.f_bfree <= s.f_blocks);
    int f = open(".", O_RDONLY);
    CK(!fstatfs(f, &s));
}

static void t_inode_stable(void) {
    CK(!mkdir("d", 0755));
    put("d/a", "");
    ino_t i = st("d/a").st_ino, d = st("d").st_ino;
    int f = open("/proc/sys/vm/drop_caches", O_WRONLY);
    if (f >= 0) { if (write(f, "3", 1) < 0) { } close(f); }
    EQ(st("d/a").st_ino, i);
    EQ(st("d").st_ino, d);
    CK(!chdir("d"));
    EQ(st(".").st_ino, d);
}

static void t_dotdot(void) {
    CK(!mkdir("d", 0755));
    CK(!mkdir("d/e", 0755));
    EQ(st("d/e/..").st_ino, st("d").st_ino);
    EQ(st("d/./e/../../d").st_ino, st("d").st_ino);
}

static void t_getcwd(void) {
    CK(!mkdir("d", 0755));
    CK(!chdir("d"));
    char b[4096];
    CK(getcwd(b, sizeof b));
    CK(strlen(b) > 2 && !strcmp(b + strlen(b) - 2, "/d"));
}

const struct test attributes_tests[] = {
    T(chmod), T(umask), T(chown), T(chown_clears_suid), T(write_clears_suid), T(setgid_dir),
    T(owner_of_new), T(permissions), T(utimens), T(utimens_before_1970), T(utimens_nsec),
    T(utimens_symlink), T(times_move), T(blocks_and_inode), T(dirent_ino_type), T(access), T(statx),
    T(statfs), T(inode_stable), T(dotdot), T(getcwd),
    {0},
};
