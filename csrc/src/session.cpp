// Checks what comes in, drives the encoder and the decoder, times each phase; session_decode.cpp decodes the
// action.
#include "hyt/session.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "hyt/error.h"

namespace hyt {
namespace {

// Of the slowest step's time, at each call of think.
constexpr double kSlowestStepKept = 0.9;

// Beyond any prompt, and small enough that no size computed from it overflows.
constexpr int64_t kMostPositions = int64_t{1} << 20;

void check_range(const char* subject, int64_t value, int64_t low, int64_t high) {
    if (value < low || value > high) {
        throw Error(subject, std::to_string(low) + " to " + std::to_string(high), std::to_string(value));
    }
}

double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

ggml_type kv_type(const std::string& name) {
    if (name == "f32") return GGML_TYPE_F32;
    if (name == "f16") return GGML_TYPE_F16;
    throw Error("kv_type", "f32 or f16", "'" + name + "'");
}

Activations activations(const std::string& name) {
    if (name == "int8") return Activations::int8;
    if (name == "float32") return Activations::float32;
    throw Error("activations", "int8 or float32", "'" + name + "'");
}

}  // namespace

Session::Session(const SessionConfig& config)
    : config_(config),
      backend_(config.threads, config.own_kernels ? config.cuts : plain_path(config.cuts),
               activations(config.activations)),
      workspace_(backend_) {
    check_config();
    if (config.image_count > 0) {
        vision_file_ = std::make_unique<GgufFile>(config.vision, config.mapped_weights);
        vision_ = std::make_unique<VisionEncoder>(backend_, *vision_file_, config.image_count);
        if (!config.mapped_weights) vision_file_.reset();
        workspace_.reserve(vision_->graph());
    }
    if (config.continuous()) load_action_head();
    language_file_ = std::make_unique<GgufFile>(config.language, config.mapped_weights);
    DecoderShape shape{};
    shape.image_tokens = vision_ ? vision_->token_count() : 0;
    shape.max_prefix = shape.image_tokens + config.max_text_tokens;
    // Behind a prefix: a tag, a thought and its end token, all action slots or all action tokens but the
    // last.
    shape.cells = shape.max_prefix + config.max_thought_tokens + 2 +
                  (action_head_ ? action_head_->params().slots() : config.action_tokens - 1);
    shape.slots = config.max_thought_tokens > 0 ? kSlots : kSlots - 1;
    shape.kv_type = kv_type(config.kv_type);
    shape.action_ids = config.action_token_ids;
    shape.action_head = action_head_.get();
    decoder_ = std::make_unique<Decoder>(backend_, workspace_, *language_file_, shape,
                                         vision_ ? vision_->tokens() : nullptr);
    if (!config.mapped_weights) language_file_.reset();
    const DecoderParams& params = decoder_->params();
    if (vision_ && vision_->params().projection() != params.hidden) {
        throw Error(config.vision + ": projection_dim",
                    "the decoder's width " + std::to_string(params.hidden),
                    std::to_string(vision_->params().projection()));
    }
    if (action_head_ && action_head_->params().hidden != params.hidden) {
        throw Error(config.head + ": hyt.action.hidden",
                    "the decoder's width " + std::to_string(params.hidden),
                    std::to_string(action_head_->params().hidden));
    }
    if (config.gate_units > 0) gate_.emplace(GgufFile(config.head), params.hidden, config.gate_units);
    check_range("vocab_size", config.vocab_size, 0, params.vocabulary);
    if (config_.vocab_size == 0) config_.vocab_size = params.vocabulary;
    check_ids(config.action_token_ids, "action token id");
    check_ids(config.thought_suppressed_ids, "suppressed id");
    check_ids({config.thought_end_id}, "thought end id");

    start_speculation();
    if (vision_) workspace_.place(vision_->graph());
    suppressed_.assign(static_cast<size_t>(params.vocabulary), 0);
    std::fill(suppressed_.begin() + config_.vocab_size, suppressed_.end(), uint8_t{1});
    for (const int32_t id : config.thought_suppressed_ids) suppressed_[static_cast<size_t>(id)] = 1;
    if (suppressed_[static_cast<size_t>(config.thought_end_id)]) {
        throw Error("thought end id", "an id that is not suppressed", std::to_string(config.thought_end_id));
    }
    act_state_.resize(static_cast<size_t>(params.hidden));
    vocabulary_logits_.resize(static_cast<size_t>(params.vocabulary));
    thought_.tokens.reserve(static_cast<size_t>(config.max_thought_tokens));
    for (Prefix* prefix : {&prefix_, &next_prefix_, &followed_prefix_}) {
        prefix->ids.reserve(static_cast<size_t>(shape.max_prefix));
        prefix->image_rows.reserve(static_cast<size_t>(shape.image_tokens));
    }
}

void Session::load_action_head() {
    if (config_.head.empty()) throw Error("head", "the head.gguf of a continuous policy", "none");
    const GgufFile file(config_.head);
    action_head_ = std::make_unique<ActionHead>(backend_, file);
    const ActionHeadParams& params = action_head_->params();
    if (params.steps != config_.action_steps || params.dimensions != config_.action_dimensions) {
        throw Error(
            config_.head + ": steps and dimensions of the action",
            std::to_string(config_.action_steps) + " and " + std::to_string(config_.action_dimensions),
            std::to_string(params.steps) + " and " + std::to_string(params.dimensions));
    }
}

void Session::check_config() const {
    check_range("image_count", config_.image_count, 0, 64);
    check_range("max_text_tokens", config_.max_text_tokens, config_.image_count > 0 ? 0 : 1, kMostPositions);
    check_range("max_thought_tokens", config_.max_thought_tokens, 0, kMostPositions);
    check_range("action_steps", config_.action_steps, 0, kMostPositions);
    // A continuous policy has no action tokens, and only it has steps and dimensions.
    const int64_t least = config_.continuous() ? 0 : 1, most = config_.continuous() ? 0 : kMostPositions;
    check_range("action_tokens", config_.action_tokens, least, most);
    check_range("number of action token ids", static_cast<int64_t>(config_.action_token_ids.size()), least,
                most);
    check_range("action_dimensions", config_.action_dimensions, 1 - least,
                config_.continuous() ? kMostPositions : 0);
    check_range("gate_units", config_.gate_units, 0, kMostPositions);
    check_range("draft_units", config_.draft_units, 0, config_.action_tokens > 1 ? kMostPositions : 0);
    check_range("speculation_rows", config_.speculation_rows, 1, kMostRows);
    speculate_from(config_.speculate);
    kv_type(config_.kv_type);
}

void Session::check_ids(const std::vector<int32_t>& ids, const char* subject) const {
    for (const int32_t id : ids) check_range(subject, id, 0, config_.vocab_size - 1);
}

void Session::check_tag(int32_t tag) const {
    check_range("tag", tag, 0, config_.vocab_size - 1);
}

void Session::check_images(const std::vector<ImageView>& images) const {
    if (static_cast<int64_t>(images.size()) != config_.image_count) {
        throw Error("images", std::to_string(config_.image_count), std::to_string(images.size()));
    }
    for (const ImageView& image : images) {
        const int64_t side = vision_->params().image_size;
        if (image.height != side || image.width != side) {
            const std::string size = std::to_string(side);
            throw Error("image", "(" + size + ", " + size + ", 3)",
                        "(" + std::to_string(image.height) + ", " + std::to_string(image.width) + ", 3)");
        }
    }
}

void Session::encode(const std::vector<ImageView>& images) {
    if (!vision_) return;
    pixels_.clear();
    for (const ImageView& image : images) pixels_.push_back(image.pixels);
    vision_->encode(pixels_.data());
}

void Session::read_layout(const std::vector<int32_t>& layout, Prefix& prefix) const {
    prefix.ids.clear();
    prefix.filled = false;
    const int64_t tokens = vision_ ? vision_->token_count() : 0;
    const int64_t tokens_per_image = vision_ ? tokens / config_.image_count : 0;
    prefix.image_rows.assign(static_cast<size_t>(tokens), -1);
    for (const int32_t entry : layout) {
        if (entry >= 0) {
            check_range("layout: token id", entry, 0, config_.vocab_size - 1);
            prefix.ids.push_back(entry);
            continue;
        }
        const int64_t image = -1 - static_cast<int64_t>(entry);
        check_range("layout: image", image, 0, config_.image_count - 1);
        int64_t* rows = prefix.image_rows.data() + image * tokens_per_image;
        if (rows[0] >= 0) throw Error("layout: image " + std::to_string(image), "one place", "two");
        std::iota(rows, rows + tokens_per_image, static_cast<int64_t>(prefix.ids.size()));
        prefix.ids.resize(prefix.ids.size() + static_cast<size_t>(tokens_per_image), 0);
    }
    if (std::any_of(prefix.image_rows.begin(), prefix.image_rows.end(),
                    [](int64_t row) { return row < 0; })) {
        throw Error("layout", "each of " + std::to_string(config_.image_count) + " images once",
                    "a layout without one");
    }
    const int64_t text = static_cast<int64_t>(prefix.ids.size()) - tokens;
    check_range("layout: text tokens", text, tokens > 0 ? 0 : 1, config_.max_text_tokens);
}

void Session::fill(Prefix& prefix, Slot slot) {
    const auto start = Clock::now();
    decoder_->prefill(slot, prefix.ids.data(), static_cast<int64_t>(prefix.ids.size()),
                      prefix.image_rows.data());
    prefix.seconds = seconds_since(start);
    prefix.filled = true;
}

void Session::fill_observed() {
    if (!observed_) throw Error("session", "an observation first", "none");
    if (!prefix_.filled) fill(prefix_, Slot::live);
}

void Session::observe(const std::vector<ImageView>& images, const std::vector<int32_t>& layout) {
    const std::lock_guard lock(mutex_);
    const auto start = Clock::now();
    check_images(images);
    read_layout(layout, next_prefix_);
    decoder_->prepare_prefill(static_cast<int64_t>(next_prefix_.ids.size()));
    observed_ = false;
    encode(images);
    std::swap(prefix_, next_prefix_);
    observed_ = true;
    vision_seconds_ = seconds_since(start);
}

void Session::act(int32_t tag, ActResult& result) {
    const std::lock_guard lock(mutex_);
    check_tag(tag);
    fill_observed();
    decide(Slot::live, tag, vision_seconds_, prefix_.seconds, result, act_state_.data());
    acted_ = true;
    if (gate_) result.think_probability = gate_->probability(act_state_.data());
}

std::vector<float> Session::act_state() {
    const std::lock_guard lock(mutex_);
    return acted_ ? act_state_ : std::vector<float>{};
}

void Session::think_begin(int32_t tag) {
    const std::lock_guard lock(mutex_);
    check_tag(tag);
    if (config_.max_thought_tokens == 0) throw Error("session", "a policy with thoughts", "one without");
    fill_observed();
    decoder_->cache().fork(Slot::live, Slot::thought);
    thought_open_ = true;
    thought_next_ = tag;
    thought_.tokens.clear();
    thought_.finished = false;
}

int32_t Session::choose_thought() const {
    int32_t best = config_.thought_end_id;
    for (size_t id = 0; id < vocabulary_logits_.size(); ++id) {
        if (suppressed_[id]) continue;
        const float logit = vocabulary_logits_[id], top = vocabulary_logits_[static_cast<size_t>(best)];
        if (logit > top || (logit == top && static_cast<int32_t>(id) < best)) best = static_cast<int32_t>(id);
    }
    return best;
}

void Session::think_step() {
    if (static_cast<int64_t>(thought_.tokens.size()) == config_.max_thought_tokens) {
        // The end is forced whatever the model says next, so the last token is fed through the smallest head.
        if (action_head_) {
            decoder_->step(Slot::thought, Head::vocabulary, thought_next_, vocabulary_logits_.data());
        } else {
            decoder_->step(Slot::thought, Head::action, thought_next_, action_logits_.data());
        }
        thought_next_ = config_.thought_end_id;
    } else {
        decoder_->step(Slot::thought, Head::vocabulary, thought_next_, vocabulary_logits_.data());
        thought_next_ = choose_thought();
    }
    thought_.finished = thought_next_ == config_.thought_end_id;
    if (!thought_.finished) thought_.tokens.push_back(thought_next_);
}

void Session::think(std::optional<Clock::time_point> until, std::optional<int64_t> max_steps,
                    ThinkResult& result) {
    const std::lock_guard lock(mutex_);
    if (!thought_open_) throw Error("session", "think_begin first", "no open thought");
    const auto start = Clock::now();
    // Forgotten bit by bit, call by call: a step that was held up once must not keep a thought from going on.
    slowest_step_ *= kSlowestStepKept;
    for (int64_t steps = 0; !thought_.finished && (!max_steps || steps < *max_steps); ++steps) {
        const auto step_start = Clock::now();
        // A step that would pass the deadline is not begun; the slowest lately says how long one takes.
        const auto expected =
            std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(slowest_step_));
        if (until && step_start + expected >= *until) break;
        think_step();
        slowest_step_ = std::max(slowest_step_, seconds_since(step_start));
    }
    const double decode = seconds_since(start);
    thought_.timings = {0, 0, decode, decode};
    result = thought_;
}

