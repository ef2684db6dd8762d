// Vertices of one part as a wireframe; drawn without an index buffer: each triangle has three vertices of its own.

uniform mat4 clip_from_head;
uniform mat3 camera_from_head;
uniform vec3 line_color;   // sRGB-encoded
uniform vec4 fill_color;   // sRGB-encoded, opacity

in vec3 in_position;       // mm, head space
in vec3 in_normal;         // unit, head space
in float in_opacity;       // 0..1
in vec3 in_lines;          // 1 where edge k is drawn; the same at the three corners of a triangle

flat out vec3 lines;
noperspective out float solid;
noperspective out vec3 corner;           // barycentric coordinates
noperspective out vec3 stroke;           // sRGB-encoded
noperspective out vec4 fill;             // premultiplied, sRGB-encoded

void main() {
    gl_Position = clip_from_head * vec4(in_position, 1.0);
    solid = in_opacity;
    int k = gl_VertexID % 3;
    corner = vec3(k == 0, k == 1, k == 2);
    lines = in_lines;
    float light = irradiance(unit(camera_from_head * in_normal)) * own_shadow(in_normal);
    // Lines keep half of their brightness in the shade, or they would be lost on dark frames.
    stroke = srgb_from_linear(linear_from_srgb(line_color) * mix(1.0, light, 0.5));
    fill = vec4(srgb_from_linear(linear_from_srgb(fill_color.rgb) * light), 1.0) * fill_color.w;
}
