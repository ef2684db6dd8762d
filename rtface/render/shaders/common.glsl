// What every mesh shader shares; the loader puts "#version", "#define"s and this before each of them.

uniform float harmonics[9];     // light as in rtface.geometry.spherical_harmonics, camera axes
uniform vec3 half_direction;    // unit, between the main light and the camera
uniform vec2 gloss;             // strength, exponent
uniform float shade_top;        // brightness where the surface looks up the head

// Shadow that a vertex lies in because of what is around it.
float own_shadow(vec3 head_normal) {
    return mix(shade_top, 1.0, smoothstep(-1.0, 0.15, head_normal.y));
}

float irradiance(vec3 n) {
    float e = harmonics[0] + harmonics[1] * n.y + harmonics[2] * n.z + harmonics[3] * n.x
        + harmonics[4] * n.x * n.y + harmonics[5] * n.y * n.z + harmonics[6] * (3.0 * n.z * n.z - 1.0)
        + harmonics[7] * n.x * n.z + harmonics[8] * (n.x * n.x - n.y * n.y);
    return max(e, 0.02);
}

float highlight(vec3 n) {
    return gloss.x > 0.0 ? gloss.x * max(harmonics[0], 0.0) * pow(max(dot(n, half_direction), 0.0), gloss.y) : 0.0;
}

vec3 unit(vec3 n) {
    return n / max(length(n), 1e-6);  // a vertex without area has the normal 0
}

vec3 linear_from_srgb(vec3 c) {
    return mix(c / 12.92, pow((c + 0.055) / 1.055, vec3(2.4)), step(0.04045, c));
}

// The sRGB curve by square roots (least maximum error: 0.012 of an 8-bit step); pow is dear on a CPU.
vec3 srgb_from_linear(vec3 c) {
    c = clamp(c, 0.0, 1.0);
    vec3 a = sqrt(c), b = sqrt(a), d = sqrt(b);
    return mix(0.64236932 * a + 0.71210597 * b - 0.33686802 * d - 0.01756414 * c, 12.92 * c, step(c, vec3(0.0031308)));
}
