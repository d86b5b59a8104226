// Quantisation to and from every ggml weight type, by ggml's own code.
#pragma once

#include <ggml.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace hyt {

// True for a type that a matrix of weights may have; ggml's types for activations and integers are none.
bool is_weight_type(ggml_type type);

// Names of the types that `quantize` writes: "f32", "f16", "bf16", "q4_0", "q8_0", "q4_k", ...
std::vector<std::string> quantization_types();

// Elements of a row that one block of the type holds; a row length must be a multiple of it.
int64_t quantization_block(const std::string& type);

// Bytes of a (rows, columns) matrix of that type. Throws Error on an unknown type or a row that blocks do not
// divide.
size_t quantized_size(const std::string& type, int64_t rows, int64_t columns);

// Quantises `values` (rows, columns) row-major into `out` (quantized_size bytes).
// `importance` (columns) weighs each column's squared error; null for none. Throws Error on values that are
// not finite, on negative importance, and on a type that cannot be used without importance when there is
// none.
void quantize(const std::string& type, const float* values, int64_t rows, int64_t columns,
              const float* importance, uint8_t* out);

// The inverse: `bytes` (quantized_size) to `out` (rows, columns).
void dequantize(const std::string& type, const uint8_t* bytes, int64_t rows, int64_t columns, float* out);

}  // namespace hyt
