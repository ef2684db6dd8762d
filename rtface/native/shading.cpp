// Pixels of a rasterised picture from shaded vertices, a texture and what is behind them.
#include <atomic>
#include <cmath>
#include <cstring>

#include "kernels.h"
#include "portable.h"

namespace rtface {
namespace {

constexpr int64_t kChunk = 8192;  // pixels per task

// The texture's bilinear value at (u, v) times `color`, in place; as sample_texture.
RTFACE_INLINE void times_texture(const ColorizeParams& p, float u, float v, float* color) {
    const float width = static_cast<float>(p.texture_width), height = static_cast<float>(p.texture_height);
    float x = u * width - 0.5f, y = v * height - 0.5f;
    if (std::isnan(x) || std::isnan(y)) {
        color[0] = color[1] = color[2] = 0.0f;
        return;
    }
    x = x > 0.0f ? (x < width - 1.0f ? x : width - 1.0f) : 0.0f;
    y = y > 0.0f ? (y < height - 1.0f ? y : height - 1.0f) : 0.0f;
    const int64_t x0 = static_cast<int32_t>(x), y0 = static_cast<int32_t>(y);
    const int64_t x1 = std::min(x0 + 1, p.texture_width - 1), y1 = std::min(y0 + 1, p.texture_height - 1);
    const float wx = x - static_cast<float>(x0), wy = y - static_cast<float>(y0);
    const float* above = p.texture + 3 * y0 * p.texture_width;
    const float* below = p.texture + 3 * y1 * p.texture_width;
    for (int c = 0; c < 3; ++c) {
        const float tl = above[3 * x0 + c], tr = above[3 * x1 + c], bl = below[3 * x0 + c], br = below[3 * x1 + c];
        const float top = tl + (tr - tl) * wx, bottom = bl + (br - bl) * wx;
        color[c] *= top + (bottom - top) * wy;
    }
}

RTFACE_CLONES
bool colorize_chunk(const ColorizeParams& p, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
        float* out = p.color + 3 * i;
        const int32_t id = p.triangle_id[i];
        if (id < 0) {
            out[0] = out[1] = out[2] = 0.0f;
            p.kind[i] = 255;
            continue;
        }
        if (id >= p.faces) return false;
        const int32_t* corner = p.triangles + 3 * static_cast<int64_t>(id);
        const float* weight = p.barycentrics + 3 * i;
        const float w0 = weight[0], w1 = weight[1], w2 = weight[2];
        const float *a0 = p.shaded + 4 * corner[0], *a1 = p.shaded + 4 * corner[1], *a2 = p.shaded + 4 * corner[2];
        float value[4];
        for (int c = 0; c < 4; ++c) value[c] = (w0 * a0[c] + w1 * a1[c]) + w2 * a2[c];
        if (p.texture && p.textured[corner[0]]) {
            const float *t0 = p.uv + 2 * corner[0], *t1 = p.uv + 2 * corner[1], *t2 = p.uv + 2 * corner[2];
            times_texture(p, (w0 * t0[0] + w1 * t1[0]) + w2 * t2[0], (w0 * t0[1] + w1 * t1[1]) + w2 * t2[1], value);
        }
        for (int c = 0; c < 3; ++c) out[c] = value[c] + value[3] * p.shine[c];
        p.kind[i] = p.kinds[corner[0]];
    }
    return true;
}

RTFACE_CLONES
void encode_chunk(const EncodeOverParams& p, int64_t begin, int64_t end) {
    const float last = static_cast<float>(p.steps - 1);
    for (int64_t i = begin; i < end; ++i) {
        const uint8_t kind = p.kind[i];
        const float* from = p.color + 3 * i;
        float* out = p.out + 3 * i;
        if (kind == 255) {
            for (int c = 0; c < 3; ++c) out[c] = p.behind[3 * i + c];
            continue;
        }
        const float factor = p.grained[kind] ? p.grain[i] : 1.0f;
        for (int c = 0; c < 3; ++c) {
            float value = from[c] * factor;
            value = value > 0.0f ? (value < 1.0f ? value : 1.0f) : 0.0f;
            const float place = std::sqrt(value) * last;
            const int32_t step = std::min(static_cast<int32_t>(place), static_cast<int32_t>(p.steps - 2));
            const float low = p.curve[step];
            out[c] = low + (p.curve[step + 1] - low) * (place - static_cast<float>(step));
        }
    }
}

template <typename Chunk>
void in_chunks(int64_t pixels, int threads, Chunk chunk) {
    parallel_for((pixels + kChunk - 1) / kChunk, threads,
                 [&](int64_t i) { chunk(i * kChunk, std::min((i + 1) * kChunk, pixels)); });
}

}  // namespace

bool seen_vertices(const SeenVerticesParams& p) {
    std::memset(p.out, 0, static_cast<size_t>(p.vertices));
    int32_t last = -1;  // neighbours mostly see the same triangle
    for (int64_t i = 0; i < p.pixels; ++i) {
        const int32_t id = p.triangle_id[i];
        if (id < 0 || id == last) continue;
        if (id >= p.faces) return false;
        const int32_t* corner = p.triangles + 3 * static_cast<int64_t>(id);
        p.out[corner[0]] = p.out[corner[1]] = p.out[corner[2]] = 1;
        last = id;
    }
    return true;
}

bool colorize(const ColorizeParams& p) {
    std::atomic<bool> good{true};
    in_chunks(p.pixels, p.threads, [&](int64_t begin, int64_t end) {
        if (!colorize_chunk(p, begin, end)) good = false;
    });
    return good;
}

void encode_over(const EncodeOverParams& p) {
    in_chunks(p.pixels, p.threads, [&](int64_t begin, int64_t end) { encode_chunk(p, begin, end); });
}

}  // namespace rtface
