/* Who arrives at an entry while it is being rewritten: the SIGTRAP handler behind the int3 of a live switch.
 *
 * It is installed only while int3s stand in the code; the program's own handler gets every trap that is not ours and is
 * put back afterwards. */
#ifndef RELIVE_TRAP_H
#define RELIVE_TRAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct trap {
    uint64_t address; /* of the int3 */
    uint64_t go;      /* where an arriving thread goes on at once; 0: it waits until trap_release */
};

/* `traps` sorted by address, alive until trap_remove. */
bool trap_install(const struct trap *traps, size_t count);
/* All bytes are written: waiting threads run their entries again. Returns when they have left. */
void trap_release(void);
/* Puts the program's handler back. Only when no thread can be between an int3 and its handler any more. */
void trap_remove(void);

#endif
