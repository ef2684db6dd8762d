// Affine bilinear crops of an RGB frame, planar and ready for a network.
#include <cmath>
#include <cstring>

#include "kernels.h"
#include "portable.h"

namespace rtface {
namespace {

// Red, green, blue and one lane that is not used. Compilers map this to one SIMD register.
#if RTFACE_LANES
typedef float Lanes __attribute__((vector_size(16)));
typedef int32_t IntLanes __attribute__((vector_size(16)));
typedef uint16_t ShortLanes __attribute__((vector_size(16)));
typedef uint8_t ByteLanes __attribute__((vector_size(16)));
RTFACE_INLINE Lanes from_bytes(uint32_t word) {
    const IntLanes words = {static_cast<int32_t>(word), 0, 0, 0};
    const ByteLanes zero = {};
    // Interleave with zeros twice: bytes to 16 bits, 16 bits to 32 (one instruction each on every machine).
    const ByteLanes pairs = __builtin_shufflevector(reinterpret_cast<ByteLanes>(words), zero,
                                                    0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const ShortLanes fours = __builtin_shufflevector(reinterpret_cast<ShortLanes>(pairs), ShortLanes{},
                                                     0, 8, 1, 9, 2, 10, 3, 11);
    return __builtin_convertvector(reinterpret_cast<IntLanes>(fours), Lanes);
}
#else
struct Lanes {
    float v[4];
    float operator[](int i) const { return v[i]; }
};
RTFACE_INLINE Lanes operator+(Lanes a, Lanes b) {
    return {{a.v[0] + b.v[0], a.v[1] + b.v[1], a.v[2] + b.v[2], a.v[3] + b.v[3]}};
}
RTFACE_INLINE Lanes operator-(Lanes a, Lanes b) {
    return {{a.v[0] - b.v[0], a.v[1] - b.v[1], a.v[2] - b.v[2], a.v[3] - b.v[3]}};
}
RTFACE_INLINE Lanes operator*(Lanes a, Lanes b) {
    return {{a.v[0] * b.v[0], a.v[1] * b.v[1], a.v[2] * b.v[2], a.v[3] * b.v[3]}};
}
RTFACE_INLINE Lanes operator*(Lanes a, float b) { return {{a.v[0] * b, a.v[1] * b, a.v[2] * b, a.v[3] * b}}; }
RTFACE_INLINE Lanes from_bytes(uint32_t word) {
    uint8_t b[4];
    std::memcpy(b, &word, 4);
    return {{float(b[0]), float(b[1]), float(b[2]), float(b[3])}};
}
#endif

RTFACE_INLINE Lanes load4(const uint8_t* texel) {  // reads one byte past the texel
    uint32_t word;
    std::memcpy(&word, texel, 4);
    return from_bytes(word);
}

RTFACE_INLINE float clamp(float value, float low, float high) {  // NaN becomes low
    return value > low ? (value < high ? value : high) : low;
}

RTFACE_INLINE Lanes bilinear(Lanes top_left, Lanes top_right, Lanes bottom_left, Lanes bottom_right, float wx,
                             float wy) {
    const Lanes top = top_left + (top_right - top_left) * wx;
    const Lanes bottom = bottom_left + (bottom_right - bottom_left) * wx;
    return top + (bottom - top) * wy;
}

// In the samplers x and y are frame px minus 0.5, so that whole numbers are pixel centres.

// For 0 <= x < width - 2 and 0 <= y < height - 1: no clamping, and four bytes may be read for each texel.
struct InteriorSampler {
    const uint8_t* frame;
    int64_t row_bytes;

    RTFACE_METHOD Lanes operator()(float x, float y) const {
        const int32_t x0 = static_cast<int32_t>(x), y0 = static_cast<int32_t>(y);
        const uint8_t* t = frame + y0 * row_bytes + x0 * 3;
        const uint8_t* b = t + row_bytes;
        return bilinear(load4(t), load4(t + 3), load4(b), load4(b + 3), x - static_cast<float>(x0),
                        y - static_cast<float>(y0));
    }
};

template <bool kConstant>
struct BorderSampler {
    const uint8_t* frame;
    int32_t height, width;
    float border_value;

    RTFACE_METHOD Lanes texel(int32_t x, int32_t y) const {
        if (kConstant && (x < 0 || y < 0 || x >= width || y >= height)) {
            return Lanes{border_value, border_value, border_value, 0.0f};
        }
        const uint8_t* t = frame + (static_cast<int64_t>(y) * width + x) * 3;
        return Lanes{static_cast<float>(t[0]), static_cast<float>(t[1]), static_cast<float>(t[2]), 0.0f};
    }

    RTFACE_METHOD Lanes operator()(float x, float y) const {
        const int32_t margin = kConstant ? 1 : 0;  // one pixel of a constant border is all that can be seen of it
        x = clamp(x, static_cast<float>(-margin), static_cast<float>(width - 1 + margin));
        y = clamp(y, static_cast<float>(-margin), static_cast<float>(height - 1 + margin));
        const int32_t x0 = static_cast<int32_t>(std::floor(x)), y0 = static_cast<int32_t>(std::floor(y));
        const int32_t x1 = kConstant ? x0 + 1 : std::min(x0 + 1, width - 1);
        const int32_t y1 = kConstant ? y0 + 1 : std::min(y0 + 1, height - 1);
        return bilinear(texel(x0, y0), texel(x1, y0), texel(x0, y1), texel(x1, y1), x - static_cast<float>(x0),
                        y - static_cast<float>(y0));
    }
};

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
    Lanes gain, offset;
    float *red, *green, *blue;
    int64_t size;
};

template <typename Sample>
RTFACE_INLINE void fill_row(const Row& r, Sample sample) {
    const float step_x = r.m[0], step_y = r.m[3];
    const Lanes gain = r.gain, offset = r.offset;
    for (int64_t column = 0; column < r.size; ++column) {
        const float at = static_cast<float>(column);
        Lanes sum{0.0f, 0.0f, 0.0f, 0.0f};
        for (int j = 0; j < r.taps; ++j) {
            for (int i = 0; i < r.taps; ++i) {
                const float x = at + r.shift[i];
                sum = sum + sample(step_x * x + r.start_x[j], step_y * x + r.start_y[j]);
            }
        }
        const Lanes value = sum * gain + offset;
        r.red[column] = value[0];
        r.green[column] = value[1];
        r.blue[column] = value[2];
    }
}

// Are all taps of the row inside, where InteriorSampler may go? Positions are monotonic along the row, also when
// rounded, so its ends tell.
bool is_interior(const Row& r, int64_t height, int64_t width) {
    const float first = r.shift[0], last = static_cast<float>(r.size - 1) + r.shift[r.taps - 1];
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

RTFACE_CLONES
void crop_rows(const SampleCropsParams& p, int64_t n, int64_t begin, int64_t end) {
    Row r;
    r.m = p.frame_from_crop + 6 * n;
    r.taps = taps_per_side(r.m);
    r.size = p.size;
    float gain[3], offset[3];
    for (int c = 0; c < 3; ++c) {
        gain[c] = static_cast<float>(p.scale[c] / (255.0 * r.taps * r.taps));
        offset[c] = static_cast<float>(p.offset[c]);
    }
    r.gain = Lanes{gain[0], gain[1], gain[2], 0.0f};
    r.offset = Lanes{offset[0], offset[1], offset[2], 0.0f};
    const int32_t height = static_cast<int32_t>(p.height), width = static_cast<int32_t>(p.width);
    for (int64_t row = begin; row < end; ++row) {
        for (int i = 0; i < r.taps; ++i) {
            r.shift[i] = static_cast<float>((i + 0.5) / r.taps);
            const float y = static_cast<float>(row) + r.shift[i];
            r.start_x[i] = (r.m[1] * y + r.m[2]) - 0.5f;
            r.start_y[i] = (r.m[4] * y + r.m[5]) - 0.5f;
        }
        r.red = p.out + (3 * n * p.size + row) * p.size;
        r.green = r.red + p.size * p.size;
        r.blue = r.green + p.size * p.size;
        if (is_interior(r, height, width)) {
            fill_row(r, InteriorSampler{p.frame, p.width * 3});
        } else if (p.border == Border::Constant) {
            fill_row(r, BorderSampler<true>{p.frame, height, width, p.border_value});
        } else {
            fill_row(r, BorderSampler<false>{p.frame, height, width, p.border_value});
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
