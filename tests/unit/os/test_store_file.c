/* Files of a store, through both doors of the kernel: real files, devices and mounts. */
#include "unit_io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCK 4096u
#define MIB   (1u << 20)
#define OPS   200u

struct world {
    struct os *os;
    char dir[64], path[128];
    struct os_file file;
    bool inside_call;
    unsigned done;
    char device[32];
    err opened;
};

/* An operation that remembers its world and how often it was called back. */
struct call {
    struct os_file_op file;
    struct world *world;
    unsigned done;
};

static int world_setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    assert_true(err_is_ok(os_new(&(struct os_config){.io = TEST_IO}, &w->os)));
    snprintf(w->dir, sizeof(w->dir), "/var/tmp/warp-test-store-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->path, sizeof(w->path), "%s/store", w->dir);
    w->file.fd = -1;
    *state = w;
    return 0;
}

static int world_teardown(void **state)
{
    struct world *w = *state;

    os_file_close(&w->file);
    (void)umount2(w->dir, MNT_DETACH); /* of a test that failed */
    unlink(w->path);
    assert_int_equal(rmdir(w->dir), 0);
    os_free(w->os);
    free(w);
    return 0;
}

static void world_open(struct world *w, uint64_t size, unsigned wishes)
{
    assert_true(err_is_ok(os_file_open(w->path, size, wishes, &w->file)));
}

static void call_done(struct os_op *op)
{
    struct call *call = container_of(op, struct call, file.op);

    assert_false(call->world->inside_call);
    call->done++;
    call->world->done++;
}

static void call_start(struct world *w, struct call *call, enum os_file_kind what, void *bytes, uint64_t at,
                       uint32_t size)
{
    *call = (struct call){.world = w, .file = {.op.done = call_done, .file = &w->file, .what = (uint8_t)what,
                                               .bytes = bytes, .at = at, .size = size}};
    w->inside_call = true;
    os_file_submit(w->os, &call->file);
    w->inside_call = false;
    assert_int_equal(call->done, 0);
}

static void turn_until(struct world *w, unsigned done)
{
    uint64_t until = os_clock_ns() + UINT64_C(20000000000);

    while (w->done < done) {
        assert_true(os_clock_ns() < until);
        os_turn(w->os, until);
    }
    assert_int_equal(w->done, done);
}

static int32_t call_run(struct world *w, enum os_file_kind what, void *bytes, uint64_t at, uint32_t size)
{
    struct call call;

    call_start(w, &call, what, bytes, at, size);
    turn_until(w, w->done + 1);
    assert_int_equal(call.done, 1);
    return call.file.op.result;
}

static char *memory_of(size_t size, int byte)
{
    char *memory = os_file_memory(size);

    assert_non_null(memory);
    assert_int_equal((uintptr_t)memory % OS_FILE_MEMORY_ALIGN, 0);
    memset(memory, byte, size);
    return memory;
}

static void assert_all(const char *bytes, size_t size, int byte)
{
    for (size_t i = 0; i < size; i++)
        assert_int_equal((unsigned char)bytes[i], byte);
}

static void file_make(const char *path, off_t size, int byte)
{
    char *bytes = malloc((size_t)size + 1);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    memset(bytes, byte, (size_t)size);
    assert_int_equal(write(fd, bytes, (size_t)size), size);
    close(fd);
    free(bytes);
}

static struct stat stat_of(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return st;
}

static void assert_errno(err result, int sys)
{
    assert_int_equal(result.code, ERR_SYSTEM);
    assert_int_equal(result.sys, sys);
}

/* ---- opening ------------------------------------------------------------------------------------------------ */

