#include "os/os.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

MUST_USE static err file_read_all(int fd, size_t max, char **ret_bytes, size_t *ret_len)
{
    size_t size = 0, room = 4096;
    char *bytes = malloc(room + 1);

    while (bytes != NULL) {
        ssize_t n = read(fd, bytes + size, room - size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 || size + (size_t)n > max) {
            err failed = n < 0 ? ERR_SYS(errno) : ERR(LIMIT);
            free(bytes);
            return failed;
        }
        if (n == 0) {
            bytes[size] = '\0';
            *ret_bytes = bytes;
            *ret_len = size;
            return ERR_OK;
        }
        size += (size_t)n;
        if (size == room) {
            char *grown = realloc(bytes, 2 * room + 1);
            if (grown == NULL)
                free(bytes);
            bytes = grown;
            room *= 2;
        }
    }
    return ERR(MEMORY);
}

MUST_USE static err file_read(const char *path, int flags, size_t max, char **ret_bytes, size_t *ret_len, unsigned *ret_mode)
{
    /* O_NONBLOCK: a named pipe in the file's place must not hang the start. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags);
    struct stat st;
    err result;

    if (fd < 0)
        return errno == ENOENT ? ERR(NOT_FOUND) : ERR_SYS(errno);
    if (fstat(fd, &st) != 0)
        result = ERR_SYS(errno);
    else if (!S_ISREG(st.st_mode))
        result = ERR(INVALID);
    else
        result = file_read_all(fd, max, ret_bytes, ret_len);
    close(fd);
    if (err_is_ok(result))
        *ret_mode = st.st_mode & 07777;
    return result;
}

err os_file_read(const char *path, size_t max, char **ret_bytes, size_t *ret_len)
{
    unsigned mode;
    return file_read(path, O_NOFOLLOW, max, ret_bytes, ret_len, &mode);
}

err os_file_read_named(const char *path, size_t max, char **ret_bytes, size_t *ret_len, unsigned *ret_mode)
{
    return file_read(path, 0, max, ret_bytes, ret_len, ret_mode);
}

static int name_order(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

MUST_USE static err dir_collect(DIR *dir, char ***names, unsigned *count)
{
    unsigned room = 0;
    struct dirent *entry;

    while ((errno = 0, entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        if (*count == room) {
            room = room == 0 ? 64 : 2 * room;
            char **grown = realloc(*names, room * sizeof(*grown));
            ENSURE(grown != NULL, MEMORY);
            *names = grown;
        }
        (*names)[*count] = strdup(entry->d_name);
        ENSURE((*names)[*count] != NULL, MEMORY);
        (*count)++;
    }
    return errno == 0 ? ERR_OK : ERR_SYS(errno);
}

err os_dir_names(const char *path, char ***ret_names, unsigned *ret_count)
{
    DIR *dir = opendir(path);
    char **names = NULL;
    unsigned count = 0;
    err result;

    if (dir == NULL)
        return errno == ENOENT ? ERR(NOT_FOUND) : ERR_SYS(errno);
    result = dir_collect(dir, &names, &count);
    closedir(dir);
    if (!err_is_ok(result)) {
        os_dir_names_free(names, count);
        return result;
    }
    if (count > 0)
        qsort(names, count, sizeof(*names), name_order);
    *ret_names = names;
    *ret_count = count;
    return ERR_OK;
}

void os_dir_names_free(char **names, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

MUST_USE static err paths_copy(const glob_t *found, char ***ret_paths)
{
    char **paths = calloc(found->gl_pathc + 1, sizeof(*paths));

    ENSURE(paths != NULL, MEMORY);
    for (size_t i = 0; i < found->gl_pathc; i++) {
        paths[i] = strdup(found->gl_pathv[i]);
        if (paths[i] == NULL) {
            os_dir_names_free(paths, (unsigned)i);
            return ERR(MEMORY);
        }
    }
    *ret_paths = paths;
    return ERR_OK;
}

/* A directory that cannot be read is no match left out in silence. */
static _Thread_local int glob_errno;

static int glob_failed(const char *path, int no)
{
    (void)path;
    if (no == ENOENT || no == ENOTDIR)
        return 0;
    glob_errno = no;
    return 1;
}

err os_file_glob(const char *pattern, char ***ret_paths)
{
    glob_t found = {0};
    err result;

    glob_errno = EIO;
    switch (glob(pattern, 0, glob_failed, &found)) {
    case 0:
    case GLOB_NOMATCH:
        result = paths_copy(&found, ret_paths);
        break;
    case GLOB_NOSPACE:
        result = ERR(MEMORY);
        break;
    default:
        result = ERR_SYS(glob_errno);
    }
    globfree(&found);
    return result;
}

err os_append_write(int fd, slice bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.data, bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ERR_SYS(errno);
        bytes = slice_from(bytes, (size_t)n);
    }
    return ERR_OK;
}

