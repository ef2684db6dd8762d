// Vertices of one part in the modes lit, albedo, normals and visibility.
// PER_VERTEX: colours are finished here and only interpolated. Face meshes have triangles of a few pixels, so the
// difference is invisible, and software rasterisers are faster; small highlights need PER_PIXEL.

uniform mat4 clip_from_head;
uniform mat3 camera_from_head;

in vec3 in_position;       // mm, head space
in float in_opacity;       // 0..1
noperspective out float solid;
#if !defined(MODE_ALBEDO)
in vec3 in_normal;         // unit, head space
#endif

#if defined(MODE_LIT) || defined(MODE_ALBEDO)
uniform vec4 base_color;   // replaces the vertices' colours where w = 1
in vec3 in_color;          // sRGB-encoded, like base_color
#elif defined(MODE_VISIBILITY)
uniform vec3 visible_color;
uniform vec3 hidden_color;
in float in_visibility;
#endif

#if defined(PER_VERTEX)
noperspective out vec3 color;            // sRGB-encoded
#else
noperspective out vec3 normal;           // camera axes
#if !defined(MODE_NORMALS)
noperspective out vec3 albedo;           // linear, times the part's own shadow
#endif
#endif

void main() {
    gl_Position = clip_from_head * vec4(in_position, 1.0);
    solid = in_opacity;
#if defined(MODE_ALBEDO)
    color = mix(in_color, base_color.rgb, base_color.w);
#else
    vec3 n = camera_from_head * in_normal;
#if defined(MODE_LIT)
    vec3 surface = linear_from_srgb(mix(in_color, base_color.rgb, base_color.w));
#elif defined(MODE_VISIBILITY)
    vec3 surface = mix(linear_from_srgb(hidden_color), linear_from_srgb(visible_color), clamp(in_visibility, 0.0, 1.0));
#endif
#if !defined(MODE_NORMALS)
    surface *= own_shadow(in_normal);
#endif
#if defined(PER_VERTEX)
    color = srgb_from_linear(surface * irradiance(unit(n)));
#else
    normal = n;
#if !defined(MODE_NORMALS)
    albedo = surface;
#endif
#endif
#endif
}
