// Triangle rasteriser. Positions are rounded to 1/256 px, so every edge function is an integer; doubles hold these
// integers exactly (below 2^53), which makes coverage exact, equal in every order of evaluation, and easy to vectorise.
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>

#include "kernels.h"
#include "portable.h"

namespace rtface {
namespace {

// A triangle that can cover pixels of the picture, kept small because there are many. Edge function i belongs to the
// edge opposite vertex i, is positive inside, and has step_x(i), step_y(i) from pixel to pixel.
struct Slot {
    double origin[3];         // edge functions at the centre of pixel (0, 0)
    double inverse_area;
    float z[3];
    int32_t dx[3], dy[3];     // the edges, in 1/256 px
    uint16_t x0, x1, y0, y1;  // pixels whose centres lie in the bounding box, half open
    int32_t triangle;

    RTFACE_METHOD double step_x(int i) const { return static_cast<double>(dy[i]) * -kSubpixels; }
    RTFACE_METHOD double step_y(int i) const { return static_cast<double>(dx[i]) * kSubpixels; }
    // A pixel is inside from this value on: 0 on top and left edges, else 1.
    RTFACE_METHOD double least(int i) const { return dy[i] < 0 || (dy[i] == 0 && dx[i] > 0) ? 0.0 : 1.0; }
};

#if RTFACE_LANES
constexpr int kLanes = 4;
typedef double Doubles __attribute__((vector_size(32)));
typedef long long Longs __attribute__((vector_size(32)));
typedef float Floats __attribute__((vector_size(16)));
typedef int Ints __attribute__((vector_size(16)));
#endif

struct Snapped {
    double x, y;  // in 1/256 px; x is NaN where the vertex cannot be drawn
    float z;
};

RTFACE_CLONES
void snap_vertices(const float* positions, const float* inverse_w, int64_t count, Snapped* out) {
    const double limit = kGuardBandPx * kSubpixels;
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const double infinity = std::numeric_limits<double>::infinity();
    for (int64_t v = 0; v < count; ++v) {
        double x = std::nearbyint(static_cast<double>(positions[3 * v]) * kSubpixels);
        double y = std::nearbyint(static_cast<double>(positions[3 * v + 1]) * kSubpixels);
        float z = positions[3 * v + 2];
        bool good = (std::fabs(x) <= limit) & (std::fabs(y) <= limit) & (std::fabs(z) < infinity);
        if (inverse_w) good = good & (inverse_w[v] > 0.0f) & (inverse_w[v] < infinity);
        out[v] = {good ? x : nan, y, z};
    }
}

RTFACE_INLINE bool set_up(const Snapped* const v[3], Cull cull, int32_t height, int32_t width, Slot& s) {
    double area = (v[1]->x - v[0]->x) * (v[2]->y - v[0]->y) - (v[1]->y - v[0]->y) * (v[2]->x - v[0]->x);
    if (!(area > 0.0 || area < 0.0)) return false;  // no area, or a vertex that is NaN
    // y points down: a triangle that looks counter-clockwise (the front) has negative area.
    if ((cull == Cull::Back && area > 0.0) || (cull == Cull::Front && area < 0.0)) return false;

    int32_t min_x = static_cast<int32_t>(std::min({v[0]->x, v[1]->x, v[2]->x}));
    int32_t max_x = static_cast<int32_t>(std::max({v[0]->x, v[1]->x, v[2]->x}));
    int32_t min_y = static_cast<int32_t>(std::min({v[0]->y, v[1]->y, v[2]->y}));
    int32_t max_y = static_cast<int32_t>(std::max({v[0]->y, v[1]->y, v[2]->y}));
    const int32_t x0 = std::max((min_x + 127) >> 8, 0);  // first centre (256 x + 128) not left of min_x
    const int32_t x1 = std::min((max_x + 128) >> 8, width);
    const int32_t y0 = std::max((min_y + 127) >> 8, 0);
    const int32_t y1 = std::min((max_y + 128) >> 8, height);
    if (x0 >= x1 || y0 >= y1) return false;
    s.x0 = static_cast<uint16_t>(x0), s.x1 = static_cast<uint16_t>(x1);
    s.y0 = static_cast<uint16_t>(y0), s.y1 = static_cast<uint16_t>(y1);

    double sign = area > 0.0 ? 1.0 : -1.0;
    for (int i = 0; i < 3; ++i) {
        const Snapped &a = *v[(i + 1) % 3], &b = *v[(i + 2) % 3];
        double dx = sign * (b.x - a.x), dy = sign * (b.y - a.y);
        s.origin[i] = dx * (128.0 - a.y) - dy * (128.0 - a.x);
        s.dx[i] = static_cast<int32_t>(dx);
        s.dy[i] = static_cast<int32_t>(dy);
        s.z[i] = v[i]->z;
    }
    s.inverse_area = 1.0 / std::fabs(area);
    return true;
}

RTFACE_CLONES
int64_t set_up_all(const Snapped* snapped, const int32_t* triangles, int64_t faces, Cull cull, int64_t cull_first,
                   int32_t height, int32_t width, Slot* slots) {
    int64_t count = 0;
    for (int64_t f = 0; f < faces; ++f) {
        const Snapped* v[3] = {snapped + triangles[3 * f], snapped + triangles[3 * f + 1],
                               snapped + triangles[3 * f + 2]};
        if (set_up(v, f < cull_first ? cull : Cull::None, height, width, slots[count])) slots[count++].triangle = static_cast<int32_t>(f);
    }
    return count;
}

// Depth test for all slots in rows [y_begin, y_end); `ids` receives slot numbers. Slots come in the order of triangle
// ids and must be strictly nearer to win, so the lower id keeps a tie.
RTFACE_CLONES
void draw(const Slot* slots, int64_t count, int64_t y_begin, int64_t y_end, int64_t width, float* depth, int32_t* ids) {
    for (int64_t i = 0; i < count; ++i) {
        const Slot& s = slots[i];
        const int64_t y0 = std::max<int64_t>(s.y0, y_begin), y1 = std::min<int64_t>(s.y1, y_end);
        const int32_t slot = static_cast<int32_t>(i), x0 = s.x0, x1 = s.x1;
        const double step0 = s.step_x(0), step1 = s.step_x(1), step2 = s.step_x(2);
        const double least0 = s.least(0), least1 = s.least(1), least2 = s.least(2);
        const double z0 = s.z[0], z1 = s.z[1], z2 = s.z[2], inverse_area = s.inverse_area;
        for (int64_t y = y0; y < y1; ++y) {
            const double at_y = static_cast<double>(y);
            const double row0 = s.origin[0] + at_y * s.step_y(0);
            const double row1 = s.origin[1] + at_y * s.step_y(1);
            const double row2 = s.origin[2] + at_y * s.step_y(2);
            float* __restrict depth_row = depth + y * width;
            int32_t* __restrict id_row = ids + y * width;
            int32_t x = x0;
#if RTFACE_LANES
            // Four pixels at once. The last four of the row may reach back before the triangle or over pixels that are
            // done: nothing there is inside of it, or strictly nearer a second time.
            for (; x < x1 && width >= kLanes; x += kLanes) {
                const int64_t at = std::min<int64_t>(x, width - kLanes);
                const double first = static_cast<double>(at);
                const Doubles at_x = {first, first + 1.0, first + 2.0, first + 3.0};
                const Doubles e0 = row0 + at_x * step0, e1 = row1 + at_x * step1, e2 = row2 + at_x * step2;
                const Longs inside = (e0 >= least0) & (e1 >= least1) & (e2 >= least2);
                const Floats z = __builtin_convertvector(((e0 * z0 + e1 * z1) + e2 * z2) * inverse_area, Floats);
                Floats old_depth;
                Ints old_id;
                std::memcpy(&old_depth, depth_row + at, sizeof(old_depth));
                std::memcpy(&old_id, id_row + at, sizeof(old_id));
                const Ints wins = __builtin_convertvector(inside, Ints) & (z < old_depth);
                const Ints new_depth = (wins & (Ints)z) | (~wins & (Ints)old_depth);
                const Ints new_id = (wins & slot) | (~wins & old_id);
                std::memcpy(depth_row + at, &new_depth, sizeof(new_depth));
                std::memcpy(id_row + at, &new_id, sizeof(new_id));
            }
#endif
            for (; x < x1; ++x) {
                const double at_x = static_cast<double>(x);
                const double e0 = row0 + at_x * step0, e1 = row1 + at_x * step1, e2 = row2 + at_x * step2;
                const bool inside = (e0 >= least0) & (e1 >= least1) & (e2 >= least2);
                const float z = static_cast<float>(((e0 * z0 + e1 * z1) + e2 * z2) * inverse_area);
                const bool wins = inside & (z < depth_row[x]);
                depth_row[x] = wins ? z : depth_row[x];
                id_row[x] = wins ? slot : id_row[x];
            }
        }
    }
}

// Replace slot numbers by triangle ids and write the weights of the three vertices.
RTFACE_CLONES
void resolve(const Slot* slots, const int32_t* triangles, const float* inverse_w, int64_t y_begin, int64_t y_end,
             int64_t width, int32_t* ids, float* barycentrics) {
    for (int64_t y = y_begin; y < y_end; ++y) {
        const double at_y = static_cast<double>(y);
        int32_t* id = ids + y * width;
        float* weights = barycentrics + 3 * y * width;
        for (int64_t x = 0; x < width; ++x, ++id, weights += 3) {
            if (*id < 0) {
                weights[0] = weights[1] = weights[2] = 0.0f;
                continue;
            }
            const Slot& s = slots[*id];
            const double at_x = static_cast<double>(x);
            double e[3], scale = s.inverse_area;
            for (int i = 0; i < 3; ++i) e[i] = (s.origin[i] + at_y * s.step_y(i)) + at_x * s.step_x(i);
            if (inverse_w) {
                const int32_t* corner = triangles + 3 * static_cast<int64_t>(s.triangle);
                for (int i = 0; i < 3; ++i) e[i] *= inverse_w[corner[i]];
                scale = 1.0 / ((e[0] + e[1]) + e[2]);
            }
            for (int i = 0; i < 3; ++i) weights[i] = static_cast<float>(e[i] * scale);
            *id = s.triangle;
        }
    }
}

void rasterize_one(const RasterizeParams& p, int64_t n, int bands, int threads) {
    const int64_t pixels = static_cast<int64_t>(p.height) * p.width;
    const float* inverse_w = p.inverse_w ? p.inverse_w + n * p.vertices : nullptr;
    float* depth = p.depth + n * pixels;
    int32_t* ids = p.triangle_id + n * pixels;
    float* barycentrics = p.barycentrics + 3 * n * pixels;

    std::unique_ptr<Snapped[]> snapped(new Snapped[static_cast<size_t>(p.vertices)]);
    std::unique_ptr<Slot[]> slots(new Slot[static_cast<size_t>(p.faces)]);
    snap_vertices(p.positions + 3 * n * p.vertices, inverse_w, p.vertices, snapped.get());
    int64_t count = set_up_all(snapped.get(), p.triangles, p.faces, p.cull, p.cull_first, p.height, p.width, slots.get());

    parallel_for(bands, threads, [&](int64_t band) {
        RowRange rows = row_range(p.height, bands, band);
        std::fill(depth + rows.begin * p.width, depth + rows.end * p.width, std::numeric_limits<float>::infinity());
        std::fill(ids + rows.begin * p.width, ids + rows.end * p.width, -1);
        draw(slots.get(), count, rows.begin, rows.end, p.width, depth, ids);
        resolve(slots.get(), p.triangles, inverse_w, rows.begin, rows.end, p.width, ids, barycentrics);
    });
}

}  // namespace

void rasterize(const RasterizeParams& p) {
    if (p.batch >= p.threads) {
        parallel_for(p.batch, p.threads, [&](int64_t n) { rasterize_one(p, n, 1, 1); });
    } else {
        int bands = p.threads > 1 ? 4 * p.threads : 1;  // a face does not fill all rows alike
        for (int64_t n = 0; n < p.batch; ++n) rasterize_one(p, n, bands, p.threads);
    }
}

}  // namespace rtface
