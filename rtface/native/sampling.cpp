// Vertex attributes and textures at the pixels of a rasterised picture.
#include <atomic>
#include <cmath>
#include <cstring>

#include "kernels.h"
#include "portable.h"

namespace rtface {
namespace {

constexpr int64_t kChunk = 8192;  // pixels per task

// kChannels = 0: any number, given at run time.
template <int kChannels>
RTFACE_INLINE bool interpolate_range(const InterpolateParams& p, const float* attributes, int64_t begin, int64_t end) {
    const int64_t channels = kChannels ? kChannels : p.channels;
    for (int64_t i = begin; i < end; ++i) {
        float* out = p.out + i * channels;
        const int32_t id = p.triangle_id[i];
        if (id < 0) {
            for (int64_t c = 0; c < channels; ++c) out[c] = p.background ? p.background[c] : 0.0f;
            continue;
        }
        if (id >= p.faces) return false;
        const int32_t* corner = p.triangles + 3 * static_cast<int64_t>(id);
        const float* weight = p.barycentrics + 3 * i;
        const float w0 = weight[0], w1 = weight[1], w2 = weight[2];
        const float* a0 = attributes + corner[0] * channels;
        const float* a1 = attributes + corner[1] * channels;
        const float* a2 = attributes + corner[2] * channels;
        for (int64_t c = 0; c < channels; ++c) out[c] = (w0 * a0[c] + w1 * a1[c]) + w2 * a2[c];
    }
    return true;
}

RTFACE_CLONES
bool interpolate_chunk(const InterpolateParams& p, const float* attributes, int64_t begin, int64_t end) {
    switch (p.channels) {
        case 1: return interpolate_range<1>(p, attributes, begin, end);
        case 2: return interpolate_range<2>(p, attributes, begin, end);
        case 3: return interpolate_range<3>(p, attributes, begin, end);
        case 4: return interpolate_range<4>(p, attributes, begin, end);
        default: return interpolate_range<0>(p, attributes, begin, end);
    }
}

#if RTFACE_LANES
typedef float Lanes __attribute__((vector_size(16)));

RTFACE_INLINE Lanes load_lanes(const float* from) {
    Lanes lanes;
    std::memcpy(&lanes, from, sizeof(lanes));
    return lanes;
}
#endif

template <typename Texel, int kChannels>
RTFACE_INLINE void sample_range(const SampleTextureParams& p, int64_t begin, int64_t end) {
    const int64_t channels = kChannels ? kChannels : p.channels;
    const Texel* texture = static_cast<const Texel*>(p.texture);
    const float width = static_cast<float>(p.width), height = static_cast<float>(p.height);
    const float unit = sizeof(Texel) == 1 ? 1.0f / 255.0f : 1.0f;
    for (int64_t i = begin; i < end; ++i) {
        float* out = p.out + i * channels;
        float x = p.uv[2 * i] * width - 0.5f;
        float y = p.uv[2 * i + 1] * height - 0.5f;
        if ((p.mask && !p.mask[i]) || std::isnan(x) || std::isnan(y)) {
            for (int64_t c = 0; c < channels; ++c) out[c] = 0.0f;
            continue;
        }
        x = x > 0.0f ? (x < width - 1.0f ? x : width - 1.0f) : 0.0f;
        y = y > 0.0f ? (y < height - 1.0f ? y : height - 1.0f) : 0.0f;
        const int64_t x0 = static_cast<int32_t>(x), y0 = static_cast<int32_t>(y);
        const int64_t x1 = std::min(x0 + 1, p.width - 1), y1 = std::min(y0 + 1, p.height - 1);
        const float wx = x - static_cast<float>(x0), wy = y - static_cast<float>(y0);
#if RTFACE_LANES
        if (kChannels == 3 && sizeof(Texel) == 4 && y1 * p.width + x1 < p.width * p.height - 1) {
            // Four floats of each texel are one register; the last texel has none after it to read.
            const float* base = reinterpret_cast<const float*>(texture);
            const int64_t above = y0 * p.width, below = y1 * p.width;
            const Lanes tl = load_lanes(base + 3 * (above + x0)), tr = load_lanes(base + 3 * (above + x1));
            const Lanes bl = load_lanes(base + 3 * (below + x0)), br = load_lanes(base + 3 * (below + x1));
            const Lanes top = tl + (tr - tl) * wx, bottom = bl + (br - bl) * wx;
            const Lanes value = top + (bottom - top) * wy;
            out[0] = value[0];
            out[1] = value[1];
            out[2] = value[2];
            continue;
        }
#endif
        const Texel* top_left = texture + (y0 * p.width + x0) * channels;
        const Texel* top_right = texture + (y0 * p.width + x1) * channels;
        const Texel* bottom_left = texture + (y1 * p.width + x0) * channels;
        const Texel* bottom_right = texture + (y1 * p.width + x1) * channels;
        for (int64_t c = 0; c < channels; ++c) {
            const float tl = top_left[c], tr = top_right[c], bl = bottom_left[c], br = bottom_right[c];
            const float top = tl + (tr - tl) * wx, bottom = bl + (br - bl) * wx;
            const float value = top + (bottom - top) * wy;
            out[c] = sizeof(Texel) == 1 ? value * unit : value;
        }
    }
}

template <typename Texel>
RTFACE_INLINE void sample_any(const SampleTextureParams& p, int64_t begin, int64_t end) {
    switch (p.channels) {
        case 1: return sample_range<Texel, 1>(p, begin, end);
        case 3: return sample_range<Texel, 3>(p, begin, end);
        case 4: return sample_range<Texel, 4>(p, begin, end);
        default: return sample_range<Texel, 0>(p, begin, end);
    }
}

RTFACE_CLONES
void sample_chunk(const SampleTextureParams& p, int64_t begin, int64_t end) {
    if (p.texture_is_u8) {
        sample_any<uint8_t>(p, begin, end);
    } else {
        sample_any<float>(p, begin, end);
    }
}

}  // namespace

bool interpolate(const InterpolateParams& p) {
    const int64_t chunks = (p.pixels + kChunk - 1) / kChunk;  // per picture
    std::atomic<bool> good{true};
    parallel_for(p.batch * chunks, p.threads, [&](int64_t i) {
        const int64_t n = i / chunks, first = (i % chunks) * kChunk;
        const int64_t begin = n * p.pixels + first, end = n * p.pixels + std::min(first + kChunk, p.pixels);
        if (!interpolate_chunk(p, p.attributes + n * p.attributes_stride, begin, end)) good = false;
    });
    return good;
}

void sample_texture(const SampleTextureParams& p) {
    parallel_for((p.pixels + kChunk - 1) / kChunk, p.threads,
                 [&](int64_t i) { sample_chunk(p, i * kChunk, std::min((i + 1) * kChunk, p.pixels)); });
}

}  // namespace rtface
