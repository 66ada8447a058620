#include <string>
thread_local std::string shared = "shared";
