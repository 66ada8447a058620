#include "iface.h"
namespace { struct Impl : Iface { std::string text() const override { return "impl-of-a"; } }; }
std::unique_ptr<Iface> make_a() { return std::make_unique<Impl>(); }
