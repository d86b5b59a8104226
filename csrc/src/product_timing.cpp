// Times the kernels as the executor runs them: rows shared out among the threads of a team.
#include "hyt/product_timing.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <numeric>
#include <vector>

#include "hyt/error.h"
#include "hyt/huge_pages.h"
#include "hyt/strips.h"
#include "hyt/team.h"
#include "ops.h"

namespace hyt {
namespace {

constexpr int64_t kLine = 64, kWords = kLine / sizeof(uint64_t);  // bytes and words of a cache line
using Clock = std::chrono::steady_clock;

const StripKernels& kernels_named(const std::string& name) {
    std::string there;
    for (const StripKernels& kernels : strip_kernels()) {
        if (name.empty() || name == kernels.name) return kernels;
        there += (there.empty() ? "" : ", ") + std::string(kernels.name);
    }
    throw Error("kernels", there.empty() ? "a CPU with instructions for them" : "one of " + there,
                "'" + name + "'");
}

struct Work {
    const StripKernels& kernels;
    StripProduct product;
    size_t bytes;
    std::unique_ptr<uint8_t[]> storage;
    uint8_t* weights;  // in the storage, at the start of a cache line as ggml's buffers are
    std::vector<uint8_t> activations;
    std::vector<float> inputs, out;
    std::vector<uint64_t> sums;  // one a thread: what was read must be used

    Work(const StripKernels& set, int64_t columns, int64_t rows, int64_t count, int threads)
        : kernels(set),
          product{},
          bytes(strips_size(columns, rows)),
          storage(new uint8_t[bytes + kLine]),
          weights(storage.get() + (kLine - reinterpret_cast<uintptr_t>(storage.get()) % kLine)),
          activations(activations_size(columns, count)),
          inputs(static_cast<size_t>(columns * count)),
          out(static_cast<size_t>(rows * count)),
          sums(static_cast<size_t>(threads)) {
        ask_for_huge_pages(weights, bytes);  // as Weights does
        std::fill(weights, weights + bytes, uint8_t{0x11});
        for (size_t i = 0; i < inputs.size(); ++i) inputs[i] = static_cast<float>(i % 251) - 125.0f;
        product = {weights, activations.data(), nullptr, out.data(), columns / kBlock, rows, count, rows};
    }

    static void quantize(void* self, size_t, int thread, int threads) {
        auto& w = *static_cast<Work*>(self);
        const StripProduct& p = w.product;
        const int64_t columns = p.blocks * kBlock;
        const auto [first, last] = share(p.columns, thread, threads);
        for (int64_t i = first; i < last; ++i) {
            const TilePlace place = tile_of(i, p.columns, w.kernels.tile);
            w.kernels.quantize(w.inputs.data() + i * columns, p.blocks, place.width, i - place.first,
                               w.activations.data() + activations_size(columns, place.first));
        }
    }
    static void multiply(void* self, size_t, int thread, int threads) {
        auto& w = *static_cast<Work*>(self);
        const auto [first, last] = share(strip_count(w.product.rows), thread, threads);
        w.kernels.multiply(w.product, first, last);
    }
    // Reads all weights, asking memory for the line so many lines ahead.
    template <int64_t kAhead>
    static void read(void* self, size_t, int thread, int threads) {
        auto& w = *static_cast<Work*>(self);
        const auto [first, last] = share(static_cast<int64_t>(w.bytes / kLine), thread, threads);
        const auto* line = reinterpret_cast<const uint64_t*>(w.weights) + first * kWords;
        uint64_t sum[kWords] = {};
        for (int64_t i = first; i < last; ++i, line += kWords) {
            if (kAhead > 0) __builtin_prefetch(line + kAhead * kWords);
            for (int64_t k = 0; k < kWords; ++k) sum[k] += line[k];
        }
        w.sums[static_cast<size_t>(thread)] = std::accumulate(sum, sum + kWords, uint64_t{0});
    }
};

double seconds_of(Team& team, Team::Step step, Work& work) {
    const Clock::time_point start = Clock::now();
    team.run(step, &work, 1);
    return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

ProductTiming time_product(const std::string& kernels, int64_t columns, int64_t rows, int64_t count,
                           int threads, int repeat) {
    if (columns < kBlock || columns % kBlock != 0 || rows < 1 || count < 1 || threads < 1 || repeat < 1) {
        throw Error("product", "positive sizes and a multiple of 32 columns", std::to_string(columns));
    }
    Work work(kernels_named(kernels), columns, rows, count, threads);
    Team team(threads);
    ProductTiming best{1e9, 1e9, 1e9, static_cast<int64_t>(work.bytes)};
    for (int i = 0; i < repeat + 1; ++i) {
        best.quantize = std::min(best.quantize, seconds_of(team, Work::quantize, work));
        best.multiply = std::min(best.multiply, seconds_of(team, Work::multiply, work));
        // Which way reads fastest differs from CPU to CPU.
        for (const Team::Step step : {&Work::read<0>, &Work::read<16>, &Work::read<64>})
            best.read = std::min(best.read, seconds_of(team, step, work));
    }
    return best;
}

}  // namespace hyt
