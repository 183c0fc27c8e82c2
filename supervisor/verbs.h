/* What may be asked for over the control socket: one table of verbs. */
#ifndef SUPERVISOR_VERBS_H
#define SUPERVISOR_VERBS_H

struct control_client;

/* Callback of control_new; the argument is the struct supervisor. */
void verbs_request(
    struct control_client *client, const char *line, void *argument);

#endif
