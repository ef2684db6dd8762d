// Python bindings: checks, allocation and the call, no maths. Errors are rtface.errors.InputError (a ValueError).
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/string.h>

#include <array>
#include <cmath>
#include <string>

#include "bindings.h"
#include "kernels.h"

using namespace nb::literals;
using namespace rtface;

namespace {

nb::tuple rasterize_py(nb::handle positions_in, nb::handle triangles_in, int64_t height, int64_t width,
                       const std::string& cull_in, nb::handle cull_first_in, nb::handle inverse_w_in,
                       int64_t threads) {
    const char* shapes = "a float32 array of shape (V, 3) or (N, V, 3)";
    Any positions = as_array<float>(positions_in, "positions", shapes);
    const bool batched = positions.ndim() == 3;
    require(batched ? fits(positions, {kFree, kFree, 3}) : fits(positions, {kFree, 3}), positions_in, "positions",
            shapes);
    RasterizeParams p{};
    p.batch = batched ? size_of(positions, 0) : 1;
    p.vertices = size_of(positions, batched ? 1 : 0);
    Any triangles = check_triangles(triangles_in, p.vertices);
    p.faces = size_of(triangles, 0);
    for (int64_t side : {height, width}) {
        if (side < 1 || side > kMaxSide) {
            throw InputError("height, width: got " + std::to_string(height) + ", " + std::to_string(width) +
                             ", expected 1 to " + std::to_string(kMaxSide) + " pixels");
        }
    }
    p.height = static_cast<int32_t>(height), p.width = static_cast<int32_t>(width);
    if (cull_in != "none" && cull_in != "back" && cull_in != "front") {
        throw InputError("cull: got '" + cull_in + "', expected 'none', 'back' or 'front'");
    }
    p.cull = cull_in == "none" ? Cull::None : cull_in == "back" ? Cull::Back : Cull::Front;
    p.cull_first = p.faces;
    if (!cull_first_in.is_none() && (!nb::try_cast(cull_first_in, p.cull_first) || p.cull_first < 0)) {
        throw InputError("cull_first: got " + text(cull_first_in) + ", expected a number of triangles or None");
    }
    p.threads = check_threads(threads);
    Any inverse_w;
    if (!inverse_w_in.is_none()) {
        const char* expected = "a float32 array of shape (V,), or (N, V) for batched positions";
        inverse_w = as_array<float>(inverse_w_in, "inverse_w", expected);
        require(batched ? fits(inverse_w, {p.batch, p.vertices}) : fits(inverse_w, {p.vertices}), inverse_w_in,
                "inverse_w", expected);
        p.inverse_w = data<float>(inverse_w);
    }
    p.positions = data<float>(positions), p.triangles = data<int32_t>(triangles);

    auto depth = batched ? new_array<float>({p.batch, height, width}) : new_array<float>({height, width});
    auto ids = batched ? new_array<int32_t>({p.batch, height, width}) : new_array<int32_t>({height, width});
    auto weights = batched ? new_array<float>({p.batch, height, width, 3}) : new_array<float>({height, width, 3});
    p.depth = depth.data(), p.triangle_id = ids.data(), p.barycentrics = weights.data();
    {
        nb::gil_scoped_release release;
        rasterize(p);
    }
    return nb::make_tuple(depth, ids, weights);
}

nb::ndarray<nb::numpy, float> interpolate_py(nb::handle attributes_in, nb::handle triangles_in, nb::handle ids_in,
                                             nb::handle weights_in, nb::handle background_in, int64_t threads) {
    const char* attribute_shapes = "a float32 array of shape (V, C), or (N, V, C) for a batch";
    Any ids = as_array<int32_t>(ids_in, "triangle_id", "an int32 array of shape (H, W) or (N, H, W)");
    const bool batched = ids.ndim() == 3;
    require(batched || ids.ndim() == 2, ids_in, "triangle_id", "shape (H, W) or (N, H, W)");
    const int64_t height = size_of(ids, batched ? 1 : 0), width = size_of(ids, batched ? 2 : 1);
    InterpolateParams p{};
    p.batch = batched ? size_of(ids, 0) : 1;
    p.pixels = height * width;
    Any weights = as_array<float>(weights_in, "barycentrics", "a float32 array of triangle_id's shape + (3,)");
    require(batched ? fits(weights, {p.batch, height, width, 3}) : fits(weights, {height, width, 3}), weights_in,
            "barycentrics", "triangle_id's shape + (3,)");
    Any attributes = as_array<float>(attributes_in, "attributes", attribute_shapes);
    const bool shared = attributes.ndim() == 2;
    require(shared || (batched && fits(attributes, {p.batch, kFree, kFree})), attributes_in, "attributes",
            attribute_shapes);
    const int64_t vertices = size_of(attributes, shared ? 0 : 1);
    p.channels = size_of(attributes, shared ? 1 : 2);
    p.attributes_stride = shared ? 0 : vertices * p.channels;
    Any triangles = check_triangles(triangles_in, vertices);
    p.faces = size_of(triangles, 0);
    Any background;
    if (!background_in.is_none()) {
        background = as_array<float>(background_in, "background", "a float32 array of shape (C,)");
        require(fits(background, {p.channels}), background_in, "background",
                "shape (C,) with C = " + std::to_string(p.channels));
        p.background = data<float>(background);
    }
    p.threads = check_threads(threads);
    p.attributes = data<float>(attributes), p.triangles = data<int32_t>(triangles);
    p.triangle_id = data<int32_t>(ids), p.barycentrics = data<float>(weights);
    auto out = batched ? new_array<float>({p.batch, height, width, p.channels})
                       : new_array<float>({height, width, p.channels});
    p.out = out.data();
    bool good;
    {
        nb::gil_scoped_release release;
        good = interpolate(p);
    }
    if (!good) {
        throw InputError("triangle_id: got an id that is too large, expected ids below F = " +
                         std::to_string(p.faces) + " (and -1 where there is no triangle)");
    }
    return out;
}

nb::ndarray<nb::numpy, float> sample_texture_py(nb::handle texture_in, nb::handle uv_in, nb::handle mask_in,
                                                int64_t threads) {
    Any texture = as_array<float, uint8_t>(texture_in, "texture", "a float32 or uint8 array of shape (Th, Tw, C)");
    require(texture.ndim() == 3 && good_side(texture.shape(0)) && good_side(texture.shape(1)), texture_in, "texture",
            "shape (Th, Tw, C) with Th and Tw from 1 to " + std::to_string(kMaxSide));
    const char* uv_shapes = "a float32 array of shape (H, W, 2) or (N, H, W, 2)";
    Any uv = as_array<float>(uv_in, "uv", uv_shapes);
    const bool batched = uv.ndim() == 4;
    require(batched ? fits(uv, {kFree, kFree, kFree, 2}) : fits(uv, {kFree, kFree, 2}), uv_in, "uv", uv_shapes);
    const int64_t batch = batched ? size_of(uv, 0) : 1;
    const int64_t height = size_of(uv, batched ? 1 : 0), width = size_of(uv, batched ? 2 : 1);
    SampleTextureParams p{};
    p.texture = texture.data();
    p.texture_is_u8 = texture.dtype() == nb::dtype<uint8_t>();
    p.height = size_of(texture, 0), p.width = size_of(texture, 1), p.channels = size_of(texture, 2);
    p.uv = data<float>(uv);
    p.pixels = batch * height * width;
    p.threads = check_threads(threads);
    Any mask;
    if (!mask_in.is_none()) {
        mask = as_array<bool, uint8_t>(mask_in, "mask", "a bool or uint8 array of uv's shape without its last axis");
        require(batched ? fits(mask, {batch, height, width}) : fits(mask, {height, width}), mask_in, "mask",
                "uv's shape without its last axis");
        p.mask = data<uint8_t>(mask);
    }
    auto out = batched ? new_array<float>({batch, height, width, p.channels})
                       : new_array<float>({height, width, p.channels});
    p.out = out.data();
    nb::gil_scoped_release release;
    sample_texture(p);
    return out;
}

nb::ndarray<nb::numpy, float> vertex_normals_py(nb::handle vertices_in, nb::handle triangles_in, int64_t threads) {
    Any vertices = as_array<float>(vertices_in, "vertices", "a float32 array of shape (N, V, 3)");
    require(fits(vertices, {kFree, kFree, 3}), vertices_in, "vertices", "shape (N, V, 3)");
    VertexNormalsParams p{};
    p.batch = size_of(vertices, 0), p.vertex_count = size_of(vertices, 1);
    Any triangles = check_triangles(triangles_in, p.vertex_count);
    p.faces = size_of(triangles, 0);
    p.vertices = data<float>(vertices), p.triangles = data<int32_t>(triangles);
    p.threads = check_threads(threads);
    auto out = new_array<float>({p.batch, p.vertex_count, 3});
    p.out = out.data();
    nb::gil_scoped_release release;
    vertex_normals(p);
    return out;
}

nb::ndarray<nb::numpy, float> sample_crops_py(nb::handle frame_in, nb::handle transforms_in, int64_t size,
                                              std::array<double, 3> scale, std::array<double, 3> offset,
                                              const std::string& border, int64_t border_value, int64_t threads) {
    Any frame = as_array<uint8_t>(frame_in, "frame", "a uint8 array of shape (H, W, 3)");
    require(fits(frame, {kFree, kFree, 3}) && good_side(frame.shape(0)) && good_side(frame.shape(1)), frame_in,
            "frame", "shape (H, W, 3) with H and W from 1 to " + std::to_string(kMaxSide));
    Any transforms = as_array<float>(transforms_in, "frame_from_crop", "a float32 array of shape (N, 2, 3)");
    require(fits(transforms, {kFree, 2, 3}), transforms_in, "frame_from_crop", "shape (N, 2, 3)");
    for (size_t i = 0; i < transforms.size(); ++i) {
        if (!std::isfinite(data<float>(transforms)[i])) {
            throw InputError("frame_from_crop: got NaN or infinity in transform " + std::to_string(i / 6) +
                             ", expected finite numbers");
        }
    }
    if (size < 1 || size > kMaxSide) {
        throw InputError("size: got " + std::to_string(size) + ", expected 1 to " + std::to_string(kMaxSide));
    }
    if (border != "replicate" && border != "constant") {
        throw InputError("border: got '" + border + "', expected 'replicate' or 'constant'");
    }
    if (border_value < 0 || border_value > 255) {
        throw InputError("border_value: got " + std::to_string(border_value) + ", expected 0 to 255");
    }
    SampleCropsParams p{};
    p.frame = data<uint8_t>(frame);
    p.height = size_of(frame, 0), p.width = size_of(frame, 1);
    p.frame_from_crop = data<float>(transforms);
    p.batch = size_of(transforms, 0), p.size = size;
    for (size_t c = 0; c < 3; ++c) p.scale[c] = scale[c], p.offset[c] = offset[c];
    p.border = border == "constant" ? Border::Constant : Border::Replicate;
    p.border_value = static_cast<float>(border_value);
    p.threads = check_threads(threads);
    auto out = new_array<float>({p.batch, 3, size, size});
    p.out = out.data();
    nb::gil_scoped_release release;
    sample_crops(p);
    return out;
}

}  // namespace

