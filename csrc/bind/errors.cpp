// Translates hyt::Error into the Python exception CoreError with attributes subject, expected, received, and
// what a device lacks into its child DeviceError.
#include "bind.h"
#include "hyt/device.h"
#include "hyt/error.h"

namespace py = pybind11;

namespace hyt::bind {
namespace {

void raise(py::handle type, const Error& error) {
    py::object instance = type(error.what());
    instance.attr("subject") = error.subject();
    instance.attr("expected") = error.expected();
    instance.attr("received") = error.received();
    PyErr_SetObject(type.ptr(), instance.ptr());
}

}  // namespace

void add_errors(py::module_& module) {
    // Owned by the module for the life of the process, as pybind11's own exceptions are.
    static py::handle core, device;
    core = py::exception<Error>(module, "CoreError").release();
    device = py::exception<DeviceError>(module, "DeviceError", core).release();
    py::register_exception_translator([](std::exception_ptr thrown) {
        try {
            if (thrown) std::rethrow_exception(thrown);
        } catch (const DeviceError& error) {
            raise(device, error);
        } catch (const Error& error) {
            raise(core, error);
        }
    });
}

}  // namespace hyt::bind
