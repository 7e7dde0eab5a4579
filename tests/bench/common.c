#include "common.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

static char *pattern;

void pattern_init(uint64_t size_bytes_max)
{
    uint64_t size = size_bytes_max + PATTERN_STARTS + 64;

    pattern = malloc(size);
    if (pattern == NULL)
        die("malloc");
    for (uint64_t i = 0; i < size; i += 1) {
        uint64_t mixed = (i + 1) * 0x9e3779b97f4a7c15u;
        pattern[i] = (char)((mixed ^ (mixed >> 29)) >> 32);
    }
}

const char *pattern_of(uint64_t number)
{
    return pattern + number % PATTERN_STARTS;
}

static uint64_t digits(const char **at)
{
    uint64_t value = 0;

    for (; **at >= '0' && **at <= '9'; (*at)++)
        value = value * 10 + (uint64_t)(**at - '0');
    return value;
}

bool path_read(const char *path, size_t len, struct request *ret_request)
{
    struct request request = {0};
    const char *at = path + 1, *slash;
    size_t kind_len;

    if (len < 4 || path[0] != '/')
        return false;
    slash = memchr(at, '/', len - 1);
    if (slash == NULL || (kind_len = (size_t)(slash - at)) >= sizeof(request.kind))
        return false;
    memcpy(request.kind, at, kind_len);
    at = slash + 1;
    request.size = digits(&at);
    if (*at == '/') {
        at++;
        request.number = digits(&at);
    }
    if (request.size > OBJECT_SIZE_MAX)
        return false;
    *ret_request = request;
    return true;
}

bool request_read(const char *head, size_t len, size_t plain_len_max, struct request *ret_request)
{
    struct request request;

    /* The head ends in CR: digits stop before its end. */
    if (len < 16 || memcmp(head, "GET /", 5) != 0 || !path_read(head + 4, len - 4, &request))
        return false;
    if (len > plain_len_max) {
        const char *line = head;
        while ((line = memchr(line, '\n', len - (size_t)(line - head))) != NULL) {
            line++;
            if ((size_t)(head + len - line) > 14 && strncasecmp(line, "if-none-match:", 14) == 0)
                request.if_none_match = true;
        }
    }
    *ret_request = request;
    return true;
}

size_t head_length(const char *data, size_t len)
{
    const char *end;

    /* Most often one head came, whole. */
    if (len >= 4 && memcmp(data + len - 4, "\r\n\r\n", 4) == 0 &&
        memmem(data, len - 4, "\r\n\r\n", 4) == NULL)
        return len;
    end = memmem(data, len, "\r\n\r\n", 4);
    return end == NULL ? 0 : (size_t)(end + 4 - data);
}

int listen_on(const char *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
        die("socket");
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 4096) != 0)
        die("listen");
    return fd;
}

uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void die(const char *what)
{
    fprintf(stderr, "%s%s%s\n", what, errno != 0 ? ": " : "", errno != 0 ? strerror(errno) : "");
    exit(1);
}

void raise_files(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}
