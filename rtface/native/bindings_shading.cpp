// Python bindings of shading.cpp; see bindings.cpp.
#include "bindings.h"

using namespace nb::literals;

namespace rtface {
namespace {

[[noreturn]] void too_large(int64_t faces) {
    throw InputError("triangle_id: got an id that is too large, expected ids below F = " + std::to_string(faces) +
                     " (and -1 where there is no triangle)");
}

Any check_ids(nb::handle value) {
    Any ids = as_array<int32_t>(value, "triangle_id", "an int32 array of shape (H, W)");
    require(ids.ndim() == 2, value, "triangle_id", "shape (H, W)");
    return ids;
}

nb::ndarray<nb::numpy, bool> seen_vertices_py(nb::handle triangles_in, nb::handle ids_in, int64_t count) {
    if (count < 0 || count > INT32_MAX) {
        throw InputError("count: got " + std::to_string(count) + ", expected a number of vertices");
    }
    Any triangles = check_triangles(triangles_in, count);
    Any ids = check_ids(ids_in);
    SeenVerticesParams p{};
    p.triangles = data<int32_t>(triangles), p.triangle_id = data<int32_t>(ids);
    p.pixels = static_cast<int64_t>(ids.size()), p.faces = size_of(triangles, 0), p.vertices = count;
    auto out = new_array<bool>({count});
    p.out = reinterpret_cast<uint8_t*>(out.data());
    bool good;
    {
        nb::gil_scoped_release release;
        good = seen_vertices(p);
    }
    if (!good) too_large(p.faces);
    return out;
}

nb::tuple colorize_py(nb::handle shaded_in, nb::handle triangles_in, nb::handle kinds_in, nb::handle uv_in,
                      nb::handle textured_in, nb::handle texture_in, nb::handle ids_in, nb::handle weights_in,
                      nb::handle shine_in, int64_t threads) {
    Any shaded = as_array<float>(shaded_in, "shaded", "a float32 array of shape (V, 4)");
    require(fits(shaded, {kFree, 4}), shaded_in, "shaded", "shape (V, 4)");
    const int64_t vertices = size_of(shaded, 0);
    Any triangles = check_triangles(triangles_in, vertices);
    Any kinds = as_array<uint8_t>(kinds_in, "kinds", "a uint8 array of shape (V,)");
    require(fits(kinds, {vertices}), kinds_in, "kinds", "shape (V,)");
    Any uv = as_array<float>(uv_in, "uv", "a float32 array of shape (V, 2)");
    require(fits(uv, {vertices, 2}), uv_in, "uv", "shape (V, 2)");
    Any textured = as_array<bool>(textured_in, "textured", "a bool array of shape (V,)");
    require(fits(textured, {vertices}), textured_in, "textured", "shape (V,)");
    ColorizeParams p{};
    Any texture;
    if (!texture_in.is_none()) {
        texture = as_array<float>(texture_in, "texture", "a float32 array of shape (Th, Tw, 3)");
        require(fits(texture, {kFree, kFree, 3}) && good_side(texture.shape(0)) && good_side(texture.shape(1)),
                texture_in, "texture", "shape (Th, Tw, 3) with Th and Tw from 1 to " + std::to_string(kMaxSide));
        p.texture = data<float>(texture);
        p.texture_height = size_of(texture, 0), p.texture_width = size_of(texture, 1);
    }
    Any ids = check_ids(ids_in);
    const int64_t height = size_of(ids, 0), width = size_of(ids, 1);
    Any weights = as_array<float>(weights_in, "barycentrics", "a float32 array of triangle_id's shape + (3,)");
    require(fits(weights, {height, width, 3}), weights_in, "barycentrics", "triangle_id's shape + (3,)");
    Any shine = as_array<float>(shine_in, "shine", "a float32 array of shape (3,)");
    require(fits(shine, {3}), shine_in, "shine", "shape (3,)");
    p.shaded = data<float>(shaded), p.triangles = data<int32_t>(triangles), p.kinds = data<uint8_t>(kinds);
    p.uv = data<float>(uv), p.textured = data<uint8_t>(textured);
    p.triangle_id = data<int32_t>(ids), p.barycentrics = data<float>(weights);
    for (int c = 0; c < 3; ++c) p.shine[c] = data<float>(shine)[c];
    p.pixels = height * width, p.faces = size_of(triangles, 0);
    p.threads = check_threads(threads);
    auto color = new_array<float>({height, width, 3});
    auto kind = new_array<uint8_t>({height, width});
    p.color = color.data(), p.kind = kind.data();
    bool good;
    {
        nb::gil_scoped_release release;
        good = colorize(p);
    }
    if (!good) too_large(p.faces);
    return nb::make_tuple(color, kind);
}

nb::ndarray<nb::numpy, float> encode_over_py(nb::handle color_in, nb::handle kind_in, nb::handle behind_in,
                                             nb::handle grain_in, nb::handle grained_in, nb::handle curve_in,
                                             int64_t threads) {
    Any kind = as_array<uint8_t>(kind_in, "kind", "a uint8 array of shape (H, W)");
    require(kind.ndim() == 2, kind_in, "kind", "shape (H, W)");
    const int64_t height = size_of(kind, 0), width = size_of(kind, 1);
    Any color = as_array<float>(color_in, "color", "a float32 array of kind's shape + (3,)");
    require(fits(color, {height, width, 3}), color_in, "color", "kind's shape + (3,)");
    Any behind = as_array<float>(behind_in, "behind", "a float32 array of kind's shape + (3,)");
    require(fits(behind, {height, width, 3}), behind_in, "behind", "kind's shape + (3,)");
    Any grain = as_array<float>(grain_in, "grain", "a float32 array of kind's shape");
    require(fits(grain, {height, width}), grain_in, "grain", "kind's shape");
    Any grained = as_array<bool>(grained_in, "grained", "a bool array of shape (256,)");
    require(fits(grained, {256}), grained_in, "grained", "shape (256,)");
    Any curve = as_array<float>(curve_in, "curve", "a float32 array of shape (K,), K from 2 to 65536");
    require(curve.ndim() == 1 && curve.size() >= 2 && curve.size() <= 65536, curve_in, "curve",
            "shape (K,), K from 2 to 65536");
    EncodeOverParams p{};
    p.color = data<float>(color), p.kind = data<uint8_t>(kind), p.behind = data<float>(behind);
    p.grain = data<float>(grain), p.grained = data<uint8_t>(grained), p.curve = data<float>(curve);
    p.pixels = height * width, p.steps = size_of(curve, 0);
    p.threads = check_threads(threads);
    auto out = new_array<float>({height, width, 3});
    p.out = out.data();
    nb::gil_scoped_release release;
    encode_over(p);
    return out;
}

}  // namespace

void bind_shading(nb::module_& m) {
    m.def("seen_vertices", &seen_vertices_py, "triangles"_a.none(), "triangle_id"_a.none(), "count"_a);
    m.def("colorize", &colorize_py, "shaded"_a.none(), "triangles"_a.none(), "kinds"_a.none(), "uv"_a.none(),
          "textured"_a.none(), "texture"_a.none(), "triangle_id"_a.none(), "barycentrics"_a.none(),
          "shine"_a.none(), nb::kw_only(), "threads"_a = 1);
    m.def("encode_over", &encode_over_py, "color"_a.none(), "kind"_a.none(), "behind"_a.none(), "grain"_a.none(),
          "grained"_a.none(), "curve"_a.none(), nb::kw_only(), "threads"_a = 1);
}

}  // namespace rtface
