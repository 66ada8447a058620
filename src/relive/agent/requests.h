/* One function per question of the host: decodes it, has it done, writes the answer. Knows nothing of sockets. */
#ifndef RELIVE_REQUESTS_H
#define RELIVE_REQUESTS_H

#include "buffer.h"

#include <stdbool.h>
#include <stdint.h>

/* False: the request is malformed or of an unknown kind, and the host not worth talking to any longer. */
bool request_answer(uint16_t kind, struct reader *request, struct reply *reply);

#endif
