// Cuts patches out of images and multiplies them, a few at a time.
#include "hyt/patches.h"

#include <algorithm>

#include "hyt/backend.h"
#include "ops.h"
#include "simd.h"

namespace hyt {

Patches::Patches(const TowerParams& params) : params_(params) {
    for (size_t c = 0; c < 3; ++c) {
        for (size_t byte = 0; byte < 256; ++byte) {
            normalised_[c][byte] = (static_cast<float>(byte) / 255.0f - params.mean[c]) / params.deviation[c];
        }
    }
}

void Patches::write(int64_t index, float* to) const {
    const int64_t size = params_.image_size, patch = params_.patch_size, side = params_.patches_per_side();
    const uint8_t* image = images_[index / params_.patches()];
    const int64_t at = index % params_.patches(), row = at / side * patch, column = at % side * patch;
    for (size_t c = 0; c < 3; ++c) {
        for (int64_t y = 0; y < patch; ++y) {
            const uint8_t* pixel = image + ((row + y) * size + column) * 3;
            for (int64_t x = 0; x < patch; ++x)
                *to++ = normalised_[c][pixel[3 * x + static_cast<int64_t>(c)]];
        }
    }
}

namespace ops {
namespace {

using simd::kLanes;
using simd::Vector;

constexpr int64_t kTile = 4;       // rows and patches of a tile: sixteen sums
constexpr int64_t kTogether = 16;  // patches that are cut out at a time: the matrix is read once for them all

// Dot products of a tile's rows and columns, which lie `n` apart.
void multiply_tile(const float* const (&rows)[kTile], const float* columns, int64_t n,
                   float (&out)[kTile][kTile]) {
    const int64_t whole = n / kLanes * kLanes;
    Vector sums[kTile][kTile] = {};
    for (int64_t i = 0; i < whole; i += kLanes) {
        Vector left[kTile];
        for (int64_t r = 0; r < kTile; ++r) left[r] = simd::load(rows[r] + i);
        for (int64_t c = 0; c < kTile; ++c) {
            const Vector right = simd::load(columns + c * n + i);
            for (int64_t r = 0; r < kTile; ++r) sums[c][r] += left[r] * right;
        }
    }
    for (int64_t c = 0; c < kTile; ++c) {
        for (int64_t r = 0; r < kTile; ++r) {
            out[c][r] = simd::sum(sums[c][r]);
            for (int64_t i = whole; i < n; ++i) out[c][r] += rows[r][i] * columns[c * n + i];
        }
    }
}

void compute_patches(ggml_tensor* out, int thread, int threads, void* user) {
    const auto& patches = *static_cast<const Patches*>(user);
    const ggml_tensor *matrix = out->src[0], *bias = out->src[1];
    const int64_t n = patches.values(), all_rows = out->ne[0], all = out->ne[1];
    float* cut = static_cast<float*>(out->src[2]->data) + thread * kTogether * n;
    const auto [begin, end] = share((all + kTile - 1) / kTile, thread, threads);
    for (int64_t first = begin * kTile; first < std::min(all, end * kTile); first += kTogether) {
        const int64_t last = std::min({first + kTogether, all, end * kTile});
        // The last patch stands for those that a small tile does not have.
        const int64_t padded = (last - first + kTile - 1) / kTile * kTile;
        for (int64_t i = 0; i < padded; ++i) patches.write(std::min(first + i, last - 1), cut + i * n);
        for (int64_t row = 0; row < all_rows; row += kTile) {
            const float* rows[kTile];
            for (int64_t r = 0; r < kTile; ++r) rows[r] = column(matrix, std::min(row + r, all_rows - 1));
            for (int64_t at = first; at < last; at += kTile) {
                float tile[kTile][kTile];
                multiply_tile(rows, cut + (at - first) * n, n, tile);
                for (int64_t c = 0; c < std::min(kTile, last - at); ++c) {
                    for (int64_t r = 0; r < std::min(kTile, all_rows - row); ++r)
                        column(out, at + c)[row + r] = tile[c][r] + (bias ? column(bias, 0)[row + r] : 0.0f);
                }
            }
        }
    }
}

}  // namespace

ggml_tensor* patch_product(ggml_context* c, const Backend& backend, ggml_tensor* matrix,
                           const Patches& patches, int64_t count, ggml_tensor* bias) {
    ggml_tensor* cut = scratch(c, kTogether * patches.values() * backend.threads());
    return custom(c, "patches", GGML_TYPE_F32, matrix->ne[1], count, {matrix, bias, cut}, compute_patches,
                  &patches);
}

}  // namespace ops
}  // namespace hyt
