// SPDX-License-Identifier: Apache-2.0 OR MIT
// Large directories, odd names, deep paths, descriptors of directories.
#include "smoke.h"

static void t_large_dir(void) {
    char p[64];
    int n = 1500;
    for (int i = 0; i < n; i++) {
        sprintf(p, "file-with-a-longer-name-%06d", i);
        int f = open(p, O_CREAT | O_EXCL | O_WRONLY, 0644);
        if (f < 0) FAIL("create %d: %s", i, strerror(errno));
        close(f);
    }
    char *seen = calloc(1, n);
    DIR *D = opendir(".");
    struct dirent *e;
    int c = 0;
    while ((e = readdir(D))) {
        if (e->d_name[0] == '.') continue;
        int k = atoi(e->d_name + 24);
        if (k < 0 || k >= n || seen[k]++) FAIL("entry %s seen twice or unknown", e->d_name);
        c++;
    }
    EQ(c, n);
    rewinddir(D);
    c = 0;
    while ((e = readdir(D))) c++;
    EQ(c, n + 2);
    closedir(D);
    for (int i = 0; i < n; i++) {
        sprintf(p, "file-with-a-longer-name-%06d", i);
        CK(!unlink(p));
    }
    EQ(listdir("."), 0);
}

static void t_readdir_delete_while(void) { // like rm -r: remove while reading
    char p[64];
    for (int i = 0; i < 300; i++) {
        sprintf(p, "f%d", i);
        put(p, "");
    }
    DIR *D = opendir(".");
    struct dirent *e;
    while ((e = readdir(D)))
        if (e->d_name[0] == 'f') CK(!unlink(e->d_name));
    closedir(D);
    int left = listdir(".");
    if (left) FAIL("%d entries were never returned", left);
}

static void t_seekdir(void) {
    char p[64];
    for (int i = 0; i < 200; i++) {
        sprintf(p, "f%03d", i);
        put(p, "");
    }
    DIR *D = opendir(".");
    struct dirent *e;
    long pos[210];
    char names[210][256];
    int n = 0;
    for (;;) {
        pos[n] = telldir(D);
        e = readdir(D);
        if (!e) break;
        snprintf(names[n], 256, "%s", e->d_name);
        n++;
    }
    EQ(n, 202);
    for (int i = 0; i < n; i += 17) {
        seekdir(D, pos[i]);
        e = readdir(D);
        if (!e || strcmp(e->d_name, names[i])) FAIL("seekdir to entry %d gave %s, want %s", i, e ? e->d_name : "end", names[i]);
    }
    closedir(D);
}

static void t_long_names(void) {
    char n[300];
    memset(n, 'n', 299);
    n[255] = 0;
    put(n, "max");
    CK(!strcmp(get(n), "max"));
    CK(!unlink(n));
    n[255] = 'n';
    n[256] = 0;
    ERR(open(n, O_CREAT | O_WRONLY, 0644), ENAMETOOLONG);
    ERR(mkdir(n, 0755), ENAMETOOLONG);
    struct stat s;
    ERR(stat(n, &s), ENAMETOOLONG);
}

static void t_odd_names(void) {
    const char *v[] = {"with space", "new\nline", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xff\xfe\x80", "-rf", "...", "a:b", "CON", "trailing.", "tab\t", "back\\slash", "\x01\x02", "*?[]"};
    int n = sizeof v / sizeof *v;
    for (int i = 0; i < n; i++) {
        put(v[i], v[i]);
        if (strcmp(get(v[i]), v[i])) FAIL("name %d", i);
    }
    EQ(listdir("."), n);
    put("Case", "1");
    ERR(open("case", O_RDONLY), ENOENT);
}

static void t_deep_path(void) {
    char nm[60];
    memset(nm, 'd', 50);
    nm[50] = 0;
    int depth = 60;
    for (int i = 0; i < depth; i++) {
        CK(!mkdir(nm, 0755));
        CK(!chdir(nm));
    }
    put("leaf", "deep");
    CK(!strcmp(get("leaf"), "deep"));
    char b[8192];
    CK(getcwd(b, sizeof b) && strlen(b) > 51u * depth);
    for (int i = 0; i < depth; i++) CK(!chdir(".."));
    char p[4000] = "";
    for (int i = 0; i < depth; i++) {
        strcat(p, nm);
        strcat(p, "/");
    }
    strcat(p, "leaf"); // one path of about 3 kB: many walk elements
    CK(!strcmp(get(p), "deep"));
}

static void t_many_open(void) {
    int fd[400];
    char p[32];
    for (int i = 0; i < 400; i++) {
        sprintf(p, "f%d", i);
        fd[i] = open(p, O_CREAT | O_RDWR, 0644);
        if (fd[i] < 0) FAIL("open %d: %s", i, strerror(errno));
        EQ(write(fd[i], p, strlen(p)), strlen(p));
    }
    for (int i = 0; i < 400; i++) {
        char b[32] = {0};
        sprintf(p, "f%d", i);
        CK(pread(fd[i], b, 31, 0) > 0);
        CK(!strcmp(b, p));
        close(fd[i]);
    }
}

static void t_dirfd_ops(void) {
    CK(!mkdir("d", 0755));
    int d = open("d", O_RDONLY | O_DIRECTORY);
    CK(d >= 0);
    int f = openat(d, "a", O_CREAT | O_RDWR, 0644);
    CK(f >= 0);
    CK(!mkdirat(d, "s", 0755));
    CK(!symlinkat("a", d, "l"));
    CK(!linkat(d, "a", d, "b", 0));
    CK(!renameat(d, "b", d, "c"));
    CK(!fchownat(d, "c", 5, 6, 0));
    CK(!fchmodat(d, "c", 0600, 0));
    struct stat s;
    CK(!fstatat(d, "c", &s, 0));
    EQ(s.st_uid, 5);
    CK(!unlinkat(d, "c", 0));
    CK(!unlinkat(d, "s", AT_REMOVEDIR));
    int o = open("d/a", O_PATH);
    CK(o >= 0);
    CK(!fstat(o, &s));
    CK(!fsync(d));
}

const struct test directories_tests[] = {
    T(large_dir), T(readdir_delete_while), T(seekdir), T(long_names), T(odd_names), T(deep_path),
    T(many_open), T(dirfd_ops),
    {0},
};