void Session::act_after_thought(ActResult& result) {
    const std::lock_guard lock(mutex_);
    if (!thought_open_ || !thought_.finished) {
        throw Error("session", "a finished thought", thought_open_ ? "one that goes on" : "no open thought");
    }
    decide(Slot::thought, config_.thought_end_id, 0, 0, result);
}

void Session::act_with_thought(int32_t tag, const std::vector<int32_t>& thought, ActResult& result) {
    const std::lock_guard lock(mutex_);
    check_tag(tag);
    check_ids(thought, "thought token");
    check_range("thought tokens", static_cast<int64_t>(thought.size()), 0, config_.max_thought_tokens);
    fill_observed();
    const auto start = Clock::now();
    KvCache& cache = decoder_->cache();
    const int64_t length = cache.length(Slot::live);
    // The thought is given: no logit of it is read, so it is fed through the smallest head there is.
    const Head head = action_head_ ? Head::vocabulary : Head::action;
    std::vector<float>& logits = action_head_ ? vocabulary_logits_ : action_logits_;
    decoder_->step(Slot::live, head, tag, logits.data());
    for (const int32_t token : thought) decoder_->step(Slot::live, head, token, logits.data());
    const double reading = seconds_since(start);
    decide(Slot::live, config_.thought_end_id, vision_seconds_, prefix_.seconds, result);
    result.timings.decode += reading;
    result.timings.total += reading;
    cache.set_length(Slot::live, length);
}

