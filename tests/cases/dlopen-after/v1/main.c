// case: a plugin that is opened while relive already watches; its sources change afterwards, twice
// dlopen: libplugin.so plugin.c
// link: -ldl
// also: clang-O0
#include "case.h"
#include <dlfcn.h>

static int (*run)(int);

void step(void) {
    static int steps;
    if (++steps == 2) {
        void *plugin = dlopen("./build/libplugin.so", RTLD_LAZY | RTLD_LOCAL);
        if (!plugin) puts(dlerror());
        run = (int (*)(int))dlsym(plugin, "run");
    }
    if (run) printf("run=%d\n", run(5));
}

CASE_MAIN
