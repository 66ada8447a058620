/* The agent's first thread: finds the host, answers it, and waits for another one when it has gone. */
#ifndef RELIVE_TALK_H
#define RELIVE_TALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol.h"

enum { SOCKET_PATH_LIMIT = 1024 };

/* Where the host listens from now on; a waiting agent tries at once. False: it is talking to a host (its pid in *busy).
 */
bool talk_summon(const char *socket_path, const uint8_t token[RELIVE_TOKEN_SIZE], int *busy);
/* The thread's main function. */
void *talk_main(void *unused);
/* Waits (a fraction of a millisecond) until the thread has opened what it needs and knocked at the host's door: the
 * program may give up its rights, or its view of the file system, as the first thing it does. */
void talk_wait_first_try(void);
void talk_fork_child(void);

#endif
