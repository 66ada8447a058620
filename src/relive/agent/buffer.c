#include "buffer.h"

#include "memory.h"
#include "protocol.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const uint8_t *take_bytes(struct reader *reader, size_t size)
{
    if (reader->failed || size > reader->left) {
        reader->failed = true;
        return NULL;
    }
    const uint8_t *bytes = reader->at;
    reader->at += size;
    reader->left -= size;
    return bytes;
}

static uint64_t take_number(struct reader *reader, size_t size)
{
    uint64_t value = 0;
    const uint8_t *bytes = take_bytes(reader, size);
    if (bytes)
        memcpy(&value, bytes, size);
    return value;
}

uint16_t take_u16(struct reader *reader)
{
    return (uint16_t)take_number(reader, 2);
}

uint32_t take_u32(struct reader *reader)
{
    return (uint32_t)take_number(reader, 4);
}

uint64_t take_u64(struct reader *reader)
{
    return take_number(reader, 8);
}

uint32_t take_count(struct reader *reader, size_t item_size)
{
    uint32_t count = take_u32(reader);
    if (reader->failed || count > reader->left / item_size) {
        reader->failed = true;
        return 0;
    }
    return count;
}

bool grow_pages(uint8_t **pages, size_t *capacity, size_t used, size_t need)
{
    if (need <= *capacity)
        return true;
    size_t wanted = *capacity ? *capacity : 64 << 10;
    while (wanted < need)
        wanted *= 2;
    uint8_t *fresh = own_pages(wanted);
    if (!fresh)
        return false;
    if (*pages) {
        memcpy(fresh, *pages, used);
        own_pages_free(*pages, *capacity);
    }
    *pages = fresh;
    *capacity = wanted;
    return true;
}

void reply_begin(struct reply *reply)
{
    reply->size = 0;
    reply->status = 0;
    reply->failed = false;
    put_space(reply, sizeof(struct frame_header));
}

uint8_t *put_space(struct reply *reply, size_t size)
{
    if (reply->failed || size > RELIVE_FRAME_LIMIT || reply->size + size > RELIVE_FRAME_LIMIT ||
        !grow_pages(&reply->bytes, &reply->capacity, reply->size, reply->size + size)) {
        reply->failed = true;
        return NULL;
    }
    uint8_t *at = reply->bytes + reply->size;
    reply->size += size;
    return at;
}

void put_bytes(struct reply *reply, const void *bytes, size_t size)
{
    uint8_t *at = put_space(reply, size);
    if (at)
        memcpy(at, bytes, size);
}

void put_u8(struct reply *reply, uint8_t value)
{
    put_bytes(reply, &value, sizeof value);
}

void put_u16(struct reply *reply, uint16_t value)
{
    put_bytes(reply, &value, sizeof value);
}

void put_u32(struct reply *reply, uint32_t value)
{
    put_bytes(reply, &value, sizeof value);
}

void put_u64(struct reply *reply, uint64_t value)
{
    put_bytes(reply, &value, sizeof value);
}

void reply_fail(struct reply *reply, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    reply_begin(reply);
    reply->status = 1;
    put_bytes(reply, text, length < 0 ? 0 : (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
}
