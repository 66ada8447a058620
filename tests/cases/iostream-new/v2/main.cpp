// case: a unit that never saw <iostream> uses it
#include "case.h"
#include <iomanip>
#include <iostream>
#include <sstream>

void step(void) {
    std::ostringstream text;
    text << std::setw(5) << std::setfill('*') << 42 << std::boolalpha << true;
    std::cout << "stream " << text.str() << " " << std::hex << 255 << std::dec << std::endl;
}

CASE_MAIN
