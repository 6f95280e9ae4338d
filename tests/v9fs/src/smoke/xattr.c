// SPDX-License-Identifier: Apache-2.0 OR MIT
// Extended attributes and ACLs.
#include "smoke.h"

static void needx(void) {
    put("x", "");
    if (setxattr("x", "user.t", "v", 1, 0)) {
        if (errno == EOPNOTSUPP) SKIP("user xattrs not supported");
        FAIL("setxattr: %s", strerror(errno));
    }
}

static void t_xattr(void) {
    needx();
    char b[8192];
    EQ(getxattr("x", "user.t", b, sizeof b), 1);
    EQ(getxattr("x", "user.t", NULL, 0), 1);
    CK(b[0] == 'v');
    ERR(setxattr("x", "user.t", "w", 1, XATTR_CREATE), EEXIST);
    ERR(setxattr("x", "user.u", "w", 1, XATTR_REPLACE), ENODATA);
    CK(!setxattr("x", "user.t", "longer", 6, XATTR_REPLACE));
    EQ(getxattr("x", "user.t", b, sizeof b), 6);
    ERR(getxattr("x", "user.t", b, 3), ERANGE);
    CK(!setxattr("x", "user.second", "2", 1, 0));
    int n = listxattr("x", b, sizeof b);
    CK(n > 0 && memmem(b, n, "user.t", 7) && memmem(b, n, "user.second", 12));
    CK(!removexattr("x", "user.t"));
    ERR(getxattr("x", "user.t", b, sizeof b), ENODATA);
    ERR(removexattr("x", "user.t"), ENODATA);
}

static void t_xattr_empty_value(void) {
    needx();
    char b[64];
    CK(!setxattr("x", "user.empty", "", 0, 0));
    EQ(getxattr("x", "user.empty", b, sizeof b), 0);
    int n = listxattr("x", b, sizeof b);
    CK(n > 0 && memmem(b, n, "user.empty", 11));
}

static void t_xattr_fd_dir_symlink(void) {
    needx();
    int f = open("x", O_RDWR);
    CK(!fsetxattr(f, "user.fd", "1", 1, 0));
    char b[64];
    EQ(fgetxattr(f, "user.fd", b, 64), 1);
    CK(!mkdir("d", 0755));
    CK(!setxattr("d", "user.dir", "dd", 2, 0));
    EQ(getxattr("d", "user.dir", b, 64), 2);
    CK(!symlink("x", "l"));
    EQ(getxattr("l", "user.fd", b, 64), 1);
    ERR(lsetxattr("l", "user.q", "1", 1, 0), EPERM);
}

static void t_xattr_large(void) {
    needx();
    static char v[3000], b[4000];
    for (int i = 0; i < 3000; i++) v[i] = i;
    CK(!setxattr("x", "user.big", v, 3000, 0));
    EQ(getxattr("x", "user.big", b, 4000), 3000);
    CK(!memcmp(v, b, 3000));
    char n[32];
    for (int i = 0; i < 20; i++) {
        sprintf(n, "user.n%02d", i);
        if (setxattr("x", n, n, strlen(n), 0)) SKIP("only %d small attributes fit: %s", i, strerror(errno));
    }
    static char l[8192];
    int k = listxattr("x", l, sizeof l), c = 0;
    for (int o = 0; o < k; o += strlen(l + o) + 1) c++;
    CK(c >= 22);
}

static void t_xattr_trusted(void) {
    put("x", "");
    if (setxattr("x", "trusted.t", "v", 1, 0)) SKIP("trusted.*: %s", strerror(errno));
    char b[9];
    EQ(getxattr("x", "trusted.t", b, 9), 1);
}

static void t_xattr_caps(void) { // security.capability: file capabilities survive
    put("x", "");
    struct { uint32_t magic, d[4]; } c = {0x02000000, {0x400, 0, 0, 0}};
    if (setxattr("x", "security.capability", &c, sizeof c, 0)) SKIP("security.capability: %s", strerror(errno));
    char b[64];
    EQ(getxattr("x", "security.capability", b, 64), sizeof c);
}
// minimal v2 ACL blob: u::rw- u:1234:rw- g::--- m::rw- o::---
static int aclset(const char *p, const char *name, int perm1234) {
    struct { uint32_t v; struct { uint16_t tag, perm; uint32_t id; } e[5]; } a = {2, {{1, 6, -1}, {2, (uint16_t)perm1234, 1234}, {4, 0, -1}, {16, 6, -1}, {32, 0, -1}}};
    return setxattr(p, name, &a, sizeof a, 0);
}

static int read_p(void) { return open("p", O_RDONLY) >= 0 ? 0 : errno; }

static void t_acl_access(void) {
    put("p", "x");
    CK(!chmod("p", 0600));
    if (aclset("p", "system.posix_acl_access", 6)) SKIP("ACL: %s", strerror(errno));
    char b[200];
    EQ(getxattr("p", "system.posix_acl_access", b, 200), 44);
    EQ(st("p").st_mode & 0777, 0660);
    EQ(as(1234, 99, read_p), 0);
    EQ(as(1235, 99, read_p), EACCES);
    CK(!chmod("p", 0600)); // mask becomes ---
    EQ(as(1234, 99, read_p), EACCES);
}

static void t_acl_default(void) {
    CK(!mkdir("d", 0755));
    if (aclset("d", "system.posix_acl_default", 6)) SKIP("ACL: %s", strerror(errno));
    umask(022);
    put("d/f", "x");
    char b[200];
    CK(getxattr("d/f", "system.posix_acl_access", b, 200) == 44);
    EQ(st("d/f").st_mode & 0777, 0640); // rw for owner, mask r-- from 0644 & rw, other none
    CK(!mkdir("d/s", 0777));
    CK(getxattr("d/s", "system.posix_acl_default", b, 200) == 44);
}

const struct test xattr_tests[] = {
    T(xattr), T(xattr_empty_value), T(xattr_fd_dir_symlink), T(xattr_large), T(xattr_trusted),
    T(xattr_caps), T(acl_access), T(acl_default),
    {0},
};