MUST_USE static err dir_sync(const char *path)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int fd;
    err result = ERR_OK;

    if (slash == NULL)
        snprintf(dir, sizeof(dir), ".");
    else
        snprintf(dir, sizeof(dir), "%.*s", slash == path ? 1 : (int)(slash - path), path);
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return ERR_SYS(errno);
    /* Some file systems cannot flush a directory and say EINVAL: nothing more can be done there. */
    if (fsync(fd) != 0 && errno != EINVAL)
        result = ERR_SYS(errno);
    close(fd);
    return result;
}

MUST_USE static err temp_fill(int fd, slice bytes, unsigned mode)
{
    TRY(os_append_write(fd, bytes));
    if (fchmod(fd, mode) != 0 || fsync(fd) != 0)
        return ERR_SYS(errno);
    return ERR_OK;
}

err os_file_stage(const char *path, slice bytes, unsigned mode, char *ret_temp, size_t size)
{
    int fd, n = snprintf(ret_temp, size, "%s.XXXXXX", path);
    err result;

    ENSURE(n > 0 && (size_t)n < size, INVALID);
    fd = mkostemp(ret_temp, O_CLOEXEC);
    if (fd < 0)
        return ERR_SYS(errno);
    result = temp_fill(fd, bytes, mode);
    close(fd);
    if (!err_is_ok(result))
        unlink(ret_temp);
    return result;
}

err os_file_rename(const char *from, const char *to)
{
    return rename(from, to) == 0 ? ERR_OK : ERR_SYS(errno);
}

err os_file_rename_flush(const char *to)
{
    return dir_sync(to);
}

err os_file_write(const char *path, slice bytes, unsigned mode)
{
    char temp[PATH_MAX];

    TRY(os_file_stage(path, bytes, mode, temp, sizeof(temp)));
    if (rename(temp, path) != 0) {
        err failed = ERR_SYS(errno);
        unlink(temp);
        return failed;
    }
    return dir_sync(path);
}

err os_file_remove(const char *path)
{
    if (unlink(path) == 0)
        return ERR_OK;
    return errno == ENOENT ? ERR(NOT_FOUND) : ERR_SYS(errno);
}

void *os_file_memory(size_t size)
{
    void *memory = NULL;

    return posix_memalign(&memory, OS_FILE_MEMORY_ALIGN, MAX(size, (size_t)1)) == 0 ? memory : NULL;
}

err os_append_open(const char *path, int *ret_fd)
{
    int fd = strcmp(path, "-") == 0 ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)
                                    : open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
    if (fd < 0)
        return ERR_SYS(errno);
    *ret_fd = fd;
    return ERR_OK;
}

/* The directory that a file would be made in: it is there, and files can be made in it. */
MUST_USE static err parent_check(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *parent = slash == NULL ? strdup(".") : strndup(path, MAX((size_t)(slash - path), (size_t)1));
    struct stat stat;
    err result = ERR_OK;

    ENSURE(parent != NULL, MEMORY);
    if (lstat(path, &stat) == 0) /* a link that leads nowhere yet */
        result = ERR_OK;
    else if (access(parent, W_OK | X_OK) != 0)
        result = ERR_SYS(errno);
    free(parent);
    return result;
}

/* A pipe that nobody reads yet (ENXIO) is waited for by who opens it. */
err os_append_check(const char *path)
{
    int fd = strcmp(path, "-") == 0 ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)
                                    : open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0 && errno == ENOENT)
        return parent_check(path);
    if (fd < 0)
        return errno == ENXIO ? ERR_OK : ERR_SYS(errno);
    close(fd);
    return ERR_OK;
}

/* O_APPEND: the end is where the bytes come, whatever was cut before. */
err os_append_whole(int fd, slice bytes)
{
    off_t end = lseek(fd, 0, SEEK_END);
    err written = end >= 0 ? os_append_write(fd, bytes) : ERR_SYS(errno);

    if (!err_is_ok(written) && end >= 0 && ftruncate(fd, end) != 0)
        return ERR_SYS(errno);
    return written;
}

void os_append_close(int fd)
{
    close(fd);
}
