#pragma once
#include <string>
#include <vector>
class Registry {
public:
    static Registry &instance();
    void add(const std::string &name) { names_.push_back(name); }
    std::size_t size() const { return names_.size(); }
    std::string last() const { return names_.back(); }

private:
    std::vector<std::string> names_;
};
struct Registrar {
    explicit Registrar(const char *name) { Registry::instance().add(name); }
};
