// Vulkan's C++ header with what ggml asks of it beyond Debian 12's (1.3.239), for `make vulkan-check`: layer
// settings, as Vulkan 1.3.272 has them. Only a validation layer reads them; without one they are passed over.
#pragma once

#include_next <vulkan/vulkan.hpp>

#if VK_HEADER_VERSION < 272
#include <cstdint>
#include <vector>

namespace vk {

enum class LayerSettingTypeEXT : int32_t { eBool32 = 0 };

struct LayerSettingEXT {
    const char *layer, *name;
    LayerSettingTypeEXT type;
    uint32_t count;
    const void* values;
};

struct LayerSettingsCreateInfoEXT {
    explicit LayerSettingsCreateInfoEXT(const std::vector<LayerSettingEXT>& all)
        : count(static_cast<uint32_t>(all.size())), settings(all.data()) {}

    VkStructureType structure = static_cast<VkStructureType>(1000496000);
    const void* next = nullptr;
    uint32_t count;
    const LayerSettingEXT* settings;
};

}  // namespace vk
#endif
