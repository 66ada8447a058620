#include <memory>
#include <string>
struct Iface {
    virtual ~Iface() = default;
    virtual std::string text() const = 0;
};
std::unique_ptr<Iface> make_a();
std::unique_ptr<Iface> make_b();
