// Nothing is allocated after warm-up, from an image's pixels to an action's tokens, while thinking neither,
// in any thread: every allocation function of the process is counted. Only graphs that ggml runs (without our
// kernels, or with operators of ggml's: a continuous action's head) cost what ggml_graph_compute itself
// allocates: it makes and frees one empty context a call (in ggml_cpu_init). What an empty graph costs is
// measured first, and such a graph may cost that much and nothing more.
#include <atomic>
#include <cstdlib>
#include <new>

#include "check.h"
#include "folder.h"
#include "hyt/graph.h"
#include "hyt/strips.h"
#include "model_file.h"

namespace {

std::atomic<bool> counting{false};
std::atomic<int> allocations{0};

void count() {
    if (counting.load(std::memory_order_relaxed)) allocations.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

// glibc's own names for the functions that these stand in front of, for this program and all libraries it
// loads.
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);

void* malloc(size_t size) {
    count();
    return __libc_malloc(size);
}
void* calloc(size_t n, size_t size) {
    count();
    return __libc_calloc(n, size);
}
void* realloc(void* old, size_t size) {
    count();
    return __libc_realloc(old, size);
}
void* memalign(size_t alignment, size_t size) {
    count();
    return __libc_memalign(alignment, size);
}
void* aligned_alloc(size_t alignment, size_t size) {
    count();
    return __libc_memalign(alignment, size);
}
int posix_memalign(void** out, size_t alignment, size_t size) {
    count();
    *out = __libc_memalign(alignment, size);
    return *out ? 0 : 12;
}
}

