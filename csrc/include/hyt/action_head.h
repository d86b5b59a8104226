// The head of a continuous policy: from the final hidden states of its action slots to a whole chunk at once.
//
//     x = the slots of a step side by side     (dimensions * hidden, steps)
//     h = gelu(input(norm(x)))                 (width, steps)
//     h = h + gelu(block(norm(h)))             (width, steps), `blocks` times
//     y = output(norm(h))                      (dimensions, steps), each dimension's range as -1 to 1
//
// norm is LayerNorm, gelu its tanh form, each matrix has a bias (OpenVLA-OFT's head, Kim et al. 2025, with
// GELU for ReLU). head.gguf holds the keys hyt.action.{hidden, steps, dimensions, width, blocks,
// norm_epsilon} and the tensors action.slots.weight and action.{input, blocks.I, output}.{norm,
// linear}.{weight, bias}.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hyt/gguf_file.h"
#include "hyt/graph.h"
#include "hyt/weights.h"

namespace hyt {

struct ActionHeadParams {
    int64_t hidden;  // the decoder's width
    int64_t steps, dimensions;
    int64_t width, blocks;
    float norm_epsilon;

    int64_t slots() const { return steps * dimensions; }
};

class ActionHead {
  public:
    // Throws Error when a key or tensor is missing, out of range or of another shape.
    ActionHead(const Backend& backend, const GgufFile& file);

    const ActionHeadParams& params() const { return params_; }
    size_t weight_bytes() const { return weights_.bytes(); }

    // (hidden, slots) float32, step by step: what stands for a slot where a token has its row of the
    // embedding.
    ggml_tensor* slots() const { return slots_; }

    // Nodes that build() adds to a graph at most.
    size_t node_count() const;

    // states (hidden, slots), contiguous -> (dimensions, steps).
    ggml_tensor* build(const Graph& graph, ggml_tensor* states) const;

  private:
    struct Layer {
        ggml_tensor *norm, *norm_bias;  // (columns)
        ggml_tensor *weight, *bias;     // (columns, rows), (rows)
    };

    Layer declare(const std::string& name, int64_t columns, int64_t rows);
    // The layer's matrix times its normed input, without the bias.
    ggml_tensor* projected(const Graph& graph, const Layer& layer, ggml_tensor* x) const;

    const Backend& backend_;
    ActionHeadParams params_;
    Weights weights_;
    ggml_tensor* slots_;
    Layer input_, output_;
    std::vector<Layer> blocks_;
};

}  // namespace hyt
