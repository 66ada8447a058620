#include "changes.h"

#include "memory.h"

#include <string.h>

static const struct switch_plan *looking;

void changes_begin(const struct switch_plan *plan)
{
    looking = plan;
}

bool inside_window(uint64_t word)
{
    const struct change *code = looking->code;
    size_t low = 0, high = looking->code_count;
    if (!high || word <= code[0].address || word >= code[high - 1].address + code[high - 1].size)
        return false;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (code[middle].address < word)
            low = middle + 1;
        else
            high = middle;
    }
    return low && word < code[low - 1].address + code[low - 1].size;
}

bool inside_forbidden(uint64_t word)
{
    for (size_t i = 0; i < looking->forbidden_count; i++)
        if (word >= looking->forbidden[i].low && word < looking->forbidden[i].high)
            return true;
    return inside_window(word);
}

static bool as_expected(const struct change *changes, size_t count, struct switch_result *result)
{
    uint8_t chunk[256];
    for (size_t i = 0; i < count; i++)
        for (uint32_t at = 0; at < changes[i].size; at += sizeof chunk) {
            uint32_t size = changes[i].size - at < sizeof chunk ? changes[i].size - at : (uint32_t)sizeof chunk;
            if (!memory_read(changes[i].address + at, chunk, size) || memcmp(chunk, changes[i].expected + at, size)) {
                result->status = SWITCH_MISMATCH;
                result->address = changes[i].address;
                return false;
            }
        }
    return true;
}

bool changes_as_expected(const struct switch_plan *plan, struct switch_result *result)
{
    return as_expected(plan->code, plan->code_count, result) && as_expected(plan->stores, plan->store_count, result);
}

bool changes_write(const struct change *changes, size_t count, uint32_t from, uint32_t size, bool old,
                   struct switch_result *result)
{
    for (size_t i = 0; i < count; i++) {
        const uint8_t *bytes = old ? changes[i].expected : changes[i].replacement;
        uint32_t end = changes[i].size < from + size ? changes[i].size : from + size;
        if (end > from && !memory_write(changes[i].address + from, bytes + from, end - from)) {
            result->write_failed = true;
            result->address = changes[i].address;
            return false;
        }
    }
    return true;
}
