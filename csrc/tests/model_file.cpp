// Writes random models tensor by tensor.
#include "model_file.h"

#include <ggml-cpp.h>
#include <gguf.h>

#include <random>

#include "hyt/quantize.h"

namespace hyt::test {
namespace {

constexpr int64_t kHidden = 64, kLayers = 3, kHeads = 4, kKvHeads = 2, kHeadDim = 16, kWide = 96,
                  kVocabulary = 64, kGateUnits = 8;
constexpr int64_t kVisionHidden = 32, kVisionHeads = 2, kVisionWide = 64, kSide = 12, kPatch = 4;

class Writer {
  public:
    Writer(const char* architecture, bool quantized, unsigned seed)
        : file_(gguf_init_empty()),
          context_(ggml_init({size_t{8} << 20, nullptr, false})),
          quantized_(quantized),
          random_(seed) {
        gguf_set_val_str(file_.get(), "general.architecture", architecture);
    }

    gguf_context* file() { return file_.get(); }
    void integer(const std::string& key, uint32_t value) {
        gguf_set_val_u32(file_.get(), key.c_str(), value);
    }
    void number(const std::string& key, float value) { gguf_set_val_f32(file_.get(), key.c_str(), value); }

    void vector(const std::string& name, int64_t n, float around) {
        add(name, GGML_TYPE_F32, {n}, around, 0.1f);
    }

    // (columns, rows) as the format stores it: `columns` elements in a row.
    void matrix(const std::string& name, int64_t columns, int64_t rows, ggml_type type = GGML_TYPE_Q4_0) {
        add(name, quantized_ ? type : GGML_TYPE_F32, {columns, rows}, 0.0f,
            1.0f / std::sqrt(static_cast<float>(columns)));
    }

    void add(const std::string& name, ggml_type type, const std::vector<int64_t>& shape, float around,
             float spread) {
        ggml_tensor* tensor =
            ggml_new_tensor(context_.get(), type, static_cast<int>(shape.size()), shape.data());
        ggml_set_name(tensor, name.c_str());
        std::normal_distribution<float> normal(around, spread);
        std::vector<float> values(static_cast<size_t>(ggml_nelements(tensor)));
        for (float& value : values) value = normal(random_);
        if (type == GGML_TYPE_F32) {
            std::copy(values.begin(), values.end(), static_cast<float*>(tensor->data));
        } else {
            quantize(ggml_type_name(type), values.data(), tensor->ne[1], tensor->ne[0], nullptr,
                     static_cast<uint8_t*>(tensor->data));
        }
        gguf_add_tensor(file_.get(), tensor);
    }

    void write(const std::string& path) { gguf_write_to_file(file_.get(), path.c_str(), false); }

