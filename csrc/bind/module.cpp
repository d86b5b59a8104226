// The Python module hyt.runtime._core: converts arguments, releases the GIL, calls the core; nothing else.
#include "bind.h"

PYBIND11_MODULE(_core, module) {
    module.doc() = "The C++ core of HyT: decodes vision-language-action policies on ggml.";
    hyt::bind::add_errors(module);
    hyt::bind::add_quantize(module);
    hyt::bind::add_session(module);
}
