// Declares the decoder's weights.
#include "hyt/decoder_weights.h"

namespace hyt {

DecoderWeights::DecoderWeights(const Backend& backend, const GgufFile& file, const DecoderParams& params,
                               const std::vector<int32_t>& action_ids)
    : storage(backend, file) {
    const int64_t hidden = params.hidden, wide = params.feed_forward;
    const int64_t query = params.query_width(), kv = params.kv_width();
    embedding = storage.table("token_embd.weight", hidden, params.vocabulary, params.tied);
    const char* head = params.tied ? "token_embd.weight" : "output.weight";
    output = params.tied ? embedding : storage.head_matrix(head, hidden, params.vocabulary);
    action_head =
        action_ids.empty() ? nullptr : storage.chosen_rows(head, hidden, params.vocabulary, action_ids);
    rope_divisors =
        params.rope_divisors.empty() ? nullptr : storage.vector({kRopeDivisors}, {params.head_dim / 2});
    output_norm = storage.vector({"output_norm.weight"}, {hidden});
    for (int64_t i = 0; i < params.layers; ++i) {
        const std::string p = "blk." + std::to_string(i) + ".";
        DecoderLayer layer{};
        layer.attention_norm = storage.vector({p + "attn_norm.weight"}, {hidden});
        layer.feed_forward_norm = storage.vector({p + "ffn_norm.weight"}, {hidden});
        if (params.post_norms) {
            layer.post_attention_norm = storage.vector({p + "post_attention_norm.weight"}, {hidden});
            layer.post_feed_forward_norm = storage.vector({p + "post_ffw_norm.weight"}, {hidden});
        }
        if (params.query_key_norms) {
            layer.query_norm = storage.vector({p + "attn_q_norm.weight"}, {params.head_dim});
            layer.key_norm = storage.vector({p + "attn_k_norm.weight"}, {params.head_dim});
        }
        if (params.biases) {
            layer.qkv_bias =
                storage.vector({p + "attn_q.bias", p + "attn_k.bias", p + "attn_v.bias"}, {query, kv, kv});
        }
        const std::string q = p + "attn_q.weight", k = p + "attn_k.weight", v = p + "attn_v.weight";
        layer.qkv = storage.stacked_matrix({q, k, v}, hidden, {query, kv, kv});
        if (!layer.qkv) {
            layer.query = storage.matrix(q, hidden, query);
            layer.key = storage.matrix(k, hidden, kv);
            layer.value = storage.matrix(v, hidden, kv);
        }
        layer.out = storage.matrix(p + "attn_output.weight", query, hidden);
        const std::string gate = p + "ffn_gate.weight", up = p + "ffn_up.weight";
        layer.gate_up = storage.stacked_matrix({gate, up}, hidden, {wide, wide});
        if (!layer.gate_up) {
            layer.gate = storage.matrix(gate, hidden, wide);
            layer.up = storage.matrix(up, hidden, wide);
        }
        layer.down = storage.matrix(p + "ffn_down.weight", wide, hidden);
        layers.push_back(layer);
    }
    storage.load();
}

}  // namespace hyt
