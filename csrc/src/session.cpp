// Checks what comes in, drives the encoder and the decoder, times each phase; session_think.cpp writes and
// reads thoughts, session_decode.cpp decodes the action.
#include "hyt/session.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "hyt/error.h"

namespace hyt {
namespace {

// Beyond any prompt, and small enough that no size computed from it overflows.
constexpr int64_t kMostPositions = int64_t{1} << 20;

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
               activations(config.activations), foreign_device(config.device, config.foreign)),
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
    held_.reserve(static_cast<size_t>(config.max_thought_tokens) + 1);
    for (Prefix* prefix : {&prefix_, &next_prefix_, &followed_prefix_}) {
        prefix->ids.reserve(static_cast<size_t>(shape.max_prefix));
        prefix->image_rows.reserve(static_cast<size_t>(shape.image_tokens));
    }
}

double Session::seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
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
    if (config_.mapped_weights && backend_.foreign())
        throw Error("mapped_weights", "weights that are copied to " + backend_.name(),
                    "weights left in their files");
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
    info.reading_passes = decoder_->passes(Head::none);
    info.chunk_passes = decoder_->chunk_passes();
    info.speculation = speculation_->counts();
    info.speculating = speculation_->now();
    info.pass_seconds = speculation_->costs();
    info.rows_are_exact = decoder_->rows_are_exact();
    info.threads = backend_.threads();
    info.backend = backend_.name();
    info.device = backend_.device();
    info.cuts = backend_.cuts();
    return info;
}

}  // namespace hyt