namespace {

template <typename Call>
int allocations_of(const Call& call) {
    allocations = 0;
    counting = true;
    call();
    counting = false;
    return allocations;
}

int allocations_of_a_graph() {
    hyt::Backend backend(1, hyt::plain_path({}));
    const hyt::Graph graph(8);
    graph.expand(ggml_scale(graph.context(), hyt::graph_input(graph, GGML_TYPE_F32, 1), 2.0f));
    hyt::Workspace workspace(backend);
    workspace.place(graph);
    backend.compute(graph.nodes(), "test");
    return allocations_of([&] { backend.compute(graph.nodes(), "test"); });
}

// What one vision pass, prefill or thought token and the passes of one action may allocate.
struct Allowed {
    int graph, passes;
};

Allowed allowed(const hyt::SessionConfig& config, int per_graph) {
    // With several threads, a graph that is ggml's to run (a continuous action's) makes all of them ggml's.
    const bool ours = config.own_kernels && config.cuts.own_threads && !hyt::strip_kernels().empty() &&
                      (config.threads == 1 || !config.continuous());
    const auto passes = config.continuous() ? 1 : static_cast<int>(config.action_tokens);
    return {ours ? 0 : per_graph, ours && !config.continuous() ? 0 : per_graph * passes};
}

void check_session(const hyt::SessionConfig& config, const Allowed& allowed) {
    hyt::Session session(config);
    const hyt::test::Images images(7);
    const std::vector<hyt::ImageView> views = images.views();
    const std::vector<int32_t> layout = hyt::test::layout(9), other = hyt::test::layout(12);
    hyt::ActResult result;
    hyt::ThinkResult thought;
    const auto think = [&](std::optional<int64_t> steps) { session.think({}, steps, thought); };
    const auto steps_so_far = [&] {
        return session.info().vocabulary_passes + session.info().reading_passes;
    };
    const auto check_thinking = [&](std::optional<int64_t> steps) {
        const int64_t before = steps_so_far();
        const int counted = allocations_of([&] { think(steps); });
        CHECK(counted == static_cast<int>(steps_so_far() - before) * allowed.graph);
    };
    // The first of each is the warm-up: ggml sizes its work buffer, threads start, results get their memory.
    session.observe(views, layout);
    session.act(3, result);
    session.follow(other, 4, result);
    session.think_begin(2);
    think({});
    for (int round = 0; round < 3; ++round) {
        CHECK(allocations_of([&] { session.observe(views, layout); }) == allowed.graph);
        CHECK(allocations_of([&] { session.act(3, result); }) == allowed.graph + allowed.passes);
        CHECK(result.think_probability > 0.0f && result.think_probability < 1.0f);
        CHECK(allocations_of([&] { session.act(3, result); }) == allowed.passes);
        CHECK(allocations_of([&] { session.follow(other, 4, result); }) == allowed.graph + allowed.passes);
        // A thought, in pieces, with actions on another frame in between.
        CHECK(allocations_of([&] { session.think_begin(2); }) == 0);
        check_thinking(2);
        session.observe(views, layout);
        CHECK(allocations_of([&] { session.act(3, result); }) == allowed.graph + allowed.passes);
        check_thinking({});
        CHECK(thought.finished);
        CHECK(allocations_of([&] { session.act_after_thought(result); }) == allowed.passes);
        const int64_t before = session.info().reading_passes;
        const int counted = allocations_of([&] { session.act_with_thought(2, thought.tokens, result); });
        const auto read = static_cast<int>(session.info().reading_passes - before);
        CHECK(read > 0);
        CHECK(counted == read * allowed.graph + allowed.passes);
    }
    // Nor does a prefix of a length that was not there before, where its graph is of our operators.
    if (!config.own_kernels || hyt::strip_kernels().empty()) return;
    for (const int text : {11, 3, 10}) {
        const std::vector<int32_t> new_layout = hyt::test::layout(text), newer = hyt::test::layout(text + 1);
        CHECK(allocations_of([&] { session.observe(views, new_layout); }) == allowed.graph);
        CHECK(allocations_of([&] { session.act(3, result); }) == allowed.graph + allowed.passes);
        CHECK(allocations_of([&] { session.follow(newer, 4, result); }) == allowed.graph + allowed.passes);
    }
}

// Nor with guesses, right ones or wrong ones, wherever they come from.
void check_speculation(hyt::SessionConfig config, const char* how) {
    if (hyt::strip_kernels().empty()) return;  // ggml's graphs are counted above
    config.speculate = how;
    hyt::Session session(config);
    const std::vector<int32_t> layout = hyt::test::layout(9);
    hyt::ActResult result;
    session.observe(hyt::test::Images(7).views(), layout);
    session.act(3, result);
    std::vector<int32_t> other = result.tokens;
    for (int round = 0; round < 40; ++round) {
        session.observe(hyt::test::Images(static_cast<unsigned>(round / 2)).views(), layout);
        if (round % 3 == 0) session.suppose(other);
        CHECK(allocations_of([&] { session.act(3, result); }) == 0);
    }
    CHECK(how == std::string("auto") || session.info().speculation.accepted > 0);
}

}  // namespace

int main() {
    CHECK(allocations_of([] { std::free(std::malloc(1)); }) == 1);
    CHECK(allocations_of([] { ::operator delete(::operator new(4)); }) == 1);
    const int per_graph = allocations_of_a_graph();
    CHECK(per_graph > 0 && per_graph <= 2);
    const hyt::test::Folder folder;
    for (hyt::SessionConfig config : {hyt::test::write_model(folder.path(), true),
                                      hyt::test::write_continuous_model(folder.path(), true)}) {
        for (const int threads : {1, 2}) {
            config.threads = threads;
            check_session(config, allowed(config, per_graph));
            hyt::SessionConfig without = config;
            without.cuts.own_threads = false;
            check_session(without, allowed(without, per_graph));
            without.own_kernels = false;
            check_session(without, allowed(without, per_graph));
        }
    }
    hyt::SessionConfig config = hyt::test::write_model(folder.path(), true);
    for (config.threads = 1; config.threads < 3; ++config.threads) {
        for (const char* how : {"last", "auto"}) check_speculation(config, how);
    }
    return hyt::test::failures;
}
