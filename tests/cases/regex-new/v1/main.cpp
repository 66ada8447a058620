// case: a huge closure of new template instantiations arrives at once (std::regex)
// also: gcc-O2
#include "case.h"
#include <string>

static std::string subject = "key = value42";

void step(void) { printf("%s\n", subject.c_str()); }

CASE_MAIN
