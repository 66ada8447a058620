// case: the address of a changed function stays what it was: in tables, comparisons, across units
// also: gcc-O2
#include "case.h"
#include "api.h"

static handler kept;
static int local(void) { return 1; }
static handler kept_local;

void step(void) {
    if (!kept) {
        kept = handle;
        kept_local = local;
    }
    printf("same=%d %d %d %d\n", kept == handle, kept == other_address(), kept_local == local, kept() + kept_local());
}

CASE_MAIN
