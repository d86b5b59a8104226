// The one exception of the core: what was wrong, what was expected and what was received, in one line.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace hyt {

class Error : public std::runtime_error {
  public:
    // The message is "subject; expected X; received Y"; empty parts are left out, control characters become
    // spaces.
    explicit Error(const std::string& subject, const std::string& expected = "",
                   const std::string& received = "");

    const std::string& subject() const { return subject_; }
    const std::string& expected() const { return expected_; }
    const std::string& received() const { return received_; }

  private:
    std::string subject_;
    std::string expected_;
    std::string received_;
};

// Throws Error unless low <= value <= high.
void check_range(const char* subject, int64_t value, int64_t low, int64_t high);

}  // namespace hyt
