// The CPU kernels: plain structs in, plain memory out, no Python. The NumPy twins in rtface/ops/reference.py are the
// specification, operation by operation; the results are equal bit by bit.
// Arrays are C-contiguous; shapes and triangle indices have been checked by the caller (bindings.cpp).
#pragma once

#include <cstdint>

namespace rtface {

enum class Cull { None, Back, Front };
enum class Border { Replicate, Constant };

constexpr double kSubpixels = 256.0;       // positions are rounded to 1/256 px
constexpr double kGuardBandPx = 65536.0;   // triangles that reach further out than this are skipped
constexpr int32_t kMaxSide = 32768;        // largest picture side: keeps the edge functions exact in a double
constexpr double kMaxTapStepPx = 1.5;      // sample_crops averages k*k taps per pixel, at most so far apart
constexpr int kMaxTaps = 8;                // largest k

struct RasterizeParams {
    const float* positions;    // (N, V, 3) x px, y px, depth
    const int32_t* triangles;  // (F, 3)
    const float* inverse_w;    // (N, V), or null: affine barycentrics
    int64_t batch, vertices, faces;
    int32_t height, width;
    Cull cull;
    int64_t cull_first;  // only the triangles before this one are culled
    float* depth;          // (N, H, W), +inf where empty
    int32_t* triangle_id;  // (N, H, W), -1 where empty
    float* barycentrics;   // (N, H, W, 3), 0 where empty
    int threads;
};
void rasterize(const RasterizeParams& p);

struct InterpolateParams {
    const float* attributes;     // (N, V, C), or (V, C) shared by the batch
    int64_t attributes_stride;   // floats from one picture's attributes to the next; 0 = shared
    const int32_t* triangles;    // (F, 3)
    const int32_t* triangle_id;  // (N, H, W)
    const float* barycentrics;   // (N, H, W, 3)
    const float* background;     // (C,), or null: zeros
    int64_t batch, pixels, faces, channels;
    float* out;  // (N, H, W, C)
    int threads;
};
// False where a triangle_id is not below F; the output is then incomplete.
bool interpolate(const InterpolateParams& p);

struct SampleTextureParams {
    const void* texture;  // (Th, Tw, C), float or uint8_t
    bool texture_is_u8;
    int64_t height, width, channels;
    const float* uv;      // (P, 2)
    const uint8_t* mask;  // (P,), 0 = leave zero; or null
    int64_t pixels;
    float* out;  // (P, C)
    int threads;
};
void sample_texture(const SampleTextureParams& p);

struct VertexNormalsParams {
    const float* vertices;     // (N, V, 3)
    const int32_t* triangles;  // (F, 3)
    int64_t batch, vertex_count, faces;
    float* out;  // (N, V, 3)
    int threads;
};
void vertex_normals(const VertexNormalsParams& p);

struct SampleCropsParams {
    const uint8_t* frame;  // (H, W, 3) RGB
    int64_t height, width;
    const float* frame_from_crop;  // (N, 2, 3)
    int64_t batch, size;
    double scale[3], offset[3];
    Border border;
    float border_value;  // 0..255
    float* out;          // (N, 3, S, S)
    int threads;
};
void sample_crops(const SampleCropsParams& p);

// The twins of these are in rtface/ops/shading_reference.py.
struct SeenVerticesParams {
    const int32_t* triangles;    // (F, 3)
    const int32_t* triangle_id;  // (H, W)
    int64_t pixels, faces, vertices;
    uint8_t* out;  // (V,)
};
// False where a triangle_id is not below F.
bool seen_vertices(const SeenVerticesParams& p);

struct ColorizeParams {
    const float* shaded;         // (V, 4) colour and highlight
    const int32_t* triangles;    // (F, 3)
    const uint8_t* kinds;        // (V,)
    const float* uv;             // (V, 2)
    const uint8_t* textured;     // (V,)
    const float* texture;        // (Th, Tw, 3), or null
    const int32_t* triangle_id;  // (H, W)
    const float* barycentrics;   // (H, W, 3)
    float shine[3];              // colour of highlights
    int64_t pixels, faces, texture_height, texture_width;
    float* color;   // (H, W, 3)
    uint8_t* kind;  // (H, W), 255 where empty
    int threads;
};
// False where a triangle_id is not below F; the output is then incomplete.
bool colorize(const ColorizeParams& p);

struct EncodeOverParams {
    const float* color;      // (H, W, 3) linear
    const uint8_t* kind;     // (H, W), 255: nothing
    const float* behind;     // (H, W, 3) encoded
    const float* grain;      // (H, W)
    const uint8_t* grained;  // (256,)
    const float* curve;      // (steps,) over the square root of 0..1
    int64_t pixels, steps;
    float* out;  // (H, W, 3)
    int threads;
};
void encode_over(const EncodeOverParams& p);

}  // namespace rtface
