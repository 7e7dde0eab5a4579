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

    door->files_under_way++;
    file_ask(door, op);
}

unsigned file_completed(struct uring *door, struct os_file_op *op, int32_t result)
{
    if (!kernel_file_moved(op, result)) {
        file_ask(door, op);
        return 0;
    }
    door->files_under_way--;
    op->op.done(&op->op);
    return 1;
}

void uring_files_wait(struct uring *door)
{
    struct io_uring_cqe *cqe;

    while (door->files_under_way > 0) {
        (void)io_uring_submit_and_wait(&door->ring, 1);
        while (io_uring_peek_cqe(&door->ring, &cqe) == 0) {
            door->files_under_way -= cqe->user_data != 0 && (cqe->user_data & TAG_MASK) == TAG_FILE;
            io_uring_cqe_seen(&door->ring, cqe);
        }
    }
}
