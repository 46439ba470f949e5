/*
 * Preloaded into a hub that is to die: counts the system calls that change something outside the process, writes a line for each
 * into a list, and ends the process before the one whose turn it is. Linux with glibc only.
 *
 *   CROSSDOCK_DIE_AT    the number of the call that is not made any more; without it nothing dies
 *   CROSSDOCK_CALLS     the file of the list
 *
 * Left out, because nobody outside sees them: event counters, pipes, socket pairs, and what goes to a terminal or a log.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static long die_at;
static long calls;
static int list = -1;

__attribute__((constructor)) static void begin(void)
{
    const char *at = getenv("CROSSDOCK_DIE_AT");
    const char *path = getenv("CROSSDOCK_CALLS");
    die_at = at ? atol(at) : 0;
    if (path)
        list = (int)syscall(SYS_openat, AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
}

static void count(const char *call, const char *target)
{
    long number = __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
    char line[320];
    int length = snprintf(line, sizeof line, "%ld %s %s\n", number, call, target);
    if (list >= 0 && length > 0)
        (void)syscall(SYS_write, list, line, (size_t)length);
    if (die_at != 0 && number >= die_at)
        syscall(SYS_exit_group, 137);
}

static const char *base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Counts a call on a file or a connection. */
static void touch(const char *call, int fd)
{
    struct stat about;
    if (fd <= 2 || fd == list || fstat(fd, &about) != 0)
        return;
    char target[256] = "";
    if (S_ISREG(about.st_mode)) {
        char link[64], path[200];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(link, path, sizeof path - 1);
        path[length > 0 ? length : 0] = 0;
        snprintf(target, sizeof target, "%s", base(path));
    } else if (S_ISSOCK(about.st_mode)) {
        struct sockaddr_in peer;
        socklen_t size = sizeof peer;
        if (getpeername(fd, (struct sockaddr *)&peer, &size) != 0 || peer.sin_family != AF_INET)
            return;
        snprintf(target, sizeof target, "port:%d", ntohs(peer.sin_port));
    } else {
        return;
    }
    count(call, target);
}

#define REAL(result, name, parameters)                                                                                             \
    static result(*real) parameters;                                                                                               \
    if (!real)                                                                                                                     \
        real = (result(*) parameters)dlsym(RTLD_NEXT, name)

#define ON_FD(result, name, parameters, arguments)                                                                                 \
    result name parameters                                                                                                         \
    {                                                                                                                              \
        REAL(result, #name, parameters);                                                                                           \
        touch(#name, fd);                                                                                                          \
        return real arguments;                                                                                                     \
    }

ON_FD(ssize_t, write, (int fd, const void *bytes, size_t size), (fd, bytes, size))
ON_FD(ssize_t, pwrite, (int fd, const void *bytes, size_t size, off_t at), (fd, bytes, size, at))
ON_FD(ssize_t, pwrite64, (int fd, const void *bytes, size_t size, off64_t at), (fd, bytes, size, at))
ON_FD(ssize_t, writev, (int fd, const struct iovec *parts, int number), (fd, parts, number))
ON_FD(ssize_t, send, (int fd, const void *bytes, size_t size, int flags), (fd, bytes, size, flags))
ON_FD(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
ON_FD(int, fsync, (int fd), (fd))
ON_FD(int, fdatasync, (int fd), (fd))
ON_FD(int, ftruncate, (int fd, off_t size), (fd, size))
ON_FD(int, ftruncate64, (int fd, off64_t size), (fd, size))

ssize_t sendto(int fd, const void *bytes, size_t size, int flags, const struct sockaddr *to, socklen_t length)
{
    REAL(ssize_t, "sendto", (int, const void *, size_t, int, const struct sockaddr *, socklen_t));
    touch("sendto", fd);
    return real(fd, bytes, size, flags, to, length);
}

int rename(const char *from, const char *to)
{
    REAL(int, "rename", (const char *, const char *));
    count("rename", base(to));
    return real(from, to);
}

int unlink(const char *path)
{
    REAL(int, "unlink", (const char *));
    count("unlink", base(path));
    return real(path);
}
