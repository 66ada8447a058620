// case: string_view constants, constexpr tables of them, and their lengths
// also: gcc-O2
#include "case.h"
#include <string_view>

using namespace std::literals;
static constexpr std::string_view title = "title one"sv;
static constexpr std::string_view rows[] = {"a"sv, "bb"sv};
static const std::string_view &reference = title;

void step(void) {
    size_t length = 0;
    for (auto row : rows) length += row.size();
    printf("%.*s %zu %zu\n", static_cast<int>(title.size()), title.data(), length, title.find('o'));
}

CASE_MAIN