void Session::follow(const std::vector<int32_t>& layout, int32_t tag, ActResult& result) {
    const std::lock_guard lock(mutex_);
    check_tag(tag);
    if (!observed_) throw Error("session", "an observation first", "none");
    read_layout(layout, followed_prefix_);
    fill(followed_prefix_, Slot::scratch);
    decide(Slot::scratch, tag, vision_seconds_, followed_prefix_.seconds, result);
}

std::vector<float> Session::logits(const std::vector<int32_t>& layout, const std::vector<ImageView>* images,
                                   const std::vector<int32_t>& tokens) {
    const std::lock_guard lock(mutex_);
    check_ids(tokens, "token id");
    Prefix prefix;
    read_layout(layout, prefix);
    const auto count = static_cast<int64_t>(tokens.size());
    check_range("tokens", count, 1, decoder_->cache().cells() - static_cast<int64_t>(prefix.ids.size()));
    if (images) check_images(*images);
    if (!images && vision_ && !observed_) throw Error("session", "images or an observation", "neither");
    // The observation's image tokens are put back afterwards: act may still have to prefill from them.
    std::vector<float> kept;
    if (images && vision_) {
        kept.resize(static_cast<size_t>(ggml_nelements(vision_->tokens())));
        ggml_backend_tensor_get(vision_->tokens(), kept.data(), 0, kept.size() * sizeof(float));
        encode(*images);
    }
    fill(prefix, Slot::scratch);
    if (!kept.empty())
        ggml_backend_tensor_set(vision_->tokens(), kept.data(), 0, kept.size() * sizeof(float));

    const auto width = static_cast<size_t>(decoder_->params().vocabulary);
    std::vector<float> out(tokens.size() * width);
    for (size_t i = 0; i < tokens.size(); ++i) {
        decoder_->step(Slot::scratch, Head::vocabulary, tokens[i], out.data() + i * width);
    }
    return out;
}

