#include "iface.h"
namespace { struct Impl : Iface { std::string text() const override { return "impl-of-b"; } }; }
std::unique_ptr<Iface> make_b() { return std::make_unique<Impl>(); }