static void new_file_is_allocated_whole(void **state)
{
    struct world *w = *state;
    struct stat st;

    umask(0);
    world_open(w, 3 * MIB, 0);
    st = stat_of(w->path);
    assert_int_equal(st.st_size, 3 * MIB);
    assert_true((uint64_t)st.st_blocks * 512 >= 3 * MIB);
    assert_int_equal(st.st_mode, S_IFREG | 0600);
    assert_int_equal(w->file.size_bytes, 3 * MIB);
    assert_false(w->file.is_device);
    assert_true(w->file.is_direct ? w->file.align_bytes >= BLOCK : w->file.align_bytes == 1);
    assert_true(fcntl(w->file.fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(!!(fcntl(w->file.fd, F_GETFL) & O_DIRECT), w->file.is_direct);
    assert_false(fcntl(w->file.fd, F_GETFL) & O_NONBLOCK);
}

static void holes_are_filled(void **state)
{
    struct world *w = *state;
    char *memory = memory_of(BLOCK, 0xff);

    file_make(w->path, BLOCK, 'k');
    assert_int_equal(truncate(w->path, 2 * MIB), 0);
    assert_true((uint64_t)stat_of(w->path).st_blocks * 512 < MIB);
    world_open(w, 2 * MIB, 0);
    assert_true((uint64_t)stat_of(w->path).st_blocks * 512 >= 2 * MIB);
    assert_int_equal(call_run(w, OS_FILE_READ, memory, 0, BLOCK), BLOCK);
    assert_all(memory, BLOCK, 'k');
    assert_int_equal(call_run(w, OS_FILE_READ, memory, MIB, BLOCK), BLOCK);
    assert_all(memory, BLOCK, 0);
    free(memory);
}

static void longer_file_is_cut(void **state)
{
    struct world *w = *state;

    file_make(w->path, MIB, 'k');
    world_open(w, 16 * BLOCK, 0);
    assert_int_equal(stat_of(w->path).st_size, 16 * BLOCK);
    assert_int_equal(w->file.size_bytes, 16 * BLOCK);
}

static void size_zero_leaves_it(void **state)
{
    struct world *w = *state;

    file_make(w->path, 5000, 'k');
    world_open(w, 0, 0);
    assert_int_equal(stat_of(w->path).st_size, 5000);
    assert_int_equal(w->file.size_bytes, 5000);
}

static void existing_is_not_made(void **state)
{
    struct world *w = *state;

    assert_errno(os_file_open(w->path, MIB, OS_FILE_EXISTING, &w->file), ENOENT);
    assert_int_equal(access(w->path, F_OK), -1);
    file_make(w->path, 5000, 'k');
    world_open(w, 0, OS_FILE_EXISTING);
    assert_int_equal(w->file.size_bytes, 5000);
}

static void other_things_are_refused(void **state)
{
    struct world *w = *state;
    struct os_file file = {.fd = -1};
    char link_path[200];

    assert_int_equal(os_file_open(w->dir, MIB, 0, &file).code, ERR_INVALID);
    assert_int_equal(os_file_open("/dev/null", MIB, 0, &file).code, ERR_INVALID);
    assert_int_equal(mkfifo(w->path, 0600), 0);
    assert_int_equal(os_file_open(w->path, MIB, 0, &file).code, ERR_INVALID);
    assert_int_equal(unlink(w->path), 0);
    snprintf(link_path, sizeof(link_path), "%s/none/store", w->dir);
    assert_errno(os_file_open(link_path, MIB, 0, &file), ENOENT);

    file_make(w->path, 5000, 'k');
    snprintf(link_path, sizeof(link_path), "%s/link", w->dir);
    assert_int_equal(symlink(w->path, link_path), 0);
    assert_errno(os_file_open(link_path, MIB, 0, &file), ELOOP);
    assert_int_equal(stat_of(w->path).st_size, 5000);
    assert_int_equal(unlink(w->path), 0);
    assert_errno(os_file_open(link_path, MIB, 0, &file), ELOOP); /* nothing is made where it leads */
    assert_int_equal(access(w->path, F_OK), -1);
    assert_int_equal(unlink(link_path), 0);
    assert_int_equal(file.fd, -1);
}

/* More than the process may write is an error, not a signal. */
static void process_limit_is_an_error(void **state)
{
    struct world *w = *state;
    struct rlimit before, limit = {MIB, RLIM_INFINITY};
    struct os_file file = {.fd = -1};
    err result;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    result = os_file_open(w->path, 2 * MIB, 0, &file);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_errno(result, EFBIG);
    assert_int_equal(access(w->path, F_OK), -1);
    assert_errno(os_file_open(w->path, UINT64_MAX, 0, &file), EFBIG);
}

/* ---- the lock ----------------------------------------------------------------------------------------------- */

/* Opens the file, says so, holds it until it hears the end of its input. */
static void holder_main(const char *path, int say, int hear)
{
    struct os_file file;
    char byte = err_is_ok(os_file_open(path, MIB, 0, &file)) ? 'y' : 'n';

    if (write(say, &byte, 1) != 1 || read(hear, &byte, 1) != 0)
        _exit(1);
    _exit(0); /* the lock goes with its holder */
}

static void second_process_is_kept_out(void **state)
{
    struct world *w = *state;
    int said[2], heard[2], status;
    char byte = 'n';
    pid_t child;

    assert_int_equal(pipe2(said, O_CLOEXEC), 0);
    assert_int_equal(pipe2(heard, O_CLOEXEC), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(heard[1]);
        holder_main(w->path, said[1], heard[0]);
    }
    assert_int_equal(read(said[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    /* Neither longer nor shorter: it is not touched. */
    assert_errno(os_file_open(w->path, 2 * MIB, 0, &w->file), EWOULDBLOCK);
    assert_errno(os_file_open(w->path, BLOCK, 0, &w->file), EWOULDBLOCK);
    assert_int_equal(stat_of(w->path).st_size, MIB);
    close(heard[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    world_open(w, 2 * MIB, 0);
    assert_int_equal(stat_of(w->path).st_size, 2 * MIB);
    close(said[0]);
    close(said[1]);
    close(heard[0]);
}

static void same_process_is_kept_out(void **state)
{
    struct world *w = *state;
    struct os_file second = {.fd = -1};

    world_open(w, MIB, 0);
    assert_errno(os_file_open(w->path, MIB, 0, &second), EWOULDBLOCK);
    os_file_close(&w->file);
    assert_int_equal(w->file.fd, -1);
    os_file_close(&w->file); /* fine again */
    world_open(w, MIB, 0);
}

/* ---- operations --------------------------------------------------------------------------------------------- */

static void written_is_read_back(void **state)
{
    struct world *w = *state;
    char *out = memory_of(4 * BLOCK, 'w'), *in = memory_of(4 * BLOCK, 0xff);

    world_open(w, MIB, 0);
    assert_int_equal(call_run(w, OS_FILE_READ, in, 0, 4 * BLOCK), 4 * BLOCK);
    assert_all(in, 4 * BLOCK, 0);
    assert_int_equal(call_run(w, OS_FILE_WRITE, out, 8 * BLOCK, 4 * BLOCK), 4 * BLOCK);
    assert_int_equal(call_run(w, OS_FILE_SYNC, NULL, 0, 0), 0);
    assert_int_equal(call_run(w, OS_FILE_READ, in, 9 * BLOCK, 4 * BLOCK), 4 * BLOCK);
    assert_all(in, 3 * BLOCK, 'w');
    assert_all(in + 3 * BLOCK, BLOCK, 0);
    free(out);
    free(in);
}

static void done_at_once(void **state)
{
    struct world *w = *state;
    char *memory = memory_of(2 * BLOCK, 'w');
    int fd;

    file_make(w->path, 5000, 'k');
    world_open(w, 0, 0);
    assert_true(err_is_ok(os_file_now(&w->file, OS_FILE_WRITE, memory, BLOCK, 0)));
    assert_true(err_is_ok(os_file_now(&w->file, OS_FILE_SYNC, NULL, 0, 0)));
    memset(memory, 0xff, 2 * BLOCK);
    assert_true(err_is_ok(os_file_now(&w->file, OS_FILE_READ, memory, 2 * BLOCK, 0)));
    assert_all(memory, BLOCK, 'w');
    assert_all(memory + BLOCK, 5000 - BLOCK, 'k');
    assert_all(memory + 5000, 2 * BLOCK - 5000, 0);
    fd = w->file.fd;
    w->file.fd = open(w->path, O_RDONLY | O_CLOEXEC);
    assert_errno(os_file_now(&w->file, OS_FILE_WRITE, memory, BLOCK, 0), EBADF);
    close(w->file.fd);
    w->file.fd = fd;
    free(memory);
}

static void devices_are_known(void **state)
{
    struct world *w = *state;

    assert_false(os_path_is_device(w->path));
    assert_false(os_path_is_device(w->dir));
    assert_false(os_path_is_device("/dev/null"));
    assert_int_equal(os_process_id(), getpid());
}

/* The length of operation i, its place in a file of equal places, its bytes. */
static uint32_t many_size(unsigned i)
{
    return (1 + i % 16) * BLOCK;
}

static void many_fill(char *bytes, unsigned i)
{
    for (uint32_t at = 0; at < many_size(i); at += 8)
        memcpy(bytes + at, &(uint64_t){(uint64_t)i << 32 | at}, 8);
}

static void many_start(struct world *w, struct call *calls, enum os_file_kind what, char **memory)
{
    for (unsigned i = 0; i < OPS; i++) {
        if (what == OS_FILE_WRITE)
            many_fill(memory[i], i);
        else
            memset(memory[i], 0xff, 16 * BLOCK);
        call_start(w, &calls[i], what, memory[i], (uint64_t)i * 16 * BLOCK, many_size(i));
    }
}

static void many_are_under_way(struct world *w, unsigned wishes)
{
    static struct call calls[OPS];
    char *memory[OPS], want[16 * BLOCK];

    for (unsigned i = 0; i < OPS; i++)
        memory[i] = memory_of(16 * BLOCK, 0);
    world_open(w, (uint64_t)OPS * 16 * BLOCK, wishes);
    assert_int_equal(w->file.is_direct && (wishes & OS_FILE_BUFFERED), 0);
    for (unsigned round = 0; round < 2; round++) {
        w->done = 0;
        many_start(w, calls, round == 0 ? OS_FILE_WRITE : OS_FILE_READ, memory);
        turn_until(w, OPS);
        for (unsigned i = 0; i < OPS; i++) {
            assert_int_equal(calls[i].done, 1);
            assert_int_equal(calls[i].file.op.result, many_size(i));
        }
        assert_int_equal(call_run(w, OS_FILE_SYNC, NULL, 0, 0), 0);
    }
    for (unsigned i = 0; i < OPS; i++) {
        many_fill(want, i);
        assert_memory_equal(memory[i], want, many_size(i));
        free(memory[i]);
    }
}

static void many_direct(void **state)
{
    many_are_under_way(*state, 0);
}

static void many_buffered(void **state)
{
    many_are_under_way(*state, OS_FILE_BUFFERED);
}

/* No byte of what the memory held before is told as the file's. */
static void reads_beyond_the_end_are_zeros(void **state)
{
    struct world *w = *state;

    for (unsigned wishes = 0; wishes <= OS_FILE_BUFFERED; wishes++) {
        char *memory = memory_of(4 * BLOCK, 0xff);
        file_make(w->path, 5000, 'k');
        world_open(w, 0, wishes);
        assert_int_equal(call_run(w, OS_FILE_READ, memory, 0, 4 * BLOCK), 4 * BLOCK);
        assert_all(memory, 5000, 'k');
        assert_all(memory + 5000, 4 * BLOCK - 5000, 0);
        memset(memory, 0xff, 4 * BLOCK);
        assert_int_equal(call_run(w, OS_FILE_READ, memory, 64 * BLOCK, 4 * BLOCK), 4 * BLOCK);
        assert_all(memory, 4 * BLOCK, 0);
        os_file_close(&w->file);
        free(memory);
    }
}

/* Cut by somebody while it is open: what is gone reads as zeros. */
static void truncated_file_reads_zeros(void **state)
{
    struct world *w = *state;
    char *memory = memory_of(16 * BLOCK, 'w');

    world_open(w, 16 * BLOCK, 0);
    assert_int_equal(call_run(w, OS_FILE_WRITE, memory, 0, 16 * BLOCK), 16 * BLOCK);
    assert_int_equal(truncate(w->path, 2 * BLOCK + 100), 0);
    assert_int_equal(call_run(w, OS_FILE_READ, memory, 0, 16 * BLOCK), 16 * BLOCK);
    assert_all(memory, 2 * BLOCK + 100, 'w');
    assert_all(memory + 2 * BLOCK + 100, 14 * BLOCK - 100, 0);
    free(memory);
}

static void buffered_needs_no_alignment(void **state)
{
    struct world *w = *state;
    char bytes[8];

    world_open(w, MIB, OS_FILE_BUFFERED);
    assert_false(w->file.is_direct);
    assert_int_equal(w->file.align_bytes, 1);
    assert_int_equal(call_run(w, OS_FILE_WRITE, (char[]){"hello"}, 7, 5), 5);
    assert_int_equal(call_run(w, OS_FILE_READ, bytes, 6, 7), 7);
    assert_memory_equal(bytes, "\0hello\0", 7);
}

static void errors_are_told(void **state)
{
    struct world *w = *state;
    char *memory = memory_of(BLOCK, 'w');
    char *none = mmap(NULL, BLOCK, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int fd;

    assert_true(none != MAP_FAILED);
    world_open(w, MIB, 0);
    assert_int_equal(call_run(w, OS_FILE_READ, none, 0, BLOCK), -EFAULT);
    assert_int_equal(call_run(w, OS_FILE_WRITE, none, 0, BLOCK), -EFAULT);
    fd = w->file.fd;
    w->file.fd = open(w->path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(call_run(w, OS_FILE_WRITE, memory, 0, BLOCK), -EBADF);
    close(w->file.fd);
    w->file.fd = open(w->path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(call_run(w, OS_FILE_READ, memory, 0, BLOCK), -EBADF);
    close(w->file.fd);
    w->file.fd = fd;
    assert_int_equal(call_run(w, OS_FILE_WRITE, memory, 0, BLOCK), BLOCK); /* it goes on */
    munmap(none, BLOCK);
    free(memory);
}

/* The device takes a part and then no more: never a short result. */
static void partial_write_is_an_error(void **state)
{
    struct world *w = *state;
    struct rlimit before, limit;
    char *memory = memory_of(4 * BLOCK, 'w');
    int32_t result;

    world_open(w, 8 * BLOCK, OS_FILE_BUFFERED);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = (struct rlimit){6 * BLOCK, before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    result = call_run(w, OS_FILE_WRITE, memory, 4 * BLOCK, 4 * BLOCK);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(result, -EFBIG);
    assert_int_equal(call_run(w, OS_FILE_READ, memory, 0, 4 * BLOCK), 4 * BLOCK);
    assert_all(memory, 4 * BLOCK, 0);
    free(memory);
}

/* What is under way ends before the door has gone; each is called back and told so. */
static void free_waits_for_what_is_under_way(void **state)
{
    static struct call calls[OPS];
    struct world *w = *state, other;
    char *memory[OPS], *bytes;
    size_t len;

    world_open(w, (uint64_t)OPS * 16 * BLOCK, 0);
    other = *w; /* another door, which keeps going what they share */
    assert_true(err_is_ok(os_new(&(struct os_config){.io = TEST_IO}, &other.os)));
    assert_int_equal(call_run(&other, OS_FILE_SYNC, NULL, 0, 0), 0);
    for (unsigned i = 0; i < OPS; i++)
        memory[i] = memory_of(16 * BLOCK, 0);
    assert_int_equal(call_run(w, OS_FILE_SYNC, NULL, 0, 0), 0);
    w->done = 0;
    many_start(w, calls, OS_FILE_WRITE, memory);
    w->os = os_free(w->os);
    assert_int_equal(w->done, OPS);
    for (unsigned i = 0; i < OPS; i++) {
        assert_int_equal(calls[i].done, 1);
        assert_int_equal(calls[i].file.op.result, -ECANCELED);
        free(memory[i]);
    }
    assert_true(err_is_ok(os_file_read(w->path, (size_t)OPS * 16 * BLOCK, &bytes, &len)));
    for (unsigned i = 0; i < OPS; i++) {
        char want[16 * BLOCK];
        many_fill(want, i);
        assert_memory_equal(bytes + (size_t)i * 16 * BLOCK, want, many_size(i));
    }
    assert_int_equal(call_run(&other, OS_FILE_SYNC, NULL, 0, 0), 0);
    os_free(other.os);
    free(bytes);
}

struct late {
    int to, task;
};

/* Writes when that thread sleeps. */
static void late_main(void *arg)
{
    struct late *late = arg;
    char path[64], text[512], *state = NULL;

    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", late->task);
    do {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = read(fd, text, sizeof(text) - 1);
        close(fd);
        text[MAX(n, 0)] = '\0';
        state = strrchr(text, ')');
    } while (state == NULL || state[2] != 'S');
    assert_int_equal(write(late->to, "late", 4), 4);
}

/* io_uring reads a pipe too, for as long as it takes: nothing comes into memory that the door has given up. */
static void free_waits_for_as_long_as_it_takes(void **state)
{
    struct world *w = *state;
    struct os_thread *thread;
    struct call call;
    char bytes[4] = "none";
    int ends[2];

    if (TEST_IO != OS_IO_URING)
        skip(); /* pread does not */
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    w->file = (struct os_file){.fd = ends[0], .align_bytes = 1};
    call_start(w, &call, OS_FILE_READ, bytes, 0, sizeof(bytes));
    os_turn(w->os, 0);
    assert_int_equal(call.done, 0);
    assert_true(err_is_ok(os_thread_start("late", late_main, &(struct late){ends[1], (int)getpid()}, &thread)));
    w->os = os_free(w->os);
    os_thread_join(thread);
    assert_memory_equal(bytes, "late", 4);
    assert_int_equal(call.done, 1);
    assert_int_equal(call.file.op.result, -ECANCELED);
    close(ends[1]);
}

/* ---- several threads ------------------------------------------------------------------------------------------ */

struct second {
    struct world world;
    uint64_t at;
};

static void second_main(void *arg)
{
    struct second *second = arg;
    struct world *w = &second->world;
    char *memory = memory_of(BLOCK, 0);

    assert_true(err_is_ok(os_new(&(struct os_config){.io = TEST_IO}, &w->os)));
    for (unsigned round = 0; round < 50; round++) {
        memset(memory, (int)(second->at / BLOCK + round) & 0xff, BLOCK);
        assert_int_equal(call_run(w, OS_FILE_WRITE, memory, second->at, BLOCK), BLOCK);
        memset(memory, 0xff, BLOCK);
        assert_int_equal(call_run(w, OS_FILE_READ, memory, second->at, BLOCK), BLOCK);
        assert_all(memory, BLOCK, (int)(second->at / BLOCK + round) & 0xff);
    }
    assert_int_equal(call_run(w, OS_FILE_SYNC, NULL, 0, 0), 0);
    os_free(w->os);
    free(memory);
}

static void threads_share_a_file(void **state)
{
    struct world *w = *state;
    struct second seconds[4];
    struct os_thread *threads[ARRAY_LEN(seconds)];

    world_open(w, MIB, 0);
    for (unsigned i = 0; i < ARRAY_LEN(seconds); i++) {
        seconds[i] = (struct second){.world = {.file = w->file}, .at = (uint64_t)i * BLOCK};
        assert_true(err_is_ok(os_thread_start("second", second_main, &seconds[i], &threads[i])));
    }
    for (unsigned i = 0; i < ARRAY_LEN(seconds); i++)
        os_thread_join(threads[i]);
}

/* True: that thread is one of this thread's door's helpers, and may run on those CPUs alone. */
static bool helper_check(const char *id, const char *cpus)
{
    char path[300], line[256], want[64], kernels[64];
    bool is_helper = false;
    FILE *status;

    snprintf(path, sizeof(path), "/proc/self/task/%s/status", id);
    snprintf(kernels, sizeof(kernels), "Name:\tiou-wrk-%d\n", (int)gettid());
    snprintf(want, sizeof(want), "Cpus_allowed_list:\t%s\n", cpus);
    if ((status = fopen(path, "r")) == NULL)
        return false; /* it has just ended */
    while (fgets(line, sizeof(line), status) != NULL) {
        is_helper |= strncmp(line, "Name:\twarp-io-", 14) == 0 || strcmp(line, kernels) == 0;
        if (is_helper && strncmp(line, "Cpus_allowed_list:", 18) == 0)
            assert_string_equal(line, want);
    }
    fclose(status);
    return is_helper;
}

static unsigned helpers_check(const char *cpus)
{
    DIR *dir = opendir("/proc/self/task");
    struct dirent *entry;
    unsigned count = 0;

    while ((entry = readdir(dir)) != NULL)
        count += entry->d_name[0] != '.' && helper_check(entry->d_name, cpus);
    closedir(dir);
    return count;
}

/* A thread that has never been on another CPU, nor a helper of its own. */
static void kept_main(void *arg)
{
    static struct call calls[OPS];
    struct world *w = arg;
    char *memory = memory_of(BLOCK, 'w');

    os_free(w->os);
    assert_true(err_is_ok(os_new(&(struct os_config){.io = TEST_IO}, &w->os)));
    world_open(w, MIB, OS_FILE_BUFFERED);
    for (unsigned i = 0; i < OPS; i += 2) {
        call_start(w, &calls[i], OS_FILE_WRITE, memory, i % 64 * BLOCK, BLOCK);
        call_start(w, &calls[i + 1], OS_FILE_SYNC, NULL, 0, 0);
    }
    turn_until(w, OPS);
    assert_in_range(helpers_check("0"), 1, 4);
    w->os = os_free(w->os);
    free(memory);
}

/* Whoever does the work, of ours or of the kernel's, runs where we may. */
static void helpers_keep_to_the_mask(void **state)
{
    struct os_thread *thread;
    cpu_set_t before, one;

    assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    if (!CPU_ISSET(0, &before) || CPU_COUNT(&before) < 2)
        skip();
    assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
    assert_true(err_is_ok(os_thread_start("kept", kept_main, *state, &thread)));
    os_thread_join(thread);
    assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
}

/* ---- mounts and devices: as root ------------------------------------------------------------------------------ */

/* A loop device over path, which goes with its last user; -1: not here. */
static int loop_attach(const char *path, char *ret_device, size_t size)
{
    const struct loop_info64 info = {.lo_flags = LO_FLAGS_AUTOCLEAR};
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), number, device = -1, fd;

    for (unsigned tries = 0; control >= 0 && device < 0 && tries < 20; tries++) { /* others take free ones too */
        number = ioctl(control, LOOP_CTL_GET_FREE);
        snprintf(ret_device, size, "/dev/loop%d", number);
        device = number >= 0 ? open(ret_device, O_RDWR | O_CLOEXEC) : -1;
        fd = open(path, O_RDWR | O_CLOEXEC);
        if (device >= 0 && ioctl(device, LOOP_SET_FD, fd) != 0) {
            close(device);
            device = -1;
        }
        close(fd);
    }
    if (control >= 0)
        close(control);
    assert_true(device < 0 || ioctl(device, LOOP_SET_STATUS64, &info) == 0);
    return device;
}

static void mount_tmpfs(struct world *w)
{
    if (mount("warp-test", w->dir, "tmpfs", MS_NOSUID | MS_NODEV, "size=1m") != 0) {
        printf("cannot mount here: not run\n");
        skip();
    }
}

/* Of 1 MiB, on a loop device over a file of ours. */
static void mount_ext4(struct world *w)
{
    char command[200];
    int loop;

    file_make(w->path, MIB, 0);
    loop = loop_attach(w->path, w->device, sizeof(w->device));
    assert_int_equal(unlink(w->path), 0);
    snprintf(command, sizeof(command), "mkfs.ext4 -q -O ^has_journal %s 2>/dev/null", w->device);
    if (loop < 0 || system(command) != 0 || mount(w->device, w->dir, "ext4", MS_NOSUID | MS_NODEV, NULL) != 0) {
        printf("cannot make or mount a file system here: not run\n");
        close(loop);
        skip();
    }
    close(loop);
}

static void no_room_leaves_nothing_behind(struct world *w)
{
    struct os_file file = {.fd = -1};
    char *memory = memory_of(BLOCK, 'w');

    assert_errno(os_file_open(w->path, 2 * MIB, 0, &file), ENOSPC);
    assert_int_equal(access(w->path, F_OK), -1);
    file_make(w->path, 5000, 'k');
    assert_errno(os_file_open(w->path, 2 * MIB, 0, &file), ENOSPC); /* one that was there stays, as it was */
    assert_int_equal(stat_of(w->path).st_size, 5000);
    assert_true(stat_of(w->path).st_blocks <= 16);
    world_open(w, MIB / 2, 0); /* there is room for this; O_DIRECT or not, as this kernel has it */
    assert_true(w->file.is_direct ? w->file.align_bytes >= BLOCK : w->file.align_bytes == 1);
    assert_int_equal(call_run(w, OS_FILE_WRITE, memory, 4 * BLOCK, BLOCK), BLOCK);
    memset(memory, 0xff, BLOCK);
    assert_int_equal(call_run(w, OS_FILE_READ, memory, 4 * BLOCK, BLOCK), BLOCK);
    assert_all(memory, BLOCK, 'w');
    os_file_close(&w->file);
    assert_int_equal(mount(NULL, w->dir, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
    assert_errno(os_file_open(w->path, MIB / 2, 0, &file), EROFS);
    assert_int_equal(umount(w->dir), 0);
    free(memory);
}

static void no_room_in_tmpfs(void **state)
{
    mount_tmpfs(*state);
    no_room_leaves_nothing_behind(*state);
}

static void no_room_in_ext4(void **state)
{
    mount_ext4(*state);
    no_room_leaves_nothing_behind(*state);
}

static void block_device_is_a_store(void **state)
{
    struct world *w = *state;
    struct os_file second = {.fd = -1};
    char *memory = memory_of(4 * BLOCK, 'w'), device[32];
    int loop;

    file_make(w->path, 2 * MIB, 'k');
    loop = loop_attach(w->path, device, sizeof(device));
    if (loop < 0) {
        printf("no loop device to be had here: not run\n");
        skip();
    }
    assert_int_equal(os_file_open(device, 2 * MIB + 512, 0, &w->file).code, ERR_INVALID);
    assert_true(err_is_ok(os_file_open(device, MIB, 0, &w->file)));
    assert_true(w->file.is_device && os_path_is_device(device));
    assert_int_equal(w->file.size_bytes, 2 * MIB);
    assert_true(w->file.is_direct ? w->file.align_bytes >= BLOCK : w->file.align_bytes == 1);
    assert_errno(os_file_open(device, MIB, 0, &second), EWOULDBLOCK);
    assert_int_equal(call_run(w, OS_FILE_WRITE, memory, MIB, 4 * BLOCK), 4 * BLOCK);
    assert_int_equal(call_run(w, OS_FILE_SYNC, NULL, 0, 0), 0);
    memset(memory, 0xff, 4 * BLOCK);
    assert_int_equal(call_run(w, OS_FILE_READ, memory, MIB - BLOCK, 4 * BLOCK), 4 * BLOCK);
    assert_all(memory, BLOCK, 'k');
    assert_all(memory + BLOCK, 3 * BLOCK, 'w');
    assert_int_equal(call_run(w, OS_FILE_READ, memory, 2 * MIB - 2 * BLOCK, 4 * BLOCK), 4 * BLOCK);
    assert_all(memory, 2 * BLOCK, 'k');
    assert_all(memory + 2 * BLOCK, 2 * BLOCK, 0);
    assert_int_equal(call_run(w, OS_FILE_WRITE, memory, 2 * MIB, BLOCK), -ENOSPC);
    assert_true(call_run(w, OS_FILE_WRITE, memory, 2 * MIB - BLOCK, 2 * BLOCK) < 0); /* half of it has room */
    os_file_close(&w->file);
    close(loop);
    free(memory);
}

static void opener_main(void *arg)
{
    struct world *w = arg;
    w->opened = os_file_open(w->device, MIB, 0, &w->file);
}

/* How often this process has it open. */
static unsigned opened_count(const char *path)
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *entry;
    unsigned count = 0;

    while ((entry = readdir(dir)) != NULL) {
        char target[300] = {0};
        count += readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1) > 0 && strcmp(target, path) == 0;
    }
    closedir(dir);
    return count;
}

/* Who looks what is on a device, as udev does whenever a writer has closed it, shares its lock for a moment: that is
 * waited for. */
static void prober_of_a_device_is_waited_for(void **state)
{
    struct world *w = *state;
    struct os_thread *thread;
    int loop, prober;

    file_make(w->path, 2 * MIB, 'k');
    loop = loop_attach(w->path, w->device, sizeof(w->device));
    if (loop < 0) {
        printf("no loop device to be had here: not run\n");
        skip();
    }
    prober = open(w->device, O_RDONLY | O_CLOEXEC);
    assert_int_equal(flock(prober, LOCK_SH), 0);
    assert_true(err_is_ok(os_thread_start("opener", opener_main, w, &thread)));
    while (opened_count(w->device) < 3)
        sched_yield();
    assert_int_equal(flock(prober, LOCK_UN), 0);
    os_thread_join(thread);
    assert_true(err_is_ok(w->opened));
    os_file_close(&w->file);
    assert_int_equal(flock(prober, LOCK_SH), 0); /* one that stays is somebody who uses it */
    assert_errno(os_file_open(w->device, MIB, 0, &w->file), EWOULDBLOCK);
    close(prober);
    close(loop);
}

static void mounted_device_is_refused(void **state)
{
    struct world *w = *state;
    char device[32];
    int loop, second;

    file_make(w->path, 2 * MIB, 'k');
    loop = loop_attach(w->path, device, sizeof(device));
    if (loop < 0) {
        printf("no loop device to be had here: not run\n");
        skip();
    }
    second = open(device, O_RDWR | O_EXCL | O_CLOEXEC); /* as a mount takes it */
    assert_true(second >= 0);
    assert_errno(os_file_open(device, MIB, 0, &w->file), EBUSY);
    close(second);
    close(loop);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(new_file_is_allocated_whole),
        TEST(holes_are_filled),
        TEST(longer_file_is_cut),
        TEST(size_zero_leaves_it),
        TEST(existing_is_not_made),
        TEST(other_things_are_refused),
        TEST(process_limit_is_an_error),
        TEST(second_process_is_kept_out),
        TEST(same_process_is_kept_out),
        TEST(written_is_read_back),
        TEST(done_at_once),
        TEST(devices_are_known),
        TEST(many_direct),
        TEST(many_buffered),
        TEST(reads_beyond_the_end_are_zeros),
        TEST(truncated_file_reads_zeros),
        TEST(buffered_needs_no_alignment),
        TEST(errors_are_told),
        TEST(partial_write_is_an_error),
        TEST(free_waits_for_what_is_under_way),
        TEST(free_waits_for_as_long_as_it_takes),
        TEST(threads_share_a_file),
        TEST(helpers_keep_to_the_mask),
        TEST(no_room_in_tmpfs),
        TEST(no_room_in_ext4),
        TEST(block_device_is_a_store),
        TEST(prober_of_a_device_is_waited_for),
        TEST(mounted_device_is_refused),
    };

    TEST_IO_NEEDED();
    return cmocka_run_group_tests_name("os/store_file", tests, NULL, NULL);
}
