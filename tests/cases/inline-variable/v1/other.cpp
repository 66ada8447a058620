#include "settings.h"
void other(void);
void other(void) {
    counter += 10;
    words.push_back("word " + std::to_string(counter));
}
