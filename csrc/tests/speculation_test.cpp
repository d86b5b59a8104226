// Passes of several rows are bit by bit passes of one, logits and cache alike; and plans are the best there
// are.
#include "hyt/speculation.h"

#include <algorithm>
#include <cstring>
#include <random>

#include "check.h"
#include "folder.h"
#include "hyt/decoder.h"
#include "hyt/strips.h"
#include "model_file.h"

namespace {

using hyt::Head;
using hyt::Slot;
using hyt::Speculate;
using hyt::Speculation;

constexpr int64_t kRows = 6, kPrefix = 9, kCells = 20;

// A decoder with a prefix in the live slot.
struct Prefilled {
    hyt::Backend backend;
    hyt::Workspace workspace{backend};
    hyt::Decoder decoder;

    Prefilled(const hyt::SessionConfig& config, int threads)
        : backend(threads, hyt::Cuts{}),
          decoder(backend, workspace, hyt::GgufFile(config.language),
                  {0, kPrefix, kCells, hyt::kSlots, GGML_TYPE_F32, config.action_token_ids, nullptr},
                  nullptr) {
        decoder.place_graphs(kRows);
        std::vector<int32_t> ids(kPrefix);
        for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(5 + 3 * i);
        decoder.prefill(Slot::live, ids.data(), kPrefix, nullptr);
    }

    std::vector<float> cached() {
        std::vector<float> all;
        for (int64_t layer = 0; layer < decoder.params().layers; ++layer) {
            for (ggml_tensor* t : {decoder.cache().keys(layer), decoder.cache().values(layer)}) {
                const auto* from = static_cast<const float*>(t->data);
                all.insert(all.end(), from, from + t->ne[0] * decoder.cache().length(Slot::live));
            }
        }
        return all;
    }
};

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

void check_rows(const hyt::SessionConfig& config, int threads) {
    Prefilled one(config, threads), many(config, threads);
    if (!one.decoder.rows_are_exact()) return;
    std::mt19937 random(3);
    const auto hidden = static_cast<size_t>(one.decoder.params().hidden);
    const size_t count = config.action_token_ids.size();
    for (int64_t rows = 1; rows <= kRows; ++rows) {
        one.decoder.cache().set_length(Slot::live, kPrefix);
        many.decoder.cache().set_length(Slot::live, kPrefix);
        std::vector<int32_t> tokens;
        for (int64_t i = 0; i < rows; ++i) tokens.push_back(static_cast<int32_t>(random() % 64));
        std::vector<float> expected(count * tokens.size()), received(expected.size());
        std::vector<float> state(hidden), other(hidden);
        for (size_t i = 0; i < tokens.size(); ++i)
            one.decoder.step(Slot::live, Head::action, tokens[i], expected.data() + i * count,
                             i == 0 ? state.data() : nullptr);
        many.decoder.steps(Slot::live, Head::action, tokens.data(), rows, received.data(), other.data());
        CHECK(same_bits(received, expected));
        CHECK(same_bits(other, state));
        CHECK(same_bits(many.cached(), one.cached()));
    }
}

// Tokens that nobody answers leave the keys and values of single steps, however many are read.
void check_reading(const hyt::SessionConfig& config, int threads) {
    Prefilled one(config, threads), many(config, threads);
    std::vector<int32_t> tokens;
    for (int32_t count = 0; kPrefix + count <= kCells; ++count) {
        one.decoder.cache().set_length(Slot::live, kPrefix);
        many.decoder.cache().set_length(Slot::live, kPrefix);
        std::vector<float> logits(config.action_token_ids.size());
        for (const int32_t token : tokens) one.decoder.step(Slot::live, Head::action, token, logits.data());
        const int64_t before = many.decoder.passes(Head::none);
        many.decoder.read(Slot::live, tokens.data(), count);
        CHECK(same_bits(many.cached(), one.cached()));
        CHECK(many.decoder.cache().length(Slot::live) == kPrefix + count);
        const int64_t passes = many.decoder.passes(Head::none) - before;
        CHECK(many.decoder.rows_are_exact() ? passes == (count + hyt::kReadRows - 1) / hyt::kReadRows
                                            : passes == count);
        tokens.push_back(7 + 5 * count % 50);
    }
}

// Plays actions whose guesses are right in a given share, one after the other; returns the last plan's first
// pass.
int64_t learned_rows(const std::vector<double>& costs, double share) {
    constexpr int64_t kTokens = 4;
    Speculation speculation(Speculate::automatic, kTokens, static_cast<int64_t>(costs.size()), false);
    speculation.set_costs(costs, 0);
    std::mt19937 random(5);
    std::uniform_real_distribution<double> uniform;
    std::vector<int32_t> tokens(kTokens);
    for (int action = 0; action < 400; ++action) {
        for (int32_t& token : tokens)
            if (uniform(random) >= share) token = static_cast<int32_t>(random());
        speculation.begin();
        speculation.end(tokens);
    }
    speculation.begin();
    return speculation.rows(0, true);
}

void check_plans() {
    // Right guesses at the price of one pass: all at once. Wrong ones, or passes as dear as their rows: none.
    CHECK(learned_rows({1, 1.1, 1.2, 1.3}, 1.0) == 4);
    CHECK(learned_rows({1, 1.1, 1.2, 1.3}, 0.0) == 1);
    CHECK(learned_rows({1, 2, 3, 4}, 1.0) == 1);
    // A pass of three rows is the cheapest way to four tokens when the fourth row is dear.
    CHECK(learned_rows({1, 1.1, 1.2, 9}, 1.0) < 4);
    CHECK(learned_rows({1, 1.1, 1.2, 9}, 1.0) > 1);
    // Nothing is learned where no pass was timed, and nothing is guessed before the first action.
    Speculation untimed(Speculate::automatic, 4, 4, false);
    for (int i = 0; i < 100; ++i) untimed.end({1, 2, 3, 4});
    CHECK(untimed.rows(0, true) == 1);
    Speculation last(Speculate::last, 4, 3, false);
    CHECK(last.rows(0, true) == 1);
    last.end({1, 2, 3, 4});
    CHECK(last.rows(0, true) == 3);
    CHECK(last.rows(2, true) == 2);
    CHECK(last.rows(3, false) == 1);
}

}  // namespace

int main() {
    const hyt::test::Folder folder;
    const hyt::SessionConfig config = hyt::test::write_model(folder.path(), true);
    for (const int threads : {1, 2, 3}) {
        check_rows(config, threads);
        check_reading(config, threads);
    }
    check_plans();
    return hyt::test::failures;
}
