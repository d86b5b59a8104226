// Reads hyperparameters under llama.cpp's key names.
#include "hyt/hparams.h"

#include <cmath>

#include "hyt/error.h"

namespace hyt {
namespace {

// Far above any model, far below what could overflow in a product of three.
constexpr int64_t kLargest = int64_t{1} << 20;

float positive(const GgufFile& file, const std::string& key, double value) {
    if (!(value > 0) || value > 1e30)
        throw Error(file.path() + ": key " + key, "a positive number", std::to_string(value));
    return static_cast<float>(value);
}

// 0 (none) when the key is missing.
float softcap(const GgufFile& file, const std::string& key) {
    return file.has(key) ? positive(file, key, file.number(key)) : 0.0f;
}

DecoderParams read_gemma2(const GgufFile& file) {
    const std::string p = "gemma2.";
    DecoderParams d{};
    d.architecture = "gemma2";
    d.layers = file.integer(p + "block_count", 1, 1024);
    d.hidden = file.integer(p + "embedding_length", 1, kLargest);
    d.heads = file.integer(p + "attention.head_count", 1, 4096);
    d.kv_heads = file.integer(p + "attention.head_count_kv", 1, d.heads);
    d.head_dim = file.integer(p + "attention.key_length", 2, 4096);
    d.feed_forward = file.integer(p + "feed_forward_length", 1, kLargest);
    d.vocabulary = file.integer(p + "vocab_size", 2, int64_t{1} << 31);
    d.context = file.integer(p + "context_length", 1, int64_t{1} << 31);
    d.even_layers_slide = file.has(p + "attention.sliding_window");
    d.window =
        d.even_layers_slide ? file.integer(p + "attention.sliding_window", 1, int64_t{1} << 31) : d.context;
    d.rms_epsilon = positive(file, "rms epsilon", file.number(p + "attention.layer_norm_rms_epsilon"));
    d.rope_base = positive(file, "rope base", file.number(p + "rope.freq_base", 10000.0));
    d.embedding_scale = std::sqrt(static_cast<float>(d.hidden));
    const double usual = 1.0 / std::sqrt(static_cast<double>(d.head_dim));
    d.attention_scale = positive(file, "hyt.attention.scale", file.number("hyt.attention.scale", usual));
    d.attention_softcap = softcap(file, p + "attn_logit_softcapping");
    d.final_softcap = softcap(file, p + "final_logit_softcapping");
    if (file.integer(p + "attention.value_length", 2, 4096) != d.head_dim) {
        throw Error(file.path() + ": key " + p + "attention.value_length", "key_length", "another length");
    }
    return d;
}

}  // namespace

DecoderParams read_decoder_params(const GgufFile& file) {
    const std::string architecture = file.text("general.architecture");
    if (architecture != "gemma2")
        throw Error(file.path() + ": architecture", "gemma2", "'" + architecture + "'");
    const DecoderParams d = read_gemma2(file);
    if (d.heads % d.kv_heads != 0) {
        throw Error(file.path() + ": head_count_kv", "a divisor of " + std::to_string(d.heads),
                    std::to_string(d.kv_heads));
    }
    if (d.head_dim % 2 != 0)
        throw Error(file.path() + ": key_length", "an even length", std::to_string(d.head_dim));
    return d;
}

VisionParams read_vision_params(const GgufFile& file) {
    const std::string architecture = file.text("general.architecture");
    if (architecture != "clip") throw Error(file.path() + ": architecture", "clip", "'" + architecture + "'");
    const std::string projector = file.text("clip.projector_type");
    if (projector != "linear")
        throw Error(file.path() + ": clip.projector_type", "linear", "'" + projector + "'");
    const std::string p = "clip.vision.";
    VisionParams v{};
    v.image_size = file.integer(p + "image_size", 1, 4096);
    v.patch_size = file.integer(p + "patch_size", 1, v.image_size);
    v.layers = file.integer(p + "block_count", 1, 1024);
    v.hidden = file.integer(p + "embedding_length", 1, kLargest);
    v.heads = file.integer(p + "attention.head_count", 1, 4096);
    v.feed_forward = file.integer(p + "feed_forward_length", 1, kLargest);
    v.projection = file.integer(p + "projection_dim", 1, kLargest);
    v.norm_epsilon = positive(file, "layer norm epsilon", file.number(p + "attention.layer_norm_epsilon"));
    if (v.hidden % v.heads != 0) {
        throw Error(file.path() + ": head_count", "a divisor of " + std::to_string(v.hidden),
                    std::to_string(v.heads));
    }
    const std::vector<double> mean = file.numbers(p + "image_mean", 3);
    const std::vector<double> deviation = file.numbers(p + "image_std", 3);
    for (size_t c = 0; c < 3; ++c) {
        v.mean[c] = static_cast<float>(mean[c]);
        v.deviation[c] = positive(file, p + "image_std", deviation[c]);
    }
    return v;
}

}  // namespace hyt
