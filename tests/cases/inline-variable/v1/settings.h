#pragma once
#include <string>
#include <vector>
inline int counter = 100;
inline std::vector<std::string> words{"first"};
inline constexpr int limit = 8;
