// Starts the threads; meetings are two counters that everybody looks at.
#include "hyt/team.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace hyt {
namespace {

// Looks until a meeting is over before the core is offered to others: operators take microseconds.
constexpr int kLooks = 1024;
// Looks for the next run before a worker sleeps: an action is several runs, one close behind the other.
constexpr int kLooksBetweenRuns = 16384;

void pause() {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

}  // namespace

Team::Team(int threads) : threads_(threads) {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
}

Team::~Team() {
    {
        const std::lock_guard lock(mutex_);
        ending_ = true;
        runs_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
}

void Team::run(Step step, void* user, size_t steps) {
    if (threads_ == 1) {
        for (size_t i = 0; i < steps; ++i) step(user, i, 0, 1);
        return;
    }
    if (steps == 0) return;
    step_ = step;
    user_ = user;
    steps_ = steps;
    {
        const std::lock_guard lock(mutex_);
        runs_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    take_part(0);
}

void Team::work(int thread) {
    unsigned seen = 0;
    while (true) {
        for (int i = 0; i < kLooksBetweenRuns && runs_.load(std::memory_order_acquire) == seen; ++i) pause();
        if (runs_.load(std::memory_order_acquire) == seen) {
            std::unique_lock lock(mutex_);
            wake_.wait(lock, [&] { return runs_.load(std::memory_order_relaxed) != seen; });
        }
        // The last meeting of a run keeps everybody until all have taken part, so no run is missed.
        ++seen;
        if (ending_) return;
        take_part(thread);
    }
}

void Team::take_part(int thread) {
    // Behind the last meeting the next run may begin, so its members are not read again.
    const Step step = step_;
    void* const user = user_;
    const size_t steps = steps_;
    for (size_t i = 0; i < steps; ++i) {
        step(user, i, thread, threads_);
        meet();
    }
}

void Team::meet() {
    const unsigned meeting = meetings_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) {
        arrived_.store(0, std::memory_order_relaxed);
        meetings_.store(meeting + 1, std::memory_order_release);
        return;
    }
    for (int i = 0; meetings_.load(std::memory_order_acquire) == meeting; ++i) {
        if (i < kLooks) {
            pause();
        } else {
            std::this_thread::yield();
        }
    }
}

}  // namespace hyt
