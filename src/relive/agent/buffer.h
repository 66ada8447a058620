/* A request being read and a reply being written: the only two places where bytes from outside become numbers.
 *
 * Every take_* checks what is left; after the first failure all further ones fail, so a decoder reads to its end and
 * asks once. A reply grows in the agent's own pages. */
#ifndef RELIVE_BUFFER_H
#define RELIVE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reader {
    const uint8_t *at;
    size_t left;
    bool failed;
};

struct reply {
    uint8_t *bytes; /* own pages; the frame header's 12 bytes come first */
    size_t size;    /* including the header */
    size_t capacity;
    uint16_t status;
    bool failed; /* out of memory or over the limit */
};

const uint8_t *take_bytes(struct reader *reader, size_t size);
uint16_t take_u16(struct reader *reader);
uint32_t take_u32(struct reader *reader);
uint64_t take_u64(struct reader *reader);
/* A count of items of at least item_size bytes each: fails when the rest of the request cannot hold them. */
uint32_t take_count(struct reader *reader, size_t item_size);

void reply_begin(struct reply *reply);
uint8_t *put_space(struct reply *reply, size_t size);
void put_bytes(struct reply *reply, const void *bytes, size_t size);
void put_u8(struct reply *reply, uint8_t value);
void put_u16(struct reply *reply, uint16_t value);
void put_u32(struct reply *reply, uint32_t value);
void put_u64(struct reply *reply, uint64_t value);
/* Turns the reply into a failure with this sentence. */
void reply_fail(struct reply *reply, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Makes *pages hold at least `need` bytes, keeping the first `used`; false when there is no memory. */
bool grow_pages(uint8_t **pages, size_t *capacity, size_t used, size_t need);

#endif
