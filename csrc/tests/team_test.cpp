// Threads of a team finish a step together, run after run.
#include "hyt/team.h"

#include <vector>

#include "check.h"

namespace {

// Every thread adds to its own cell what all cells held before the step, which is known only if all had
// finished.
struct Cells {
    std::vector<long> now, next;
    int wrong = 0;

    static void step(void* self, size_t index, int thread, int threads) {
        auto* cells = static_cast<Cells*>(self);
        std::vector<long>& from = index % 2 == 0 ? cells->now : cells->next;
        std::vector<long>& to = index % 2 == 0 ? cells->next : cells->now;
        long sum = 1;
        for (const long cell : from) sum += cell % 1000;
        to[static_cast<size_t>(thread)] = sum;
        if (static_cast<size_t>(threads) != from.size()) ++cells->wrong;
    }
};

std::vector<long> result(int threads, int runs, size_t steps) {
    hyt::Team team(threads);
    Cells cells{std::vector<long>(static_cast<size_t>(threads)),
                std::vector<long>(static_cast<size_t>(threads))};
    for (int run = 0; run < runs; ++run) team.run(Cells::step, &cells, steps);
    CHECK(cells.wrong == 0);
    return cells.now;
}

}  // namespace

int main() {
    for (const int threads : {1, 2, 3}) {
        // All cells are alike after every step, so one thread's arithmetic says what they hold.
        std::vector<long> expected(static_cast<size_t>(threads));
        for (int i = 0; i < 10 * 20; ++i) {
            long sum = 1;
            for (const long cell : expected) sum += cell % 1000;
            expected.assign(expected.size(), sum);
        }
        CHECK(result(threads, 10, 20) == expected);
        hyt::Team idle(threads);  // ends without a run
        idle.run(Cells::step, nullptr, 0);
    }
    return hyt::test::failures;
}
