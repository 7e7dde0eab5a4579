/* h2_client: an HTTP/2 connection to an origin. */
#include "proto/client_own.h"

err h2_client_new(struct client *client, struct h2_client **ret_h2)
{
    (void)client, (void)ret_h2;
    return ERR(UNSUPPORTED);
}

unsigned h2_client_room(const struct h2_client *h2)
{
    (void)h2;
    return 0;
}

unsigned h2_client_room_max(const struct h2_client *h2)
{
    (void)h2;
    return 0;
}

struct client_stream *h2_client_begin(struct h2_client *h2, const struct client_request *request,
                                    const struct client_events *events, void *user)
{
    (void)h2, (void)request, (void)events, (void)user;
    return NULL;
}

void h2_client_close(struct h2_client *h2)
{
    (void)h2;
}
