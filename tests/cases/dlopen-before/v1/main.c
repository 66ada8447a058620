// case: a plugin that was opened before relive was ready, with RTLD_LOCAL
// dlopen: libplugin.so plugin.c
// link: -ldl
// also: clang-O0
#include "case.h"
#include <dlfcn.h>

static int (*run)(int);

void step(void) { printf("run=%d\n", run(5)); }

int main(void) {
    void *plugin = dlopen("./build/libplugin.so", RTLD_NOW | RTLD_LOCAL);
    if (!plugin) return puts(dlerror());
    run = (int (*)(int))dlsym(plugin, "run");
    while (case_next()) step();
    return 0;
}
