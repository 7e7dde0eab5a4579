#include "os/process.h"

#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void signals_ours(sigset_t *ret_set)
{
    static const int ours[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD};

    sigemptyset(ret_set);
    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        sigaddset(ret_set, ours[i]);
}

pid_t os_process_fork(void)
{
    pid_t parent = getpid(), child = fork();

    if (child < 0)
        return -errno;
    if (child > 0)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) /* it died before we asked */
        _exit(1);
    return 0;
}

pid_t os_process_parent(void)
{
    return getppid();
}

void os_process_kill(pid_t child, int signal)
{
    kill(child, signal);
}

_Noreturn void os_process_exit(int code)
{
    _exit(code);
}

err os_process_exec(const char *path, char *const argv[])
{
    execv(path, argv);
    return ERR_SYS(errno);
}

err os_signals_take(void)
{
    sigset_t set;

    signals_ours(&set);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow any more is an error of its writer's */
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return ERR_SYS(errno);
    return ERR_OK;
}

int os_signals_open(void)
{
    sigset_t set;
    int fd;

    signals_ours(&set);
    fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int os_signals_next(int fd)
{
    struct signalfd_siginfo info;
    ssize_t n = read(fd, &info, sizeof(info));

    return n == (ssize_t)sizeof(info) ? (int)info.ssi_signo : 0;
}

int os_signals_wait_or(int fd, int other, int timeout_ms, bool *ret_readable)
{
    struct pollfd fds[2] = {{.fd = fd, .events = POLLIN}, {.fd = other, .events = POLLIN}};

    poll(fds, 2, timeout_ms);
    *ret_readable = fds[1].revents != 0;
    return os_signals_next(fd);
}

int os_signals_wait(int fd, int timeout_ms)
{
    bool ignored;

    return os_signals_wait_or(fd, -1, timeout_ms, &ignored);
}

/* ---- messages to a child ------------------------------------------------------------------------------------------ */

err os_channel_pair(int ret_ends[2])
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret_ends) == 0 ? ERR_OK : ERR_SYS(errno);
}

void os_channel_close(int end)
{
    if (end >= 0)
        close(end);
}

err os_channel_send(int end, slice message, const int *fds, unsigned fd_count)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(OS_CHANNEL_FDS_MAX * sizeof(int))] = {0};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)message.data, .iov_len = message.len};
    struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t sent;

    INVARIANT(fd_count <= OS_CHANNEL_FDS_MAX);
    if (fd_count > 0) {
        header.msg_control = control;
        header.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *with = CMSG_FIRSTHDR(&header);
        *with = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(fd_count * sizeof(int))};
        memcpy(CMSG_DATA(with), fds, fd_count * sizeof(int));
    }
    do {
        sent = sendmsg(end, &header, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return errno == EPIPE || errno == ECONNRESET ? ERR(CLOSED) : ERR_SYS(errno);
    return ERR_OK;
}

static unsigned channel_fds(struct msghdr *header, int ret_fds[OS_CHANNEL_FDS_MAX])
{
    unsigned count = 0;

    for (struct cmsghdr *with = CMSG_FIRSTHDR(header); with != NULL; with = CMSG_NXTHDR(header, with)) {
        if (with->cmsg_level != SOL_SOCKET || with->cmsg_type != SCM_RIGHTS)
            continue;
        count = (unsigned)((with->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(ret_fds, CMSG_DATA(with), count * sizeof(int));
    }
    return count;
}

err os_channel_receive(int end, void *message, size_t size, size_t *ret_len, int ret_fds[OS_CHANNEL_FDS_MAX],
                       unsigned *ret_fd_count, int timeout_ms)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(OS_CHANNEL_FDS_MAX * sizeof(int))];
    struct iovec iov = {.iov_base = message, .iov_len = size};
    struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
    struct pollfd poll_fd = {.fd = end, .events = POLLIN};
    ssize_t got;
    int ready;

    do {
        ready = poll(&poll_fd, 1, timeout_ms);
    } while (ready < 0 && errno == EINTR);
    if (ready == 0)
        return ERR(TIMEOUT);
    do {
        got = recvmsg(end, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    if (got == 0 || (got < 0 && errno == ECONNRESET))
        return ERR(CLOSED);
    if (got < 0)
        return ERR_SYS(errno);
    *ret_len = (size_t)got;
    *ret_fd_count = channel_fds(&header, ret_fds);
    return ERR_OK;
}

pid_t os_process_reap(int *ret_code)
{
    int status;
    pid_t child = waitpid(-1, &status, WNOHANG);

    if (child <= 0)
        return 0;
    *ret_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return child;
}

bool os_process_is_root(void)
{
    return geteuid() == 0;
}

err os_process_drop_rights(const char *user)
{
    struct passwd *entry;

    if (geteuid() != 0)
        return ERR_OK;
    entry = getpwnam(user);
    ENSURE(entry != NULL, NOT_FOUND);
    if (initgroups(user, entry->pw_gid) != 0 || setgid(entry->pw_gid) != 0 || setuid(entry->pw_uid) != 0)
        return ERR_SYS(errno);
    ENSURE(setuid(0) != 0, REFUSED);
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* changing the user cleared it */
    return ERR_OK;
}

static uint64_t count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    uint64_t count = 0;

    if (dir == NULL)
        return 0;
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count >= 3 ? count - 3 : 0; /* ".", "..", and the one that counts */
}

/* Fields 22 to 24 of /proc/self/stat: start time, virtual size, resident pages; the name in field 2 may hold
 * anything, so they are counted from its closing parenthesis. */
static void read_stat(struct os_process_numbers *numbers)
{
    char text[1024], *at;
    FILE *file = fopen("/proc/self/stat", "re");
    unsigned long long start = 0, virtual_bytes = 0, pages = 0;
    double uptime = 0;
    size_t n;

    if (file == NULL)
        return;
    n = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[n] = '\0';
    at = strrchr(text, ')');
    if (at == NULL || sscanf(at + 2,
                             "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu %llu %llu",
                             &start, &virtual_bytes, &pages) != 3)
        return;
    numbers->virtual_bytes = virtual_bytes;
    numbers->resident_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
    file = fopen("/proc/uptime", "re");
    if (file == NULL)
        return;
    if (fscanf(file, "%lf", &uptime) == 1) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        numbers->start_time_seconds =
            (double)now.tv_sec - uptime + (double)start / (double)sysconf(_SC_CLK_TCK);
    }
    fclose(file);
}

void os_process_numbers(struct os_process_numbers *ret_numbers)
{
    struct rusage usage;
    struct rlimit limit;

    memset(ret_numbers, 0, sizeof(*ret_numbers));
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        ret_numbers->cpu_seconds = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                                   (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        ret_numbers->max_fds = limit.rlim_cur;
    ret_numbers->open_fds = count_fds();
    read_stat(ret_numbers);
}

const char *os_environment(const char *name)
{
    return getenv(name);
}