void Session::watch(Watcher watcher) {
    const std::lock_guard lock(mutex_);
    backend_.watch(std::move(watcher));
}

void Session::profile(bool on) {
    const std::lock_guard lock(mutex_);
    backend_.profile(on);
}

std::map<std::string, double> Session::profiled() {
    const std::lock_guard lock(mutex_);
    return backend_.profiled();
}

SessionInfo Session::info() {
    const std::lock_guard lock(mutex_);
    SessionInfo info{};
    info.decoder = decoder_->params();
    if (vision_) info.vision = vision_->params();
    info.image_tokens = vision_ ? vision_->token_count() : 0;
    info.max_prefix = info.image_tokens + config_.max_text_tokens;
    info.cells = decoder_->cache().cells();
    info.weight_bytes = decoder_->weight_bytes() + (vision_ ? vision_->weight_bytes() : 0) +
                        (action_head_ ? action_head_->weight_bytes() : 0);
    info.kv_bytes = decoder_->cache().bytes();
    info.workspace_bytes = workspace_.bytes();
    info.action_passes = decoder_->passes(Head::action);
    info.vocabulary_passes = decoder_->passes(Head::vocabulary);
    info.chunk_passes = decoder_->chunk_passes();
    info.speculation = speculation_->counts();
    info.speculating = speculation_->now();
    info.pass_seconds = speculation_->costs();
    info.rows_are_exact = decoder_->rows_are_exact();
    info.threads = backend_.threads();
    info.backend = backend_.name();
    info.cuts = backend_.cuts();
    return info;
}

}  // namespace hyt
