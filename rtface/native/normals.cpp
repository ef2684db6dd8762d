// Area-weighted vertex normals, accumulated in doubles in the order of the triangles.
#include <cmath>
#include <limits>
#include <memory>

#include "kernels.h"
#include "portable.h"

namespace rtface {
namespace {

RTFACE_CLONES
void add_face_normals(const float* vertices, const int32_t* triangles, int64_t faces, double* sums) {
    for (int64_t f = 0; f < faces; ++f) {
        const int64_t i0 = triangles[3 * f], i1 = triangles[3 * f + 1], i2 = triangles[3 * f + 2];
        const float *a = vertices + 3 * i0, *b = vertices + 3 * i1, *c = vertices + 3 * i2;
        const double ax = a[0], ay = a[1], az = a[2];
        const double ux = b[0] - ax, uy = b[1] - ay, uz = b[2] - az;
        const double vx = c[0] - ax, vy = c[1] - ay, vz = c[2] - az;
        const double nx = uy * vz - uz * vy, ny = uz * vx - ux * vz, nz = ux * vy - uy * vx;
        for (const int64_t i : {i0, i1, i2}) {
            sums[3 * i] += nx;
            sums[3 * i + 1] += ny;
            sums[3 * i + 2] += nz;
        }
    }
}

RTFACE_CLONES
void normalize(const double* sums, int64_t count, float* out) {
    for (int64_t v = 0; v < count; ++v) {
        const double x = sums[3 * v], y = sums[3 * v + 1], z = sums[3 * v + 2];
        const double length = std::sqrt((x * x + y * y) + z * z);
        const bool good = length > 0.0 && length < std::numeric_limits<double>::infinity();
        out[3 * v] = good ? static_cast<float>(x / length) : 0.0f;
        out[3 * v + 1] = good ? static_cast<float>(y / length) : 0.0f;
        out[3 * v + 2] = good ? static_cast<float>(z / length) : 0.0f;
    }
}

}  // namespace

void vertex_normals(const VertexNormalsParams& p) {
    parallel_for(p.batch, p.threads, [&](int64_t n) {
        const int64_t first = 3 * n * p.vertex_count;
        std::unique_ptr<double[]> sums(new double[static_cast<size_t>(3 * p.vertex_count)]());
        add_face_normals(p.vertices + first, p.triangles, p.faces, sums.get());
        normalize(sums.get(), p.vertex_count, p.out + first);
    });
}

}  // namespace rtface
