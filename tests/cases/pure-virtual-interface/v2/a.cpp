#include "iface.h"
namespace { struct Impl : Iface { std::string text() const override { return "new-impl-of-a"; } }; }
namespace { struct Extra : Iface { std::string text() const override { return "extra-of-a"; } }; }
std::unique_ptr<Iface> make_a() { return std::make_unique<Extra>(); }
