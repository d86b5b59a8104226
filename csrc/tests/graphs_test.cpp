// One graph serves prefixes of every length, passes of any number of tokens and every slot, with the bits of
// graphs that were built for just that.
#include <algorithm>
#include <cstring>
#include <random>

#include "check.h"
#include "folder.h"
#include "hyt/decoder.h"
#include "hyt/error.h"
#include "model_file.h"

namespace {

using hyt::Head;
using hyt::Slot;

constexpr int64_t kRows = 5, kPrefix = 24,
                  kCells = 40;  // a prefix of many columns: its products go in pieces

struct Model {
    hyt::Backend backend;
    hyt::Workspace workspace{backend};
    hyt::Decoder decoder;

    Model(const hyt::SessionConfig& config, int threads, int64_t prefix, int64_t rows)
        : backend(threads, hyt::Cuts{}),
          decoder(backend, workspace, hyt::GgufFile(config.language),
                  {0, prefix, kCells, hyt::kSlots, GGML_TYPE_F32, config.action_token_ids, nullptr},
                  nullptr) {
        decoder.place_graphs(rows);
    }

    // Logits of `fed` behind `prefix`, and all keys and values of both.
    std::vector<float> run(Slot slot, const std::vector<int32_t>& prefix, const std::vector<int32_t>& fed,
                           Head head) {
        decoder.prefill(slot, prefix.data(), static_cast<int64_t>(prefix.size()), nullptr);
        std::vector<float> all(static_cast<size_t>(decoder.logit_count(head)) * fed.size());
        decoder.steps(slot, head, fed.data(), static_cast<int64_t>(fed.size()), all.data());
        const hyt::KvCache& cache = decoder.cache();
        for (int64_t layer = 0; layer < decoder.params().layers; ++layer) {
            for (ggml_tensor* t : {cache.keys(layer), cache.values(layer)}) {
                const auto* from = static_cast<const float*>(t->data) + t->ne[0] * cache.first_row(slot);
                all.insert(all.end(), from, from + t->ne[0] * cache.length(slot));
            }
        }
        return all;
    }
};

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

void check_lengths(const hyt::SessionConfig& config, int threads) {
    Model shared(config, threads, kPrefix, kRows);
    if (!shared.decoder.rows_are_exact()) return;  // ggml's graphs are built for each
    std::mt19937 random(11);
    const auto tokens = [&](int64_t count) {
        std::vector<int32_t> ids(static_cast<size_t>(count));
        for (int32_t& id : ids) id = static_cast<int32_t>(random() % 64);
        return ids;
    };
    std::vector<int64_t> lengths(kPrefix);
    for (size_t i = 0; i < lengths.size(); ++i) lengths[i] = static_cast<int64_t>(i) + 1;
    std::shuffle(lengths.begin(), lengths.end(), random);
    for (const int64_t length : lengths) {
        const auto slot = static_cast<Slot>(length % hyt::kSlots);
        const int64_t rows = 1 + length % kRows;
        const std::vector<int32_t> prefix = tokens(length), fed = tokens(rows), one = tokens(1);
        Model own(config, threads, length, rows);
        CHECK(same_bits(shared.run(slot, prefix, fed, Head::action),
                        own.run(Slot::live, prefix, fed, Head::action)));
        CHECK(same_bits(shared.run(slot, prefix, one, Head::vocabulary),
                        own.run(Slot::live, prefix, one, Head::vocabulary)));
    }
}

// What does not follow the columns is noticed when a graph is built.
void check_columns() {
    hyt::Graph graph(8);
    ggml_tensor* input = hyt::graph_input(graph, GGML_TYPE_F32, 3, 5);
    graph.expand(ggml_scale(graph.context(), input, 2.0f));
    bool refused = false;
    try {
        graph.vary_columns(4, {input});
    } catch (const hyt::Error&) {
        refused = true;
    }
    CHECK(refused);
}

}  // namespace

int main() {
    const hyt::test::Folder folder;
    const hyt::SessionConfig config = hyt::test::write_model(folder.path(), true);
    for (const int threads : {1, 2, 3}) check_lengths(config, threads);
    check_columns();
    return hyt::test::failures;
}
