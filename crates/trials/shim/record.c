/*
 * Preloaded into a database server: writes every change of its files into one log, in the order in which the changes were made, with
 * every sync. Linux with glibc only.
 *
 *   CROSSDOCK_WRITES    the log; all processes of the server append to it, a record a call
 *   CROSSDOCK_DATA      the folder whose files are recorded, as an absolute path
 *
 * A record: one letter, then the lengths and numbers of `struct head`, the name, the bytes.
 *   W write, T truncate, F sync, U unlink, R rename (the bytes are the new name)
 *
 * Left out: files opened with O_TRUNC, which the server does not recover from, and what it maps into memory.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define PARTS_MAX 64

struct __attribute__((packed)) head {
    char what;
    uint32_t name;
    uint64_t offset;
    uint64_t length;
};

static int list = -1;

#define REAL(name, result, ...)                                                                                                   \
    static result (*real)(__VA_ARGS__);                                                                                            \
    if (!real)                                                                                                                     \
    real = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

static void note(char what, const char *name, uint64_t offset, const struct iovec *bytes, int parts, uint64_t length)
{
    if (list < 0) {
        const char *path = getenv("CROSSDOCK_WRITES");
        int opened = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666) : -1;
        if (opened < 0)
            return;
        /* Out of the way of numbers that the server counts on. */
        list = fcntl(opened, F_DUPFD_CLOEXEC, 900);
        close(opened);
    }
    struct head head = {what, (uint32_t)strlen(name), offset, length};
    struct iovec all[PARTS_MAX + 2] = {{&head, sizeof head}, {(void *)name, head.name}};
    int count = 2;
    uint64_t left = length;
    for (int i = 0; i < parts && left > 0 && count < PARTS_MAX + 2; i++, count++) {
        all[count] = bytes[i];
        if (all[count].iov_len > left)
            all[count].iov_len = left;
        left -= all[count].iov_len;
    }
    REAL(writev, ssize_t, int, const struct iovec *, int);
    if (real(list, all, count) < 0)
        abort();
}

static int ours(const char *path)
{
    const char *folder = getenv("CROSSDOCK_DATA");
    size_t length = folder ? strlen(folder) : 0;
    return length && strncmp(path, folder, length) == 0 && path[length] == '/' && !strstr(path, "pgsql_tmp") &&
           !strstr(path, "postmaster");
}

static int of_file(int file, char *path)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length <= 0)
        return 0;
    path[length] = 0;
    return ours(path);
}

static int of_path(const char *given, char *path)
{
    if (given[0] == '/') {
        snprintf(path, PATH_MAX, "%s", given);
    } else {
        char here[PATH_MAX];
        if (!getcwd(here, sizeof here) || strlen(here) + strlen(given) + 2 > PATH_MAX)
            return 0;
        strcpy(path, here);
        strcat(path, "/");
        strcat(path, given);
    }
    return ours(path);
}

#define PWRITE(name)                                                                                                               \
    ssize_t name(int file, const void *bytes, size_t length, off_t offset)                                                         \
    {                                                                                                                              \
        REAL(name, ssize_t, int, const void *, size_t, off_t);                                                                     \
        char path[PATH_MAX];                                                                                                       \
        ssize_t done = real(file, bytes, length, offset);                                                                          \
        struct iovec part = {(void *)bytes, length};                                                                               \
        if (done > 0 && of_file(file, path))                                                                                       \
            note('W', path, offset, &part, 1, done);                                                                               \
        return done;                                                                                                               \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

#define PWRITEV(name)                                                                                                              \
    ssize_t name(int file, const struct iovec *parts, int count, off_t offset)                                                     \
    {                                                                                                                              \
        REAL(name, ssize_t, int, const struct iovec *, int, off_t);                                                                \
        char path[PATH_MAX];                                                                                                       \
        ssize_t done = real(file, parts, count, offset);                                                                           \
        if (done > 0 && of_file(file, path))                                                                                       \
            note('W', path, offset, parts, count, done);                                                                           \
        return done;                                                                                                               \
    }
PWRITEV(pwritev)
PWRITEV(pwritev64)

ssize_t write(int file, const void *bytes, size_t length)
{
    REAL(write, ssize_t, int, const void *, size_t);
    char path[PATH_MAX];
    int recorded = file > 2 && file != list && of_file(file, path);
    off_t offset = recorded ? lseek(file, 0, SEEK_CUR) : 0;
    ssize_t done = real(file, bytes, length);
    struct iovec part = {(void *)bytes, length};
    if (done > 0 && recorded && offset >= 0)
        note('W', path, offset, &part, 1, done);
    return done;
}

#define TRUNCATE(name)                                                                                                             \
    int name(int file, off_t length)                                                                                               \
    {                                                                                                                              \
        REAL(name, int, int, off_t);                                                                                               \
        char path[PATH_MAX];                                                                                                       \
        int failed = real(file, length);                                                                                           \
        if (!failed && of_file(file, path))                                                                                        \
            note('T', path, length, NULL, 0, 0);                                                                                   \
        return failed;                                                                                                             \
    }
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

#define SYNC(name)                                                                                                                 \
    int name(int file)                                                                                                             \
    {                                                                                                                              \
        REAL(name, int, int);                                                                                                      \
        char path[PATH_MAX];                                                                                                       \
        int failed = real(file);                                                                                                   \
        if (!failed && of_file(file, path))                                                                                        \
            note('F', path, 0, NULL, 0, 0);                                                                                        \
        return failed;                                                                                                             \
    }
SYNC(fsync)
SYNC(fdatasync)

int unlink(const char *given)
{
    REAL(unlink, int, const char *);
    char path[PATH_MAX];
    int failed = real(given);
    if (!failed && of_path(given, path))
        note('U', path, 0, NULL, 0, 0);
    return failed;
}

int rename(const char *from, const char *to)
{
    REAL(rename, int, const char *, const char *);
    char before[PATH_MAX], after[PATH_MAX];
    int failed = real(from, to);
    if (!failed && of_path(from, before) && of_path(to, after)) {
        struct iovec part = {after, strlen(after)};
        note('R', before, 0, &part, 1, part.iov_len);
    }
    return failed;
}
