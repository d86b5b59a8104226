// What our operators share: how they are made, and how their kernels find their part.
#pragma once

#include <ggml.h>

#include <cstdint>
#include <initializer_list>
#include <utility>

namespace hyt {

// The part [first, last) of `count` that a thread has; the same for the same number of threads.
inline std::pair<int64_t, int64_t> share(int64_t count, int thread, int threads) {
    return {count * thread / threads, count * (thread + 1) / threads};
}

// Column `index` of a float32 matrix.
inline float* column(const ggml_tensor* t, int64_t index) {
    return reinterpret_cast<float*>(static_cast<char*>(t->data) + static_cast<size_t>(index) * t->nb[1]);
}

// An operator of ours. Its name is what a profile counts it under; `user` is only read, and outlives the
// graph.
ggml_tensor* custom(ggml_context* c, const char* name, ggml_type type, int64_t ne0, int64_t ne1,
                    std::initializer_list<ggml_tensor*> sources, ggml_custom_op_t kernel, const void* user);

// One that writes into `x`, the first of its sources, and stands for it.
ggml_tensor* custom_inplace(ggml_context* c, const char* name, ggml_tensor* x,
                            std::initializer_list<ggml_tensor*> others, ggml_custom_op_t kernel,
                            const void* user);

// `floats` for an operator's threads to work in: the last of its sources. It has memory from just before it
// to just behind it.
ggml_tensor* scratch(ggml_context* c, int64_t floats);

// Runs the part of an operator that a thread has; false: it is one of ggml's. Nodes without work are ours.
struct Call {
    ggml_custom_op_t kernel;  // null: no work
    void* user;
};
bool call_of(const ggml_tensor* node, Call& call);

}  // namespace hyt
