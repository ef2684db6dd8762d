// Triangle rasteriser for packs of pictures, the twin of rtface/native/rasterize.cpp: positions are rounded to 1/256 px,
// edge functions are integers that doubles hold exactly, and both do the same IEEE operations in the same order. Compile
// without fused multiply-add (--fmad=false), or depths differ in the last bit.
//
// One warp takes one triangle; the nearest triangle of a pixel is the least of 64-bit keys, depth above and the number
// within the picture below, so the lower number keeps a tie in whatever order the warps come.

#define SUBPIXELS 256.0
#define GUARD_BAND_PX 65536.0
#define EMPTY 0xffffffffffffffffull

struct Slot {
    double origin[3], step_x[3], step_y[3], least[3];
    double inverse_area;
    float z[3];
    int x0, x1, y0, y1;
};

__device__ static bool set_up(const float* positions, const int* corner, bool culled, int height, int width, Slot* s) {
    const double limit = GUARD_BAND_PX * SUBPIXELS;
    double x[3], y[3];
    for (int i = 0; i < 3; ++i) {
        const float* p = positions + 3ll * corner[i];
        x[i] = rint((double)p[0] * SUBPIXELS);
        y[i] = rint((double)p[1] * SUBPIXELS);
        s->z[i] = p[2];
        // written so that NaN fails
        if (!(fabs(x[i]) <= limit && fabs(y[i]) <= limit && fabsf(p[2]) <= 3.402823466e+38f)) return false;
    }
    const double area = (x[1] - x[0]) * (y[2] - y[0]) - (y[1] - y[0]) * (x[2] - x[0]);
    if (area == 0.0 || (culled && area > 0.0)) return false;  // y points down: the front has negative area
    const int min_x = (int)fmin(fmin(x[0], x[1]), x[2]), max_x = (int)fmax(fmax(x[0], x[1]), x[2]);
    const int min_y = (int)fmin(fmin(y[0], y[1]), y[2]), max_y = (int)fmax(fmax(y[0], y[1]), y[2]);
    s->x0 = max((min_x + 127) >> 8, 0);  // first centre (256 x + 128) not left of min_x
    s->x1 = min((max_x + 128) >> 8, width);
    s->y0 = max((min_y + 127) >> 8, 0);
    s->y1 = min((max_y + 128) >> 8, height);
    if (s->x0 >= s->x1 || s->y0 >= s->y1) return false;
    const double sign = area > 0.0 ? 1.0 : -1.0;
    for (int i = 0; i < 3; ++i) {
        const int a = (i + 1) % 3, b = (i + 2) % 3;
        const double dx = sign * (x[b] - x[a]), dy = sign * (y[b] - y[a]);
        s->origin[i] = dx * (128.0 - y[a]) - dy * (128.0 - x[a]);
        s->step_x[i] = dy * -SUBPIXELS;
        s->step_y[i] = dx * SUBPIXELS;
        s->least[i] = dy < 0.0 || (dy == 0.0 && dx > 0.0) ? 0.0 : 1.0;  // top and left edges own their pixels
    }
    s->inverse_area = 1.0 / fabs(area);
    return true;
}

// Edge functions at a pixel; whether it lies inside.
__device__ static bool edges_at(const Slot* s, int x, int y, double* e) {
    for (int i = 0; i < 3; ++i) e[i] = (s->origin[i] + (double)y * s->step_y[i]) + (double)x * s->step_x[i];
    return e[0] >= s->least[0] && e[1] >= s->least[1] && e[2] >= s->least[2];
}

__device__ static float depth_at(const Slot* s, const double* e) {
    return (float)(((e[0] * (double)s->z[0] + e[1] * (double)s->z[1]) + e[2] * (double)s->z[2]) * s->inverse_area);
}

// Unsigned numbers in the order of the floats; −0 counts as 0.
__device__ static unsigned int ordered(float depth) {
    const unsigned int bits = __float_as_uint(depth + 0.0f);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

__device__ static int picture_of(const long long* starts, int pictures, long long triangle) {
    int low = 0, high = pictures;  // starts[low] <= triangle < starts[high]
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (starts[middle] <= triangle) low = middle; else high = middle;
    }
    return low;
}

// keys (pictures, height, width) start as EMPTY. starts (pictures + 1): first triangle of every picture; the first
// culled[n] triangles of picture n are left out where they show their back.
extern "C" __global__ void nearest_keys(const float* positions, const int* triangles, const long long* starts,
                                        const int* culled, int pictures, int height, int width,
                                        unsigned long long* keys) {
    const long long triangle = ((long long)blockIdx.x * blockDim.x + threadIdx.x) / 32;
    const int lane = threadIdx.x % 32;
    if (triangle >= starts[pictures]) return;
    const int picture = picture_of(starts, pictures, triangle);
    const long long number = triangle - starts[picture];
    Slot s;
    if (!set_up(positions, triangles + 3 * triangle, number < culled[picture], height, width, &s)) return;
    unsigned long long* plane = keys + (long long)picture * height * width;
    const long long across = s.x1 - s.x0, count = across * (s.y1 - s.y0);
    for (long long i = lane; i < count; i += 32) {
        const int x = s.x0 + (int)(i % across), y = s.y0 + (int)(i / across);
        double e[3];
        if (!edges_at(&s, x, y, e)) continue;
        const float depth = depth_at(&s, e);
        if (!(depth <= 3.402823466e+38f)) continue;
        const unsigned long long key = (unsigned long long)ordered(depth) << 32 | (unsigned int)number;
        unsigned long long* at = plane + (long long)y * width + x;
        if (key < *at) atomicMin(at, key);
    }
}

// Keys → depth, row of `triangles` and barycentric weights of every pixel.
extern "C" __global__ void resolve_keys(const float* positions, const int* triangles, const long long* starts,
                                        int pictures, int height, int width, const unsigned long long* keys,
                                        float* depth, int* triangle_id, float* barycentrics) {
    const long long pixel = (long long)blockIdx.x * blockDim.x + threadIdx.x, plane = (long long)height * width;
    if (pixel >= pictures * plane) return;
    const unsigned long long key = keys[pixel];
    float* weights = barycentrics + 3 * pixel;
    if (key == EMPTY) {
        depth[pixel] = __uint_as_float(0x7f800000u);
        triangle_id[pixel] = -1;
        weights[0] = weights[1] = weights[2] = 0.0f;
        return;
    }
    const int picture = (int)(pixel / plane);
    const long long triangle = starts[picture] + (long long)(key & 0xffffffffull);
    Slot s;
    double e[3];
    set_up(positions, triangles + 3 * triangle, false, height, width, &s);
    edges_at(&s, (int)(pixel % width), (int)(pixel % plane / width), e);
    depth[pixel] = depth_at(&s, e);
    triangle_id[pixel] = (int)triangle;
    for (int i = 0; i < 3; ++i) weights[i] = (float)(e[i] * s.inverse_area);
}
