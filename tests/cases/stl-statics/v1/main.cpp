// case: containers filled by the old code are used, grown and searched by the new code
// also: clang-O0
#include "case.h"
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

static std::string text;
static std::map<std::string, std::vector<int>> lists;
static std::unordered_map<int, std::shared_ptr<std::string>> table;

void step(void) {
    text += "ab";
    lists[text.substr(0, 4)].push_back(static_cast<int>(text.size()));
    table[static_cast<int>(text.size())] = std::make_shared<std::string>(text);
    printf("text=%s lists=%zu table=%zu\n", text.c_str(), lists.size(), table.size());
}

CASE_MAIN
