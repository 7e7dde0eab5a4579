/* warp origin: the demo origin alone; and inside `warp run`, as a child process. */
#include "main/commands.h"

#include "demo/demo.h"
#include "os/process.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* One demo on one loop, told to end by signals. */
struct demo_process {
    struct loop *loop;
    struct demo *demo;
    struct os_watch signals;
    struct os_acceptor acceptor;
    bool reset;
};

static void demo_signal(struct os_watch *watch, uint32_t which)
{
    struct demo_process *process = container_of(watch, struct demo_process, signals);
    int signal;

    (void)which;
    while ((signal = os_signals_next(watch->fd)) != 0)
        if (signal == SIGTERM || signal == SIGINT)
            demo_stop(process->demo);
}

static void demo_stopped(void *arg)
{
    struct demo_process *process = arg;
    loop_stop(process->loop);
}

static void demo_accepted(struct os_acceptor *acceptor, int fd, const struct os_peer *peer)
{
    struct demo_process *process = acceptor->owner;
    demo_accept(process->demo, fd, peer);
}

static err demo_open(struct demo_process *process)
{
    TRY(loop_new(&(struct loop_config){.os.io = OS_IO_EPOLL}, &process->loop));
    TRY(demo_new(process->loop, &process->demo));
    demo_set_stopped(process->demo, demo_stopped, process);
    process->signals =
        (struct os_watch){.os = loop_os(process->loop), .fd = os_signals_open(), .want = 1, .ready = demo_signal};
    return os_watch_start(loop_os(process->loop), &process->signals);
}

static void demo_close(struct demo_process *process)
{
    if (process->signals.ready != NULL)
        os_watch_stop(&process->signals);
    demo_free(process->demo);
    loop_free(process->loop);
}

int demo_serve(struct os_listener *listener)
{
    static struct demo_process process;
    err result = demo_open(&process);

    process.acceptor = (struct os_acceptor){.listener = listener, .owner = &process, .accepted = demo_accepted};
    if (err_is_ok(result))
        result = os_accept_start(loop_os(process.loop), &process.acceptor);
    if (err_is_ok(result))
        loop_run(process.loop);
    os_accept_stop(&process.acceptor);
    demo_close(&process);
    return err_is_ok(result) ? 0 : 1;
}

/* --listen ADDR, --listen=ADDR; NULL when the words are something else. */
static const char *origin_address(int argc, char **argv)
{
    if (argc == 0)
        return DEMO_ADDRESS;
    if (argc == 2 && strcmp(argv[0], "--listen") == 0)
        return argv[1];
    if (argc == 1 && strncmp(argv[0], "--listen=", 9) == 0)
        return argv[0] + 9;
    return NULL;
}

int cmd_origin(int argc, char **argv)
{
    static struct demo_process process;
    const char *text = origin_address(argc, argv);
    struct os_address address, bound;
    char name[160];
    err result;

    if (text == NULL || !err_is_ok(os_address_parse(slice_str(text), &address))) {
        fprintf(stderr, "warp: usage: warp origin [--listen ADDR]; ADDR is 127.0.0.1:8001, :8001 or unix:/path\n");
        return 2;
    }
    if (!err_is_ok(os_signals_take()))
        return 1;
    result = demo_open(&process);
    if (err_is_ok(result))
        result = demo_listen(process.demo, &address, &bound);
    if (!err_is_ok(result)) {
        fprintf(stderr, "warp: cannot listen on %s: %s\n", text, err_text(result));
        return 1;
    }
    printf("demo origin on http://%s\n", os_address_text(&bound, name, sizeof(name)));
    fflush(stdout);
    loop_run(process.loop);
    demo_close(&process);
    return 0;
}
