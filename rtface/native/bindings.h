// What the bindings share: checks of arguments, their messages, and memory for results.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <new>
#include <stdexcept>
#include <string>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "kernels.h"

namespace nb = nanobind;

namespace rtface {

struct InputError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

using Any = nb::ndarray<nb::ro>;
constexpr int64_t kFree = -1;  // in an expected shape: any size

template <typename T> constexpr const char* kName = "float32";
template <> constexpr const char* kName<int32_t> = "int32";
template <> constexpr const char* kName<uint8_t> = "uint8";
template <> constexpr const char* kName<bool> = "bool";

inline std::string text(nb::handle value) { return nb::cast<std::string>(nb::str(value)); }

inline std::string got(nb::handle value) {
    if (!nb::hasattr(value, "shape") || !nb::hasattr(value, "dtype")) {
        return "got " + text(value.type().attr("__name__"));
    }
    return "got " + text(value.attr("dtype")) + " array of shape " + text(value.attr("shape"));
}

// An array argument as host memory; `expected` describes it for the message.
template <typename... Types>
Any as_array(nb::handle value, const char* name, const char* expected) {
    std::string start = std::string(name) + ": " + got(value) + ", expected " + expected;
    Any array;
    if (!nb::hasattr(value, "dtype") || !nb::try_cast(value, array) || array.device_type() != nb::device::cpu::value) {
        throw InputError(start + " in host memory (a NumPy array)");
    }
    if (!((array.dtype() == nb::dtype<Types>()) || ...)) {
        std::string names;
        ((names += (names.empty() ? "'" : "' or '") + std::string(kName<Types>)), ...);
        throw InputError(start + "; convert with .astype(" + names + "')");
    }
    int64_t stride = 1;
    bool contiguous = true;
    for (size_t i = array.ndim(); i-- > 0;) {
        contiguous = contiguous && (array.shape(i) <= 1 || array.stride(i) == stride);
        stride *= static_cast<int64_t>(array.shape(i));
    }
    if (!contiguous && array.size()) {
        throw InputError(start + " in C order without gaps; make it so with numpy.ascontiguousarray");
    }
    return array;
}

inline bool fits(const Any& array, std::initializer_list<int64_t> shape) {
    if (array.ndim() != shape.size()) return false;
    size_t i = 0;
    for (int64_t want : shape) {
        if (want != kFree && static_cast<int64_t>(array.shape(i)) != want) return false;
        ++i;
    }
    return true;
}

inline void require(bool good, nb::handle value, const char* name, const std::string& expected) {
    if (!good) throw InputError(std::string(name) + ": " + got(value) + ", expected " + expected);
}

inline bool good_side(size_t side) { return side >= 1 && side <= static_cast<size_t>(kMaxSide); }

inline int64_t size_of(const Any& array, size_t axis) { return static_cast<int64_t>(array.shape(axis)); }

template <typename T>
const T* data(const Any& array) { return static_cast<const T*>(array.data()); }

inline int check_threads(int64_t threads) {
    if (threads < 1 || threads > 256) {
        throw InputError("threads: got " + std::to_string(threads) + ", expected 1 to 256");
    }
    return static_cast<int>(threads);
}

inline Any check_triangles(nb::handle value, int64_t vertices) {
    Any triangles = as_array<int32_t>(value, "triangles", "an int32 array of shape (F, 3)");
    require(fits(triangles, {kFree, 3}), value, "triangles", "shape (F, 3)");
    const int32_t* index = data<int32_t>(triangles);
    const size_t count = triangles.size();
    uint32_t largest = 0;  // negative indices look huge
    for (size_t i = 0; i < count; ++i) largest = std::max(largest, static_cast<uint32_t>(index[i]));
    if (count && static_cast<int64_t>(largest) >= vertices) {
        throw InputError("triangles: got vertex index " + std::to_string(static_cast<int32_t>(largest)) +
                         ", expected 0 to V - 1 with V = " + std::to_string(vertices));
    }
    return triangles;
}

// Memory for results. Fresh pages cost more than the kernels that fill them, so large blocks ask for huge pages.
inline void* allocate(size_t bytes) {
    constexpr size_t kHugePage = size_t{1} << 21;
    void* memory = nullptr;
#if defined(__linux__)
    if (bytes >= kHugePage) {
        if (bytes > SIZE_MAX - kHugePage) throw std::bad_alloc();
        bytes = (bytes + kHugePage - 1) / kHugePage * kHugePage;
        memory = std::aligned_alloc(kHugePage, bytes);
        if (memory) madvise(memory, bytes, MADV_HUGEPAGE);  // a hint; refused is as good
    } else
#endif
        memory = std::malloc(bytes ? bytes : 1);
    if (!memory) throw std::bad_alloc();
    return memory;
}

// A new C-contiguous NumPy array that owns its memory.
template <typename T>
nb::ndarray<nb::numpy, T> new_array(std::initializer_list<int64_t> sizes) {
    std::array<size_t, 4> shape{};
    size_t count = 1, ndim = 0;
    for (int64_t size : sizes) count *= shape[ndim++] = static_cast<size_t>(size);
    T* memory = static_cast<T*>(allocate(count * sizeof(T)));
    nb::capsule owner(memory, [](void* p) noexcept { std::free(p); });
    return nb::ndarray<nb::numpy, T>(memory, ndim, shape.data(), owner);
}

void bind_shading(nanobind::module_& m);  // bindings_shading.cpp

}  // namespace rtface
