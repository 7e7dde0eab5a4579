/* Files of a store, over the kernel: opening, locking, preallocating; what both doors do of an operation. */
#include "os/kernel.h"
#include "os/op.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define OPEN_TRIES      8u     /* the file was removed or made by somebody else between two calls */
#define PATIENT_TRIES (2000000000u / PROBER_WAIT_NS) /* two seconds */
#define PROBER_TRIES    100u   /* a second in all */
#define PROBER_WAIT_NS  10000000
#define ALIGN_BYTES_MAX 65536u /* a device that wants more is used without O_DIRECT */

struct opening {
    const char *path;
    unsigned wishes;
    int fd;
    bool is_new; /* made by us: removed again on failure */
    struct stat st;
};

/* ---- where a store lies ------------------------------------------------------------------------------------ */

bool os_path_is_device(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISBLK(st.st_mode);
}

MUST_USE static err dir_make_one(const char *path, unsigned mode)
{
    struct stat st;

    if (mkdir(path, mode) == 0)
        return ERR_OK;
    if (errno != EEXIST)
        return ERR_SYS(errno);
    if (stat(path, &st) != 0)
        return ERR_SYS(errno);
    return S_ISDIR(st.st_mode) ? ERR_OK : ERR_SYS(ENOTDIR);
}

err os_dir_make(const char *path, unsigned mode)
{
    char part[PATH_MAX];
    int n = snprintf(part, sizeof(part), "%s", path);

    ENSURE(n > 0 && (size_t)n < sizeof(part), INVALID);
    for (char *at = part + 1; *at != '\0'; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        TRY(dir_make_one(part, mode));
        *at = '/';
    }
    return dir_make_one(part, mode);
}

/* ---- the path: what is there, or a new file --------------------------------------------------------------- */

MUST_USE static err kind_check(mode_t mode)
{
    if (S_ISLNK(mode))
        return ERR_SYS(ELOOP);
    ENSURE(S_ISREG(mode) || S_ISBLK(mode), INVALID);
    return ERR_OK;
}

/* Busy is a device that is mounted or that another process has opened in this way: its lock tells which. */
static int device_busy_errno(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
    bool is_locked = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;

    if (fd >= 0)
        close(fd);
    return is_locked ? EWOULDBLOCK : EBUSY;
}

/* One look and one open; ret_again: what was seen is no longer so. */
MUST_USE static err path_open_once(struct opening *o, bool *ret_again)
{
    /* O_NONBLOCK: nothing that took the file's place since may hang the start. */
    int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK;
    bool is_there = lstat(o->path, &o->st) == 0;

    *ret_again = false;
    if (!is_there && errno != ENOENT)
        return ERR_SYS(errno);
    if (is_there) {
        TRY(kind_check(o->st.st_mode));
        flags |= S_ISBLK(o->st.st_mode) ? O_EXCL : 0; /* of a device: not while it is mounted */
    } else if (o->wishes & OS_FILE_EXISTING) {
        return ERR_SYS(ENOENT);
    } else {
        flags |= O_CREAT | O_EXCL;
    }
    o->fd = open(o->path, flags, 0600);
    o->is_new = !is_there && o->fd >= 0;
    if (o->fd >= 0)
        return ERR_OK;
    if (errno == EBUSY && is_there)
        return ERR_SYS(device_busy_errno(o->path));
    *ret_again = errno == (is_there ? ENOENT : EEXIST);
    return ERR_SYS(errno);
}

/* A device's lock is shared for a moment by who looks what is on it: udev does whenever a writer has closed it. */
static bool is_only_shared(const struct opening *o)
{
    if (!S_ISBLK(o->st.st_mode) || flock(o->fd, LOCK_SH | LOCK_NB) != 0)
        return false;
    flock(o->fd, LOCK_UN);
    return true;
}

