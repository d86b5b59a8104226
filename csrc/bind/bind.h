// What each part of the module adds to it.
#pragma once

#include <pybind11/pybind11.h>

namespace hyt::bind {

void add_errors(pybind11::module_& module);
void add_quantize(pybind11::module_& module);
void add_session(pybind11::module_& module);

}  // namespace hyt::bind
