// Patches of images, as a vision transformer's first layer reads them.
#pragma once

#include <ggml.h>

#include <array>
#include <cstdint>

#include "hyt/hparams.h"

namespace hyt {

class Backend;

class Patches {
  public:
    // `params` outlives this.
    explicit Patches(const TowerParams& params);

    int64_t values() const { return params_.patch_values(); }
    // images[i]: uint8 RGB (image_size, image_size, 3). They are read until the next call.
    void set(const uint8_t* const* images) { images_ = images; }
    // Patch `index` of all images' in reading order, normalised and as the convolution's weights lie:
    // channel, row, column. `to` has values().
    void write(int64_t index, float* to) const;

  private:
    const TowerParams& params_;
    const uint8_t* const* images_ = nullptr;
    std::array<std::array<float, 256>, 3> normalised_;  // value of each byte in each channel
};

namespace ops {

// matrix (values, rows) times `count` patches, which are cut out as they are needed, plus `bias` (rows), null
// for none -> (rows, count), float32. `patches` outlives the graph. Needs our kernels.
ggml_tensor* patch_product(ggml_context* c, const Backend& backend, ggml_tensor* matrix,
                           const Patches& patches, int64_t count, ggml_tensor* bias);

}  // namespace ops
}  // namespace hyt
