// Keeps ggml's talk of what it does from the terminal.
#pragma once

#include <ggml.h>

namespace hyt {

// ggml tells of every tensor it repacks and of every device it finds. While this lives, only its warnings and
// errors pass.
class QuietLog {
  public:
    QuietLog() {
        ggml_log_get(&callback_, &user_);
        ggml_log_set(pass, this);
    }
    ~QuietLog() { ggml_log_set(callback_, user_); }
    QuietLog(const QuietLog&) = delete;
    QuietLog& operator=(const QuietLog&) = delete;

  private:
    static void pass(ggml_log_level level, const char* text, void* user) {
        const auto* self = static_cast<const QuietLog*>(user);
        if (level == GGML_LOG_LEVEL_WARN || level == GGML_LOG_LEVEL_ERROR)
            self->callback_(level, text, self->user_);
    }

    ggml_log_callback callback_ = nullptr;
    void* user_ = nullptr;
};

}  // namespace hyt