/* 0, or the errno. */
static int lock_try(const struct opening *o)
{
    const struct timespec pause = {.tv_nsec = PROBER_WAIT_NS};
    int error = EWOULDBLOCK;

    unsigned tries_max = o->wishes & OS_FILE_PATIENT ? PATIENT_TRIES : PROBER_TRIES;
    for (unsigned tries = 0; tries < tries_max; tries++) {
        error = flock(o->fd, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
        if (error != EWOULDBLOCK || !(o->wishes & OS_FILE_PATIENT || is_only_shared(o)))
            break;
        nanosleep(&pause, NULL);
    }
    return error;
}

/* Before anything is changed. ret_again: who had it before us has removed it. */
MUST_USE static err lock_take(struct opening *o, bool *ret_again)
{
    int error = lock_try(o);

    if (error == 0 && fstat(o->fd, &o->st) != 0)
        error = errno;
    if (error == 0 && o->st.st_nlink == 0) {
        *ret_again = true;
        error = ENOENT;
    }
    if (error == 0)
        return kind_check(o->st.st_mode);
    o->is_new = false; /* what is at the path may be somebody else's by now */
    return ERR_SYS(error);
}

static void opening_undo(struct opening *o)
{
    if (o->fd < 0)
        return;
    if (o->is_new)
        unlink(o->path);
    close(o->fd); /* the lock goes last: nobody takes a file that is about to go */
    o->fd = -1;
}

MUST_USE static err path_open_locked(struct opening *o)
{
    err result = ERR_SYS(ENOENT);
    bool again = true;

    for (unsigned tries = 0; again && tries < OPEN_TRIES; tries++) {
        result = path_open_once(o, &again);
        if (err_is_ok(result))
            result = lock_take(o, &again);
        if (!err_is_ok(result))
            opening_undo(o);
    }
    return result;
}

/* ---- the size --------------------------------------------------------------------------------------------- */

MUST_USE static err device_size(int fd, uint64_t wanted, uint64_t *ret_size)
{
    if (ioctl(fd, BLKGETSIZE64, ret_size) != 0)
        return ERR_SYS(errno);
    ENSURE(*ret_size >= wanted && *ret_size > 0, INVALID);
    return ERR_OK;
}

/* Longer than the process may write would be a signal (SIGXFSZ), not an error. */
static bool is_within_limit(uint64_t size)
{
    struct rlimit limit;

    return size <= INT64_MAX &&
           (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY || size <= limit.rlim_cur);
}

/* Every byte, holes too: no write can fail for want of room later. */
MUST_USE static err plain_allocate(struct opening *o, uint64_t size)
{
    int error;

    if (!is_within_limit(size))
        return ERR_SYS(EFBIG);
    if ((uint64_t)o->st.st_size > size && ftruncate(o->fd, (off_t)size) != 0)
        return ERR_SYS(errno);
    do {
        error = posix_fallocate(o->fd, 0, (off_t)size);
    } while (error == EINTR);
    if (error == 0)
        return ERR_OK;
    if (!o->is_new && (uint64_t)o->st.st_size < size)
        (void)!ftruncate(o->fd, o->st.st_size); /* what was taken in vain goes back where it can */
    return ERR_SYS(error);
}

MUST_USE static err size_set(struct opening *o, uint64_t wanted, uint64_t *ret_size)
{
    if (S_ISBLK(o->st.st_mode))
        return device_size(o->fd, wanted, ret_size);
    if (wanted != 0)
        TRY(plain_allocate(o, wanted));
    *ret_size = wanted != 0 ? wanted : (uint64_t)o->st.st_size;
    return ERR_OK;
}

/* ---- direct or not ------------------------------------------------------------------------------------------ */

/* What operations must be multiples of; 0: it cannot be done directly. */
static uint32_t direct_align(const struct opening *o)
{
    struct statx stx;
    uint32_t align = OS_FILE_MEMORY_ALIGN;
    int logical = 0;

    if (statx(o->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 && (stx.stx_mask & STATX_DIOALIGN)) {
        if (stx.stx_dio_offset_align == 0 || stx.stx_dio_mem_align > OS_FILE_MEMORY_ALIGN)
            return 0;
        align = MAX(align, stx.stx_dio_offset_align);
    }
    if (S_ISBLK(o->st.st_mode) && ioctl(o->fd, BLKSSZGET, &logical) == 0 && logical > 0)
        align = MAX(align, (uint32_t)logical);
    return align <= ALIGN_BYTES_MAX && (align & (align - 1)) == 0 ? align : 0;
}

/* Some file systems take the flag and refuse the first operation. */
static bool direct_reads(int fd, uint32_t align)
{
    void *memory = os_file_memory(align);
    bool refused = memory == NULL || (pread(fd, memory, align, 0) < 0 && errno == EINVAL);

    free(memory);
    return !refused;
}

/* Clears O_NONBLOCK too, with which io_uring would not wait for the device. */
MUST_USE static err direct_choose(const struct opening *o, unsigned wishes, uint32_t *ret_align)
{
    uint32_t align = wishes & OS_FILE_BUFFERED ? 0 : direct_align(o);

    if (align != 0 && fcntl(o->fd, F_SETFL, O_DIRECT) == 0 && direct_reads(o->fd, align)) {
        *ret_align = align;
        return ERR_OK;
    }
    if (fcntl(o->fd, F_SETFL, 0) != 0)
        return ERR_SYS(errno);
    *ret_align = 1;
    return ERR_OK;
}

err os_file_open(const char *path, uint64_t size_bytes, unsigned wishes, struct os_file *ret_file)
{
    struct opening o = {.path = path, .wishes = wishes, .fd = -1};
    uint64_t size = 0;
    uint32_t align = 1;
    err result = path_open_locked(&o);

    if (err_is_ok(result))
        result = size_set(&o, size_bytes, &size);
    if (err_is_ok(result))
        result = direct_choose(&o, wishes, &align);
    if (!err_is_ok(result)) {
        opening_undo(&o);
        return result;
    }
    *ret_file = (struct os_file){.fd = o.fd,
                                 .align_bytes = align,
                                 .size_bytes = size,
                                 .is_direct = align > 1,
                                 .is_device = S_ISBLK(o.st.st_mode)};
    return ERR_OK;
}

void os_file_close(struct os_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
}

/* ---- operations --------------------------------------------------------------------------------------------- */

ssize_t kernel_file_call(const struct os_file_op *op)
{
    int fd = op->file->fd;
    char *bytes = (char *)op->bytes + op->moved;
    size_t size = op->size - (uint32_t)op->moved;
    off_t at = (off_t)(op->at + (uint32_t)op->moved);
    ssize_t n = -1;

    switch ((enum os_file_kind)op->what) {
    case OS_FILE_READ:
        n = pread(fd, bytes, size, at);
        break;
    case OS_FILE_WRITE:
        n = pwrite(fd, bytes, size, at);
        break;
    case OS_FILE_SYNC:
        n = fdatasync(fd);
        break;
    }
    return n >= 0 ? n : -errno;
}

bool kernel_file_moved(struct os_file_op *op, ssize_t n)
{
    /* Directly nothing ends in the middle of a block but the file itself: there is nothing behind it. */
    bool at_end;

    if (n == -EINTR || n == -EAGAIN)
        return false;
    if (n < 0 || op->what == OS_FILE_SYNC) {
        op->op.result = (int32_t)n;
        return true;
    }
    op->moved += (int32_t)n;
    at_end = n == 0 || (uint32_t)op->moved % op->file->align_bytes != 0;
    if ((uint32_t)op->moved < op->size && !at_end)
        return false;
    if ((uint32_t)op->moved < op->size && op->what == OS_FILE_READ)
        memset((char *)op->bytes + op->moved, 0, op->size - (uint32_t)op->moved);
    op->op.result = op->what == OS_FILE_WRITE && (uint32_t)op->moved < op->size ? -EIO : (int32_t)op->size;
    return true;
}

err os_file_now(struct os_file *file, enum os_file_kind what, void *bytes, uint32_t size, uint64_t at)
{
    struct os_file_op op = {.file = file, .bytes = bytes, .at = at, .size = size, .what = (uint8_t)what};

    op_file_begin(NULL, &op);
    while (!kernel_file_moved(&op, kernel_file_call(&op)))
        continue;
    return op.op.result < 0 ? ERR_SYS(-op.op.result) : ERR_OK;
}
