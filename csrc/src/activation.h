// Which vector function an activation is, as a constant that kernels are compiled for.
#pragma once

#include <type_traits>

#include "hyt/hparams.h"
#include "simd.h"

namespace hyt {

using ActivationFunction = simd::Vector (*)(simd::Vector);
template <ActivationFunction function>
using ActivationConstant = std::integral_constant<ActivationFunction, function>;

// use(constant) of the activation's function.
template <typename Use>
auto with_activation(Activation kind, const Use& use) {
    switch (kind) {
        case Activation::gelu_erf:
            return use(ActivationConstant<simd::gelu_erf>{});
        case Activation::gelu_quick:
            return use(ActivationConstant<simd::gelu_quick>{});
        case Activation::silu:
            return use(ActivationConstant<simd::silu>{});
        case Activation::gelu_tanh:
            break;
    }
    return use(ActivationConstant<simd::gelu_tanh>{});
}

}  // namespace hyt
