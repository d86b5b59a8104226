// Threads that run one function after the other together, waiting for each other in between without sleeping.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <thread>
#include <vector>

namespace hyt {

class Team {
  public:
    // The caller of run() and `threads` - 1 more, which sleep between runs.
    explicit Team(int threads);
    ~Team();
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    // Calls step(user, i, thread, threads) in every thread for i = 0 to steps - 1; all threads have finished
    // one step before any begins the next. Allocates nothing. `step` must not throw.
    using Step = void (*)(void* user, size_t index, int thread, int threads);
    void run(Step step, void* user, size_t steps);

  private:
    void work(int thread);
    void take_part(int thread);
    void meet();

    const int threads_;
    std::vector<std::thread> workers_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::atomic<unsigned> runs_{0};  // counts runs; workers wait for it to change
    bool ending_ = false;

    Step step_ = nullptr;
    void* user_ = nullptr;
    size_t steps_ = 0;
    std::atomic<int> arrived_{0};        // at the present meeting
    std::atomic<unsigned> meetings_{0};  // that are over
};

}  // namespace hyt
