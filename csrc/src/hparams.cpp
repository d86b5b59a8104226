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

// What distinguishes the architectures, under llama.cpp's names for them.
struct Architecture {
    const char* name;
    Activation activation;
    bool scaled_embedding, softcaps_and_window, post_norms, query_key_norms, biases, rotates_pairs;
};
constexpr Architecture kArchitectures[] = {
    {"gemma", Activation::gelu_tanh, true, false, false, false, false, false},
    {"gemma2", Activation::gelu_tanh, true, true, true, false, false, false},
    {"llama", Activation::silu, false, false, false, false, false, true},
    {"qwen2", Activation::silu, false, false, false, false, true, false},
    {"qwen3", Activation::silu, false, false, false, true, false, false},
};

const Architecture& find_architecture(const GgufFile& file) {
    const std::string name = file.text("general.architecture");
    std::string known;
    for (const Architecture& architecture : kArchitectures) {
        if (name == architecture.name) return architecture;
        known += (known.empty() ? "" : ", ") + std::string(architecture.name);
    }
    throw Error(file.path() + ": architecture", "one of " + known, "'" + name + "'");
}

// What all positions are multiplied by: llama.cpp's linear scaling, which is what it takes for granted.
float rope_scale(const GgufFile& file, const std::string& p) {
    const std::string type = p + "rope.scaling.type", factor = p + "rope.scaling.factor";
    const std::string kind = file.has(type) ? file.text(type) : "linear";
    if (kind != "none" && kind != "linear")
        throw Error(file.path() + ": key " + type, "none or linear", "'" + kind + "'");
    if (kind == "none" || !file.has(factor)) return 1.0f;
    return 1.0f / positive(file, factor, file.number(factor));
}

// Llama 3's scaling, as numbers.
std::vector<float> rope_divisors(const GgufFile& file, int64_t pairs) {
    if (!file.has_tensor(kRopeDivisors)) return {};
    const GgufTensor& found = file.tensor(kRopeDivisors, {pairs});
    const std::string subject = file.path() + ": tensor " + kRopeDivisors;
    if (found.type != GGML_TYPE_F32) throw Error(subject, "type f32", ggml_type_name(found.type));
    const auto* values = reinterpret_cast<const float*>(found.data);
    std::vector<float> divisors(values, values + pairs);
    for (const float divisor : divisors) {
        if (!(divisor > 0) || !std::isfinite(divisor))
            throw Error(subject, "positive numbers", std::to_string(divisor));
    }
    return divisors;
}

bool reads_causally(const GgufFile& file) {
    const std::string key = "hyt.prefix_attention";
    if (!file.has(key)) return false;
    const std::string value = file.text(key);
    if (value != "causal" && value != "bidirectional") {
        throw Error(file.path() + ": key " + key, "causal or bidirectional", "'" + value + "'");
    }
    return value == "causal";
}

void check(const GgufFile& file, const DecoderParams& d) {
    if (file.integer(d.architecture + ".attention.value_length", 2, 4096) != d.head_dim) {
        throw Error(file.path() + ": key " + d.architecture + ".attention.value_length", "key_length",
                    "another length");
    }
    if (d.heads % d.kv_heads != 0) {
        throw Error(file.path() + ": head_count_kv", "a divisor of " + std::to_string(d.heads),
                    std::to_string(d.kv_heads));
    }
    if (d.head_dim % 2 != 0)
        throw Error(file.path() + ": key_length", "an even length", std::to_string(d.head_dim));
}

}  // namespace

DecoderParams read_decoder_params(const GgufFile& file) {
    const Architecture& a = find_architecture(file);
    DecoderParams d{};
    d.architecture = a.name;
    const std::string p = d.architecture + ".";
    d.layers = file.integer(p + "block_count", 1, 1024);
    d.hidden = file.integer(p + "embedding_length", 1, kLargest);
    d.heads = file.integer(p + "attention.head_count", 1, 4096);
    d.kv_heads = file.integer(p + "attention.head_count_kv", 1, d.heads);
    d.head_dim = file.integer(p + "attention.key_length", 2, 4096);
    d.feed_forward = file.integer(p + "feed_forward_length", 1, kLargest);
    d.vocabulary = file.integer(p + "vocab_size", 2, int64_t{1} << 31);
    d.context = file.integer(p + "context_length", 1, int64_t{1} << 31);
    d.even_layers_slide = a.softcaps_and_window && file.has(p + "attention.sliding_window");
    d.window =
        d.even_layers_slide ? file.integer(p + "attention.sliding_window", 1, int64_t{1} << 31) : d.context;
    d.rms_epsilon = positive(file, "rms epsilon", file.number(p + "attention.layer_norm_rms_epsilon"));
    d.rope_base = positive(file, "rope base", file.number(p + "rope.freq_base", 10000.0));
    d.rope_scale = rope_scale(file, p);
    d.embedding_scale = a.scaled_embedding ? std::sqrt(static_cast<float>(d.hidden)) : 1.0f;
    const double usual = 1.0 / std::sqrt(static_cast<double>(d.head_dim));
    d.attention_scale = positive(file, "hyt.attention.scale", file.number("hyt.attention.scale", usual));
    if (a.softcaps_and_window) {
        d.attention_softcap = softcap(file, p + "attn_logit_softcapping");
        d.final_softcap = softcap(file, p + "final_logit_softcapping");
    }
    d.activation = a.activation;
    d.post_norms = a.post_norms;
    d.query_key_norms = a.query_key_norms;
    d.biases = a.biases;
    d.tied = !file.has_tensor("output.weight");
    d.rotates_pairs = a.rotates_pairs;
    d.causal = reads_causally(file);
    check(file, d);
    d.rope_divisors = rope_divisors(file, d.head_dim / 2);
    return d;
}

