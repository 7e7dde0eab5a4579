/* What this machine, or the container around us, lets us use. */
#include "os/os.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* Files below /proc and /sys only. False when it is not there; ret_text is always terminated. */
static bool text_read(const char *path, char *ret_text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    ret_text[0] = '\0';
    if (fd < 0)
        return false;
    n = read(fd, ret_text, size - 1);
    close(fd);
    if (n < 0)
        return false;
    ret_text[n] = '\0';
    return true;
}

/* Calls visit with the text of root + group + "/" + file, for the group and all above it: a limit on a
 * parent binds its children. In a container the group named in /proc may not be visible: then only the
 * root is found. */
static void cgroup_walk(const char *root, const char *group, const char *file,
                        void (*visit)(const char *root, const char *group, const char *text, void *arg),
                        void *arg)
{
    char at[PATH_MAX], path[PATH_MAX], text[256];

    snprintf(at, sizeof(at), "%s", group);
    for (;;) {
        size_t len = strlen(at);
        while (len > 0 && at[len - 1] == '/')
            at[--len] = '\0';
        if (snprintf(path, sizeof(path), "%s%s/%s", root, at, file) < (int)sizeof(path) &&
            text_read(path, text, sizeof(text)))
            visit(root, at, text, arg);
        if (len == 0)
            return;
        *strrchr(at, '/') = '\0';
    }
}

/* Our group in the hierarchy of that controller ("" is version 2); false when there is none. */
static bool cgroup_find(const char *controller, char *ret_group, size_t size)
{
    char text[4096], *line_save = NULL;

    if (!text_read("/proc/self/cgroup", text, sizeof(text)))
        return false;
    for (char *line = strtok_r(text, "\n", &line_save); line != NULL;
         line = strtok_r(NULL, "\n", &line_save)) {
        char *list = strchr(line, ':'), *group, *name_save = NULL;
        if (list == NULL || (group = strchr(++list, ':')) == NULL)
            continue;
        *group++ = '\0';
        bool found = list[0] == '\0' && controller[0] == '\0';
        for (char *name = strtok_r(list, ",", &name_save); name != NULL;
             name = strtok_r(NULL, ",", &name_save))
            found |= strcmp(name, controller) == 0;
        if (found && group[0] == '/') {
            snprintf(ret_group, size, "%s", group);
            return true;
        }
    }
    return false;
}

static void cpus_limit(unsigned *cpus, long long quota, long long period)
{
    if (quota > 0 && period > 0)
        *cpus = MIN(*cpus, MAX(1u, (unsigned)((quota + period - 1) / period)));
}

static void cpu_v2_visit(const char *root, const char *group, const char *text, void *arg)
{
    long long quota, period;

    (void)root;
    (void)group;
    if (sscanf(text, "%lld %lld", &quota, &period) == 2) /* "max 100000" is no limit */
        cpus_limit(arg, quota, period);
}

static void cpu_v1_visit(const char *root, const char *group, const char *text, void *arg)
{
    char path[PATH_MAX], period_text[64];

    if (snprintf(path, sizeof(path), "%s%s/cpu.cfs_period_us", root, group) < (int)sizeof(path) &&
        text_read(path, period_text, sizeof(period_text)))
        cpus_limit(arg, atoll(text), atoll(period_text));
}

unsigned os_cpu_count(void)
{
    char group[PATH_MAX];
    unsigned cpus = 1;
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        cpus = (unsigned)CPU_COUNT(&set);
    else if (sysconf(_SC_NPROCESSORS_ONLN) > 0) /* more than 1024 processors */
        cpus = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
    if (cgroup_find("", group, sizeof(group)))
        cgroup_walk("/sys/fs/cgroup", group, "cpu.max", cpu_v2_visit, &cpus);
    if (cgroup_find("cpu", group, sizeof(group)))
        cgroup_walk("/sys/fs/cgroup/cpu", group, "cpu.cfs_quota_us", cpu_v1_visit, &cpus);
    return MAX(cpus, 1u);
}

static void memory_visit(const char *root, const char *group, const char *text, void *arg)
{
    uint64_t *bytes = arg, limit;

    (void)root;
    (void)group;
    if (slice_to_u64(slice_of(text, strcspn(text, "\n")), &limit) && limit > 0) /* "max" is no limit */
        *bytes = MIN(*bytes, limit);
}

uint64_t os_memory_bytes(void)
{
    char group[PATH_MAX];
    uint64_t bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

    if (cgroup_find("", group, sizeof(group)))
        cgroup_walk("/sys/fs/cgroup", group, "memory.max", memory_visit, &bytes);
    if (cgroup_find("memory", group, sizeof(group)))
        cgroup_walk("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes", memory_visit, &bytes);
    return bytes;
}

unsigned os_descriptor_limit_raise(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1024;
    if (limit.rlim_cur < limit.rlim_max) {
        struct rlimit raised = {limit.rlim_max, limit.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
            limit = raised;
    }
    return (unsigned)MIN(limit.rlim_cur, (rlim_t)UINT_MAX);
}
