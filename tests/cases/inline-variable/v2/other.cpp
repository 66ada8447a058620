#include "settings.h"
void other(void);
void other(void) {
    counter += 10;
    words.push_back("new word " + std::to_string(counter));
}
