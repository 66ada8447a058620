// case: a huge closure of new template instantiations arrives at once (std::regex)
#include "case.h"
#include <regex>
#include <string>

static std::string subject = "key = value42";

void step(void) {
    static const std::regex pattern("(\\w+)\\s*=\\s*([a-z]+)(\\d+)");
    std::smatch match;
    if (std::regex_match(subject, match, pattern)) printf("%s|%s|%s\n", match[1].str().c_str(), match[2].str().c_str(), match[3].str().c_str());
}

CASE_MAIN
