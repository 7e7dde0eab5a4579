#include "os/uring/door.h"

static void file_ask(struct uring *door, struct os_file_op *op)
{
    struct io_uring_sqe *sqe = uring_sqe(door);
    char *bytes = (char *)op->bytes + op->moved;
    uint32_t size = op->size - (uint32_t)op->moved;
    uint64_t at = op->at + (uint32_t)op->moved;

    switch ((enum os_file_kind)op->what) {
    case OS_FILE_READ:
        io_uring_prep_read(sqe, op->file->fd, bytes, size, at);
        break;
    case OS_FILE_WRITE:
        io_uring_prep_write(sqe, op->file->fd, bytes, size, at);
        break;
    case OS_FILE_SYNC:
        io_uring_prep_fsync(sqe, op->file->fd, IORING_FSYNC_DATASYNC);
        break;
    }
    io_uring_sqe_set_data64(sqe, uring_data(op, TAG_FILE));
}

void uring_file_submit(struct os_file_op *op)
{
    struct uring *door = uring_of(op->os);

    list_push_back(&door->files, &op->op.link);
    file_ask(door, op);
}

unsigned file_completed(struct uring *door, struct os_file_op *op, int32_t result)
{
    if (!kernel_file_moved(op, result)) {
        file_ask(door, op);
        return 0;
    }
    list_remove(&op->op.link);
    op->op.done(&op->op);
    return 1;
}

void uring_files_wait(struct uring *door)
{
    struct list ended = LIST_INIT(ended);
    struct io_uring_cqe *cqe;

    while (!list_is_empty(&door->files)) {
        (void)io_uring_submit_and_wait(&door->ring, 1);
        while (io_uring_peek_cqe(&door->ring, &cqe) == 0) {
            if (cqe->user_data != 0 && (cqe->user_data & TAG_MASK) == TAG_FILE) {
                struct os_file_op *op = (void *)(uintptr_t)(cqe->user_data & ~(uint64_t)TAG_MASK);
                list_remove(&op->op.link);
                list_push_back(&ended, &op->op.link);
            }
            io_uring_cqe_seen(&door->ring, cqe);
        }
    }
    list_splice_back(&door->files, &ended);
}
