// Makes operators of ours and reads back what they call.
#include "ops.h"

#include <algorithm>
#include <cstring>

#include "hyt/error.h"

namespace hyt {
namespace {

// As ggml keeps them in a node's op_params; checked whenever one is made.
struct CustomParams {
    ggml_custom_op_t kernel;
    int tasks;
    void* user;
};

void no_work(ggml_tensor*, int, int, void*) {}

CustomParams params_of(const ggml_tensor* node) {
    CustomParams params{};
    std::memcpy(&params, node->op_params, sizeof params);
    return params;
}

ggml_tensor* checked(ggml_tensor* node, const char* name, ggml_custom_op_t kernel, const void* user) {
    const CustomParams params = params_of(node);
    if (params.kernel != kernel || params.user != user) {
        throw Error("ggml", "the custom operators of the version that hyt is built for", "another layout");
    }
    return ggml_set_name(node, name);
}

}  // namespace

ggml_tensor* custom(ggml_context* c, const char* name, ggml_type type, int64_t ne0, int64_t ne1,
                    std::initializer_list<ggml_tensor*> sources, ggml_custom_op_t kernel, const void* user) {
    ggml_tensor* from[GGML_MAX_SRC];
    std::copy(sources.begin(), sources.end(), from);
    ggml_tensor* node = ggml_custom_4d(c, type, ne0, ne1, 1, 1, from, static_cast<int>(sources.size()),
                                       kernel, GGML_N_TASKS_MAX, const_cast<void*>(user));
    return checked(node, name, kernel, user);
}

ggml_tensor* custom_inplace(ggml_context* c, const char* name, ggml_tensor* x,
                            std::initializer_list<ggml_tensor*> others, ggml_custom_op_t kernel,
                            const void* user) {
    ggml_tensor* from[GGML_MAX_SRC];
    std::copy(others.begin(), others.end(), from);
    ggml_tensor* node = ggml_custom_inplace(c, x, from, static_cast<int>(others.size()), kernel,
                                            GGML_N_TASKS_MAX, const_cast<void*>(user));
    return checked(node, name, kernel, user);
}

ggml_tensor* scratch(ggml_context* c, int64_t floats) {
    return custom(c, "scratch", GGML_TYPE_F32, floats, 1, {}, no_work, nullptr);
}

bool call_of(const ggml_tensor* node, Call& call) {
    switch (node->op) {
        case GGML_OP_CUSTOM: {
            const CustomParams params = params_of(node);
            call = {params.kernel == no_work ? nullptr : params.kernel, params.user};
            return true;
        }
        case GGML_OP_NONE:
        case GGML_OP_VIEW:
        case GGML_OP_RESHAPE:
        case GGML_OP_PERMUTE:
        case GGML_OP_TRANSPOSE:
            call = {nullptr, nullptr};
            return true;
        default:
            return false;
    }
}

}  // namespace hyt