  private:
    gguf_context_ptr file_;
    ggml_context_ptr context_;
    bool quantized_;
    std::mt19937 random_;
};

void write_language(const std::string& path, bool quantized) {
    Writer w("gemma2", quantized, 1);
    w.integer("gemma2.block_count", kLayers);
    w.integer("gemma2.embedding_length", kHidden);
    w.integer("gemma2.attention.head_count", kHeads);
    w.integer("gemma2.attention.head_count_kv", kKvHeads);
    w.integer("gemma2.attention.key_length", kHeadDim);
    w.integer("gemma2.attention.value_length", kHeadDim);
    w.integer("gemma2.attention.sliding_window", 128);
    w.integer("gemma2.feed_forward_length", kWide);
    w.integer("gemma2.vocab_size", kVocabulary);
    w.integer("gemma2.context_length", 128);
    w.number("gemma2.attention.layer_norm_rms_epsilon", 1e-6f);
    w.number("gemma2.attn_logit_softcapping", 50.0f);
    w.number("gemma2.final_logit_softcapping", 30.0f);
    w.matrix("token_embd.weight", kHidden, kVocabulary, GGML_TYPE_Q8_0);
    w.vector("output_norm.weight", kHidden, 1.0f);
    for (int64_t i = 0; i < kLayers; ++i) {
        const std::string p = "blk." + std::to_string(i) + ".";
        for (const char* norm : {"attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"}) {
            w.vector(p + norm + ".weight", kHidden, 1.0f);
        }
        w.matrix(p + "attn_q.weight", kHidden, kHeads * kHeadDim);
        w.matrix(p + "attn_k.weight", kHidden, kKvHeads * kHeadDim);
        w.matrix(p + "attn_v.weight", kHidden, kKvHeads * kHeadDim);
        w.matrix(p + "attn_output.weight", kHeads * kHeadDim, kHidden);
        w.matrix(p + "ffn_gate.weight", kHidden, kWide);
        w.matrix(p + "ffn_up.weight", kHidden, kWide);
        w.matrix(p + "ffn_down.weight", kWide, kHidden);
    }
    w.write(path);
}

void write_vision(const std::string& path, bool quantized) {
    Writer w("clip", quantized, 2);
    const std::string keys = "clip.vision.";
    gguf_set_val_str(w.file(), "clip.projector_type", "linear");
    w.integer(keys + "image_size", kSide);
    w.integer(keys + "patch_size", kPatch);
    w.integer(keys + "block_count", 1);
    w.integer(keys + "embedding_length", kVisionHidden);
    w.integer(keys + "attention.head_count", kVisionHeads);
    w.integer(keys + "feed_forward_length", kVisionWide);
    w.integer(keys + "projection_dim", kHidden);
    w.number(keys + "attention.layer_norm_epsilon", 1e-6f);
    const float half[3] = {0.5f, 0.5f, 0.5f};
    gguf_set_arr_data(w.file(), (keys + "image_mean").c_str(), GGUF_TYPE_FLOAT32, half, 3);
    gguf_set_arr_data(w.file(), (keys + "image_std").c_str(), GGUF_TYPE_FLOAT32, half, 3);
    const auto linear = [&](const std::string& name, int64_t columns, int64_t rows) {
        w.matrix(name + ".weight", columns, rows);
        w.vector(name + ".bias", rows, 0.0f);
    };
    const auto norm = [&](const std::string& name) {
        w.vector(name + ".weight", kVisionHidden, 1.0f);
        w.vector(name + ".bias", kVisionHidden, 0.0f);
    };
    w.add("v.patch_embd.weight", GGML_TYPE_F32, {kPatch, kPatch, 3, kVisionHidden}, 0.0f, 0.1f);
    w.vector("v.patch_embd.bias", kVisionHidden, 0.0f);
    w.add("v.position_embd.weight", GGML_TYPE_F32, {kVisionHidden, (kSide / kPatch) * (kSide / kPatch)}, 0.0f,
          0.3f);
    for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_out"}) {
        linear(std::string("v.blk.0.") + name, kVisionHidden, kVisionHidden);
    }
    norm("v.blk.0.ln1");
    norm("v.blk.0.ln2");
    linear("v.blk.0.ffn_up", kVisionHidden, kVisionWide);
    linear("v.blk.0.ffn_down", kVisionWide, kVisionHidden);
    norm("v.post_ln");
    linear("mm.0", kVisionHidden, kHidden);
    w.write(path);
}

// A gate; and, where there are steps, the head of a continuous action.
void write_head(const std::string& path, int64_t steps, int64_t dimensions) {
    constexpr int64_t kWidth = 32;
    Writer w("hyt-head", false, 3);
    w.matrix("gate.up.weight", kHidden, kGateUnits);
    w.vector("gate.up.bias", kGateUnits, 0.0f);
    w.vector("gate.down.weight", kGateUnits, 0.0f);
    w.vector("gate.down.bias", 1, 0.0f);
    if (steps == 0) {
        w.write(path);
        return;
    }
    w.integer("hyt.action.hidden", kHidden);
    w.integer("hyt.action.steps", static_cast<uint32_t>(steps));
    w.integer("hyt.action.dimensions", static_cast<uint32_t>(dimensions));
    w.integer("hyt.action.width", kWidth);
    w.integer("hyt.action.blocks", 1);
    w.number("hyt.action.norm_epsilon", 1e-5f);
    const auto layer = [&](const std::string& name, int64_t columns, int64_t rows) {
        w.vector(name + ".norm.weight", columns, 1.0f);
        w.vector(name + ".norm.bias", columns, 0.0f);
        w.matrix(name + ".linear.weight", columns, rows);
        w.vector(name + ".linear.bias", rows, 0.0f);
    };
    w.matrix("action.slots.weight", kHidden, steps * dimensions);
    layer("action.input", dimensions * kHidden, kWidth);
    layer("action.blocks.0", kWidth, kWidth);
    layer("action.output", kWidth, dimensions);
    w.write(path);
}

}  // namespace

SessionConfig write_model(const std::string& directory, bool quantized) {
    SessionConfig config;
    config.language = directory + "/language.gguf";
    config.vision = directory + "/vision.gguf";
    write_language(config.language, quantized);
    write_vision(config.vision, quantized);
    config.head = directory + "/head.gguf";
    write_head(config.head, 0, 0);
    config.gate_units = kGateUnits;
    config.image_count = 2;
    config.max_text_tokens = 16;
    config.max_thought_tokens = 8;
    config.action_tokens = 4;
    for (int32_t id = 40; id < 64; ++id) config.action_token_ids.push_back(id);
    config.thought_suppressed_ids = config.action_token_ids;
    config.thought_end_id = 1;
    return config;
}

SessionConfig write_continuous_model(const std::string& directory, bool quantized) {
    SessionConfig config = write_model(directory, quantized);
    config.action_steps = 3;
    config.action_dimensions = 5;
    config.action_tokens = 0;
    config.action_token_ids.clear();
    write_head(config.head, config.action_steps, config.action_dimensions);
    return config;
}

std::vector<int32_t> layout(int text) {
    std::vector<int32_t> ids = {-1, -2};
    for (int i = 0; i < text; ++i) ids.push_back(2 + (7 * i) % 38);
    return ids;
}

Images::Images(unsigned seed) {
    std::mt19937 random(seed);
    for (std::vector<uint8_t>& image : pixels) {
        image.resize(kSide * kSide * 3);
        for (uint8_t& value : image) value = static_cast<uint8_t>(random());
    }
}

std::vector<ImageView> Images::views() const {
    return {{pixels[0].data(), kSide, kSide}, {pixels[1].data(), kSide, kSide}};
}

}  // namespace hyt::test
