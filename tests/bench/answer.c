#include "answer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

void answer_make(struct answer *answer, const struct request *request, const char *fields)
{
    int len;

    *answer = (struct answer){0};
    if (request->if_none_match) {
        len = snprintf(answer->head, sizeof(answer->head),
                       "HTTP/1.1 304 Not Modified\r\n%sETag: \"%llu-%010llu\"\r\n\r\n", fields,
                       (unsigned long long)request->size, (unsigned long long)request->number);
    } else {
        len = snprintf(
            answer->head, sizeof(answer->head),
            "HTTP/1.1 200 OK\r\n%sETag: \"%llu-%010llu\"\r\nContent-Type: application/octet-stream\r\n"
            "Content-Length: %llu\r\n\r\n",
            fields, (unsigned long long)request->size, (unsigned long long)request->number,
            (unsigned long long)request->size);
        answer->body = pattern_of(request->number);
        answer->body_len = request->size;
    }
    if (len < 0 || (size_t)len >= sizeof(answer->head))
        die("answer head too long");
    answer->head_len = (size_t)len;
}

enum sending answer_send(struct answer *answer, int fd, uint64_t until)
{
    if (until > answer->body_len)
        until = answer->body_len;
    while (answer->head_sent < answer->head_len || answer->body_sent < until) {
        struct iovec parts[2] = {
            {answer->head + answer->head_sent, answer->head_len - answer->head_sent},
            {(void *)(uintptr_t)(answer->body + answer->body_sent), until - answer->body_sent},
        };
        bool with_head = parts[0].iov_len > 0;
        struct msghdr message = {.msg_iov = with_head ? parts : parts + 1,
                                 .msg_iovlen = 1 + (with_head && parts[1].iov_len > 0)};
        ssize_t n = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        size_t of_head;

        if (n < 0)
            return errno == EAGAIN ? BLOCKED : GONE;
        of_head = (size_t)n < parts[0].iov_len ? (size_t)n : parts[0].iov_len;
        answer->head_sent += of_head;
        answer->body_sent += (size_t)n - of_head;
    }
    return SENT;
}

const struct ready *ready_of(const struct request *request)
{
    static struct ready *ready[2][PATTERN_STARTS]; /* of one size in a run; [1] are 304s */
    static uint64_t size[2];
    struct ready **at = &ready[request->if_none_match][request->number % PATTERN_STARTS];

    if (size[request->if_none_match] != request->size) {
        for (size_t i = 0; i < PATTERN_STARTS; i++) {
            free(ready[request->if_none_match][i]);
            ready[request->if_none_match][i] = NULL;
        }
        size[request->if_none_match] = request->size;
    }
    if (*at == NULL) {
        struct answer answer;
        answer_make(&answer, request,
                    "Cache-Control: max-age=3600\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n");
        *at = malloc(sizeof(**at) + answer.head_len + answer.body_len);
        if (*at == NULL)
            die("malloc");
        (*at)->len = answer.head_len + answer.body_len;
        memcpy((*at)->bytes, answer.head, answer.head_len);
        if (answer.body_len > 0)
            memcpy((*at)->bytes + answer.head_len, answer.body, answer.body_len);
    }
    return *at;
}
