// Allocates the cache once; forking copies whole slots through views made here.
#include "hyt/kv_cache.h"

#include "hyt/error.h"
#include "hyt/huge_pages.h"

namespace hyt {

KvCache::KvCache(const Backend& backend, const DecoderParams& params, int64_t cells, ggml_type type,
                 int slots)
    : cells_(cells), count_(slots) {
    const auto tensors = static_cast<size_t>(params.layers * 2 * (1 + slots));
    context_.reset(ggml_init({tensors * ggml_tensor_overhead(), nullptr, true}));
    for (int64_t layer = 0; layer < params.layers; ++layer) {
        for (std::vector<ggml_tensor*>* side : {&keys_, &values_}) {
            ggml_tensor* all = ggml_new_tensor_2d(context_.get(), type, params.kv_width(), cells * slots);
            side->push_back(all);
            for (int slot = 0; slot < slots; ++slot) {
                const size_t offset = static_cast<size_t>(slot * cells) * all->nb[1];
                slots_.push_back(ggml_view_2d(context_.get(), all, all->ne[0], cells, all->nb[1], offset));
            }
        }
    }
    buffer_.reset(ggml_backend_alloc_ctx_tensors_from_buft(context_.get(), backend.buffer_type()));
    backend.check_memory(buffer_ != nullptr, "KV cache", "memory for it");
    ask_for_huge_pages(buffer_.get());
    // Masked cells are multiplied by zero: what is in them must be finite.
    ggml_backend_buffer_clear(buffer_.get(), 0);
}

void KvCache::set_length(Slot slot, int64_t length) {
    if (length < 0 || length > cells_) {
        throw Error("sequence length", "0 to " + std::to_string(cells_), std::to_string(length));
    }
    lengths_[static_cast<size_t>(slot)] = length;
}

void KvCache::move_views(const std::vector<ggml_tensor*>& views, Slot slot) const {
    for (ggml_tensor* view : views) {
        char* all = static_cast<char*>(view->view_src->data);
        view->data = all + static_cast<size_t>(first_row(slot)) * view->nb[2];
    }
}

void KvCache::fork(Slot from, Slot to) {
    for (size_t i = 0; i < slots_.size(); i += static_cast<size_t>(count_)) {
        ggml_backend_tensor_copy(slots_[i + static_cast<size_t>(from)], slots_[i + static_cast<size_t>(to)]);
    }
    lengths_[static_cast<size_t>(to)] = length(from);
}

}  // namespace hyt