NB_MODULE(_native, m) {
    m.doc() = "CPU kernels of rtface.ops, which documents them.";
    nb::object input_error = nb::module_::import_("rtface.errors").attr("InputError");
    nb::register_exception_translator(
        [](const std::exception_ptr& p, void* type) {
            try {
                std::rethrow_exception(p);
            } catch (const InputError& e) {
                PyErr_SetString(static_cast<PyObject*>(type), e.what());
            }
        },
        input_error.release().ptr());  // kept for the life of the process

    // none(): so that None, too, meets our own checks and messages.
    m.def("rasterize", &rasterize_py, "positions"_a.none(), "triangles"_a.none(), "height"_a, "width"_a, nb::kw_only(),
          "cull"_a = "none", "cull_first"_a = nb::none(), "inverse_w"_a = nb::none(), "threads"_a = 1);
    m.def("interpolate", &interpolate_py, "attributes"_a.none(), "triangles"_a.none(), "triangle_id"_a.none(),
          "barycentrics"_a.none(), nb::kw_only(), "background"_a = nb::none(), "threads"_a = 1);
    m.def("sample_texture", &sample_texture_py, "texture"_a.none(), "uv"_a.none(), nb::kw_only(),
          "mask"_a = nb::none(), "threads"_a = 1);
    m.def("vertex_normals", &vertex_normals_py, "vertices"_a.none(), "triangles"_a.none(), nb::kw_only(),
          "threads"_a = 1);
    m.def("sample_crops", &sample_crops_py, "frame"_a.none(), "frame_from_crop"_a.none(), "size"_a, nb::kw_only(),
          "scale"_a, "offset"_a, "border"_a = "replicate", "border_value"_a = 0, "threads"_a = 1);
    bind_shading(m);
}