namespace {

bool flag(const GgufFile& file, const std::string& key, bool fallback) {
    return file.has(key) ? file.integer(key, 0, 1) != 0 : fallback;
}

Activation read_activation(const GgufFile& file, const std::string& key) {
    if (!file.has(key)) return Activation::gelu_tanh;
    const std::string name = file.text(key);
    if (name == "gelu_tanh") return Activation::gelu_tanh;
    if (name == "gelu_erf") return Activation::gelu_erf;
    if (name == "gelu_quick") return Activation::gelu_quick;
    throw Error(file.path() + ": key " + key, "gelu_tanh, gelu_erf or gelu_quick", "'" + name + "'");
}

// The first tower stands under llama.cpp's keys, a second one and what llama.cpp has no key for under ours.
TowerParams read_tower(const GgufFile& file, int index, int64_t image_size) {
    const std::string own = "hyt.vision." + std::to_string(index) + ".";
    const std::string p = index == 0 ? "clip.vision." : own;
    TowerParams t{};
    t.tensors = index == 0 ? "v." : "v" + std::to_string(index) + ".";
    t.image_size = image_size;
    t.patch_size = file.integer(p + "patch_size", 1, image_size);
    t.layers = file.integer(p + "block_count", 1, 1024);
    t.hidden = file.integer(p + "embedding_length", 1, kLargest);
    t.heads = file.integer(p + "attention.head_count", 1, 4096);
    t.feed_forward = file.integer(p + "feed_forward_length", 1, kLargest);
    t.norm_epsilon = positive(file, "layer norm epsilon", file.number(p + "attention.layer_norm_epsilon"));
    if (t.hidden % t.heads != 0) {
        throw Error(file.path() + ": head_count", "a divisor of " + std::to_string(t.hidden),
                    std::to_string(t.heads));
    }
    const std::vector<double> mean = file.numbers(p + "image_mean", 3);
    const std::vector<double> deviation = file.numbers(p + "image_std", 3);
    for (size_t c = 0; c < 3; ++c) {
        t.mean[c] = static_cast<float>(mean[c]);
        t.deviation[c] = positive(file, p + "image_std", deviation[c]);
    }
    t.activation = read_activation(file, own + "activation");
    t.class_token = flag(file, own + "class_token", false);
    t.class_position = t.class_token && flag(file, own + "class_position", false);
    t.registers = file.has(own + "registers") ? file.integer(own + "registers", 0, 256) : 0;
    t.patch_bias = flag(file, own + "patch_bias", true);
    t.pre_norm = flag(file, own + "pre_norm", false);
    t.post_norm = flag(file, own + "post_norm", true);
    t.layer_scale = flag(file, own + "layer_scale", false);
    return t;
}

}  // namespace

VisionParams read_vision_params(const GgufFile& file) {
    const std::string architecture = file.text("general.architecture");
    if (architecture != "clip") throw Error(file.path() + ": architecture", "clip", "'" + architecture + "'");
    VisionParams v{};
    v.image_size = file.integer("clip.vision.image_size", 1, 4096);
    const bool two = file.has("hyt.vision.1.block_count");
    for (int i = 0; i < (two ? 2 : 1); ++i) v.towers.push_back(read_tower(file, i, v.image_size));
    if (v.towers.back().patches() != v.patches()) {
        throw Error(file.path() + ": vision towers", "as many patches in each", "different numbers");
    }
    const std::string projector = file.text("clip.projector_type");
    const size_t maps = projector == "linear" ? 1 : projector == "mlp" ? 2 : projector == "fused" ? 3 : 0;
    if (maps == 0) {
        throw Error(file.path() + ": clip.projector_type", "linear, mlp or fused", "'" + projector + "'");
    }
    for (size_t i = 0; i + 1 < maps; ++i) {
        v.projector.push_back(file.integer("hyt.projector." + std::to_string(i) + ".width", 1, kLargest));
    }
    v.projector.push_back(file.integer("clip.vision.projection_dim", 1, kLargest));
    return v;
}

}  // namespace hyt
