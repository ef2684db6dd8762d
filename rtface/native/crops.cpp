// Affine bilinear crops of an RGB frame, planar and ready for a network.
#include <cmath>
#include <cstring>

#include "kernels.h"
#include "portable.h"

namespace rtface {
namespace {

constexpr int kBlock = 32;  // pixels of a row that are computed together

RTFACE_INLINE uint32_t load_word(const uint8_t* texel) {  // reads one byte past the texel; first byte lowest
    uint32_t word;
    std::memcpy(&word, texel, 4);
#if RTFACE_BIG_ENDIAN
    word = (word >> 24) | ((word >> 8) & 0xff00u) | ((word << 8) & 0xff0000u) | (word << 24);
#endif
    return word;
}

RTFACE_INLINE float clamp(float value, float low, float high) {  // NaN becomes low
    return value > low ? (value < high ? value : high) : low;
}

RTFACE_INLINE float bilinear(float top_left, float top_right, float bottom_left, float bottom_right, float wx, float wy) {
    const float top = top_left + (top_right - top_left) * wx;
    const float bottom = bottom_left + (bottom_right - bottom_left) * wx;
    return top + (bottom - top) * wy;
}

// In the samplers x and y are frame px minus 0.5, so that whole numbers are pixel centres.

// k of the k*k grid of taps: neighbouring taps are at most 1.5 frame px apart.
int taps_per_side(const float* m) {
    const double along_x = std::sqrt(static_cast<double>(m[0]) * m[0] + static_cast<double>(m[3]) * m[3]);
    const double along_y = std::sqrt(static_cast<double>(m[1]) * m[1] + static_cast<double>(m[4]) * m[4]);
    const double taps = std::ceil(std::max(along_x, along_y) / kMaxTapStepPx);
    return static_cast<int>(std::min<double>(std::max(taps, 1.0), kMaxTaps));
}

// One row of a crop: for tap (i, j) of a column's grid, the frame position is m[0], m[3] times the column's x plus
// start_x[j], start_y[j].
struct Row {
    const float* m;
    int taps;
    float shift[kMaxTaps], start_x[kMaxTaps], start_y[kMaxTaps];
};

// Do all taps of columns begin..end-1 lie where 0 <= x < width - 2 and 0 <= y < height - 1? Nothing is clamped there,
// and four bytes may be read for each texel. Positions are monotonic along the row, also when rounded, so the ends tell.
RTFACE_INLINE bool is_interior(const Row& r, int64_t begin, int64_t end, int64_t height, int64_t width) {
    const float first = static_cast<float>(begin) + r.shift[0];
    const float last = static_cast<float>(end - 1) + r.shift[r.taps - 1];
    bool inside = true;
    for (int j = 0; j < r.taps; ++j) {
        for (float x : {first, last}) {
            const float frame_x = r.m[0] * x + r.start_x[j], frame_y = r.m[3] * x + r.start_y[j];
            inside = inside && frame_x >= 0.0f && frame_x < static_cast<float>(width - 2) && frame_y >= 0.0f &&
                     frame_y < static_cast<float>(height - 1);
        }
    }
    return inside;
}

// Positions of a tap in kBlock columns, as arrays that compilers turn into SIMD.
struct Block {
    float x[kBlock], y[kBlock], wx[kBlock], wy[kBlock];
    uint32_t top_left[kBlock], top_right[kBlock], bottom_left[kBlock], bottom_right[kBlock];  // texels as words
};

// Texels of positions that are all interior.
RTFACE_INLINE void load_interior(Block& b, const uint8_t* frame, uint32_t row_bytes) {
    uint32_t at[kBlock];
    for (int k = 0; k < kBlock; ++k) {
        const int32_t x0 = static_cast<int32_t>(b.x[k]), y0 = static_cast<int32_t>(b.y[k]);
        b.wx[k] = b.x[k] - static_cast<float>(x0);
        b.wy[k] = b.y[k] - static_cast<float>(y0);
        at[k] = static_cast<uint32_t>(y0) * row_bytes + static_cast<uint32_t>(x0) * 3u;
    }
    for (int k = 0; k < kBlock; ++k) {
        const uint8_t *top = frame + at[k], *bottom = top + row_bytes;
        b.top_left[k] = load_word(top);
        b.top_right[k] = load_word(top + 3);
        b.bottom_left[k] = load_word(bottom);
        b.bottom_right[k] = load_word(bottom + 3);
    }
}

// Texels of positions anywhere; only the frame's own bytes are read.
template <bool kConstant>
RTFACE_INLINE void load_anywhere(Block& b, const uint8_t* frame, int32_t height, int32_t width, uint32_t border) {
    constexpr int32_t kMargin = kConstant ? 1 : 0;  // one pixel of a constant border is all that can be seen of it
    int32_t left[kBlock], above[kBlock];
    const float right = static_cast<float>(width - 1 + kMargin), low = static_cast<float>(height - 1 + kMargin);
    for (int k = 0; k < kBlock; ++k) {
        const float x = clamp(b.x[k], static_cast<float>(-kMargin), right);
        const float y = clamp(b.y[k], static_cast<float>(-kMargin), low);
        const int32_t x0 = static_cast<int32_t>(std::floor(x)), y0 = static_cast<int32_t>(std::floor(y));
        b.wx[k] = x - static_cast<float>(x0);
        b.wy[k] = y - static_cast<float>(y0);
        left[k] = x0;
        above[k] = y0;
    }
    const auto texel = [&](int32_t x, int32_t y) {
        if (kConstant && (x < 0 || y < 0 || x >= width || y >= height)) return border;
        const uint8_t* t = frame + (static_cast<int64_t>(y) * width + x) * 3;
        return t[0] | static_cast<uint32_t>(t[1]) << 8 | static_cast<uint32_t>(t[2]) << 16;
    };
    for (int k = 0; k < kBlock; ++k) {
        const int32_t x0 = left[k], y0 = above[k];
        const int32_t x1 = kConstant ? x0 + 1 : std::min(x0 + 1, width - 1);
        const int32_t y1 = kConstant ? y0 + 1 : std::min(y0 + 1, height - 1);
        b.top_left[k] = texel(x0, y0);
        b.top_right[k] = texel(x1, y0);
        b.bottom_left[k] = texel(x0, y1);
        b.bottom_right[k] = texel(x1, y1);
    }
}

RTFACE_INLINE float byte_of(uint32_t word, int index) {
    return static_cast<float>(static_cast<int32_t>((word >> (8 * index)) & 255u));
}

// Sums over the taps of kBlock columns from `column` on; load(block) fetches the texels of block.x, block.y.
template <typename Load>
RTFACE_INLINE void add_block(const Row& r, int64_t column, float (*sum)[kBlock], Load load) {
    Block b;
    for (int j = 0; j < r.taps; ++j) {
        for (int i = 0; i < r.taps; ++i) {
            const float shift = r.shift[i], step_x = r.m[0], step_y = r.m[3];
            const float start_x = r.start_x[j], start_y = r.start_y[j];
            for (int k = 0; k < kBlock; ++k) {
                const float at = static_cast<float>(static_cast<int32_t>(column) + k) + shift;
                b.x[k] = step_x * at + start_x;
                b.y[k] = step_y * at + start_y;
            }
            load(b);
            for (int c = 0; c < 3; ++c) {
                for (int k = 0; k < kBlock; ++k) {
                    sum[c][k] += bilinear(byte_of(b.top_left[k], c), byte_of(b.top_right[k], c),
                                          byte_of(b.bottom_left[k], c), byte_of(b.bottom_right[k], c), b.wx[k],
                                          b.wy[k]);
                }
            }
        }
    }
}

RTFACE_CLONES
void crop_rows(const SampleCropsParams& p, int64_t n, int64_t begin, int64_t end) {
    Row r;
    r.m = p.frame_from_crop + 6 * n;
    r.taps = taps_per_side(r.m);
    float gain[3], offset[3];
    for (int c = 0; c < 3; ++c) {
        gain[c] = static_cast<float>(p.scale[c] / (255.0 * r.taps * r.taps));
        offset[c] = static_cast<float>(p.offset[c]);
    }
    const int32_t height = static_cast<int32_t>(p.height), width = static_cast<int32_t>(p.width);
    const uint32_t border = static_cast<uint32_t>(p.border_value) * 0x010101u;
    for (int64_t row = begin; row < end; ++row) {
        for (int i = 0; i < r.taps; ++i) {
            r.shift[i] = static_cast<float>((i + 0.5) / r.taps);
            const float y = static_cast<float>(row) + r.shift[i];
            r.start_x[i] = (r.m[1] * y + r.m[2]) - 0.5f;
            r.start_y[i] = (r.m[4] * y + r.m[5]) - 0.5f;
        }
        float* out = p.out + (3 * n * p.size + row) * p.size;
        for (int64_t column = 0; column < p.size; column += kBlock) {
            // The last block of a row begins earlier where it would end outside; what it computes twice is the same.
            const int64_t first = std::max<int64_t>(std::min(column, p.size - kBlock), 0);
            const int64_t count = std::min<int64_t>(kBlock, p.size - first);
            float sum[3][kBlock] = {};
            if (is_interior(r, first, first + kBlock, height, width)) {
                add_block(r, first, sum, [&](Block& b) RTFACE_LAMBDA {
                    load_interior(b, p.frame, static_cast<uint32_t>(width) * 3u);
                });
            } else if (p.border == Border::Constant) {
                add_block(r, first, sum, [&](Block& b) RTFACE_LAMBDA {
                    load_anywhere<true>(b, p.frame, height, width, border);
                });
            } else {
                add_block(r, first, sum, [&](Block& b) RTFACE_LAMBDA {
                    load_anywhere<false>(b, p.frame, height, width, border);
                });
            }
            for (int c = 0; c < 3; ++c) {
                float* channel = out + c * p.size * p.size + first;
                for (int64_t k = 0; k < count; ++k) channel[k] = sum[c][k] * gain[c] + offset[c];
            }
        }
    }
}

}  // namespace

void sample_crops(const SampleCropsParams& p) {
    const int64_t bands = p.threads > 1 ? std::min<int64_t>(p.size, 4 * p.threads) : 1;  // per crop
    parallel_for(p.batch * bands, p.threads, [&](int64_t i) {
        RowRange rows = row_range(p.size, bands, i % bands);
        crop_rows(p, i / bands, rows.begin, rows.end);
    });
}

}  // namespace rtface
