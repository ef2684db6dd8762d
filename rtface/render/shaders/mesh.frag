// Colours of one part; the layer holds premultiplied, sRGB-encoded RGBA.

noperspective in float solid;
#if defined(PER_VERTEX)
noperspective in vec3 color;
#else
noperspective in vec3 normal;
#if !defined(MODE_NORMALS)
noperspective in vec3 albedo;
#endif
#endif

out vec4 out_color;

void main() {
#if defined(PER_VERTEX)
    out_color = vec4(color, 1.0);
#elif defined(MODE_NORMALS)
    vec3 n = unit(normal);
    out_color = vec4(vec3(n.x, -n.y, -n.z) * 0.5 + 0.5, 1.0);  // red right, green up, blue towards the camera
#else
    vec3 n = unit(normal);
    out_color = vec4(srgb_from_linear(albedo * irradiance(n) + highlight(n)), 1.0);
#endif
    out_color *= solid;
}
