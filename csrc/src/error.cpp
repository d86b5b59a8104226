// Builds the one-line message of hyt::Error.
#include "hyt/error.h"

namespace hyt {
namespace {

// A file's content must not forge a second line of output: only printable ASCII passes, at most 200
// characters.
std::string printable(const std::string& text) {
    constexpr size_t kLongest = 200;
    std::string out = text.substr(0, kLongest);
    for (char& c : out) {
        if (c < 0x20 || c > 0x7e) c = ' ';
    }
    return text.size() > kLongest ? out + "..." : out;
}

std::string line(const std::string& subject, const std::string& expected, const std::string& received) {
    std::string out = printable(subject);
    if (!expected.empty()) out += "; expected " + printable(expected);
    if (!received.empty()) out += "; received " + printable(received);
    return out;
}

}  // namespace

Error::Error(const std::string& subject, const std::string& expected, const std::string& received)
    : std::runtime_error(line(subject, expected, received)),
      subject_(printable(subject)),
      expected_(printable(expected)),
      received_(printable(received)) {}

void check_range(const char* subject, int64_t value, int64_t low, int64_t high) {
    if (value < low || value > high) {
        throw Error(subject, std::to_string(low) + " to " + std::to_string(high), std::to_string(value));
    }
}

}  // namespace hyt
