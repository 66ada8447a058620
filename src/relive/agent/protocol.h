/* What host and agent have agreed on: the twin of src/relive/wire/frames.py (tests/test_wire.py compares the two).
 *
 * A frame is a header of 12 bytes, then `size` bytes of payload; all numbers little-endian. The agent opens with HELLO,
 * the host answers WELCOME, then the host asks and the agent answers, one at a time, each answer with the kind and
 * sequence number of its question. status != 0 marks a failed answer whose payload is a sentence for the user. */
#ifndef RELIVE_PROTOCOL_H
#define RELIVE_PROTOCOL_H

#include <stdint.h>

#define RELIVE_VERSION 1
#define RELIVE_MAGIC 0x766c6572u /* "relv" */
#define RELIVE_TOKEN_SIZE 16
#define RELIVE_FRAME_LIMIT (64u << 20)
#define RELIVE_CODE_LIMIT 16 /* bytes of one code patch */

struct frame_header {
    uint32_t size;
    uint16_t kind;
    uint16_t status;
    uint32_t sequence;
};

enum kind {
    KIND_HELLO = 1,
    KIND_WELCOME = 2,
    KIND_MODULES = 16,
    KIND_READ = 17,
    KIND_RESERVE = 18,
    KIND_RELEASE = 19,
    KIND_LOAD = 20,
    KIND_LOOKUP = 21,
    KIND_OPEN = 22,
    KIND_CALL = 23,
    KIND_SWITCH = 24,
    KIND_ACTIVE = 25,
    KIND_POOL = 26,
    KIND_INSTALL = 27,
    KIND_BYE = 28,
};

enum switch_status { SWITCH_DONE = 0, SWITCH_MISMATCH = 1, SWITCH_BUSY = 2, SWITCH_TIMEOUT = 3 };
enum switch_mode { MODE_LIVE = 0, MODE_STOP = 1 };
enum { SWITCH_FLAG_STOP = 1 };

#endif
